"""What all ns objects have in common: a name that is a Tcl command, subcommands with usages, and variables to `set`."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from languages.ns.refusal import Refused, did_you_mean

if TYPE_CHECKING:
    from languages.ns.world import World

Function = TypeVar("Function", bound=Callable[..., Any])


@dataclass(frozen=True)
class Command:
    """usage: required words in capitals, optional ones in brackets, `…` for any number more."""

    name: str
    usage: str
    function: Callable[..., Any]

    def run(self, receiver: Any, words: tuple[str, ...]) -> str:
        parts = self.usage.split()
        least = sum(not part.startswith("[") and part != "…" for part in parts)
        if len(words) < least or ("…" not in parts and len(words) > len(parts)):
            raise Refused(f"{self.name} expects {self.usage or 'no arguments'}, not {len(words)} argument{'s' * (len(words) != 1)}")
        value = self.function(receiver, *words)
        return "" if value is None else str(value)


def command(name: str, usage: str = "") -> Callable[[Function], Function]:
    """A subcommand of an ns object."""

    def mark(function: Function) -> Function:
        function.ns_command = Command(name, usage, function)  # type: ignore[attr-defined]
        return function

    return mark


class NsObject:
    """An object of an ns program. `variables` is what `$object set NAME` gives back, as written.

    kind: Emulab's class name. noun: what people call it. settings: variables with a meaning, and what their values must be.
    ignored: subcommands that are accepted with a warning, and what is ignored; `*` stands for all others, for objects that mean
    nothing here.
    """

    kind: ClassVar[str] = "object"
    noun: ClassVar[str] = "object"
    commands: ClassVar[dict[str, Command]] = {}
    ignored: ClassVar[dict[str, str]] = {}
    ignored_variables: ClassVar[dict[str, str]] = {}
    settings: ClassVar[dict[str, Callable[[str], Any]]] = {}

    def __init_subclass__(cls) -> None:
        found = {entry.name: entry for base in reversed(cls.__mro__) for value in vars(base).values()
                 if isinstance(entry := getattr(value, "ns_command", None), Command)}
        cls.commands = found

    def __init__(self, world: World, name: str, line: int):
        self.world, self.name, self.line = world, name, line
        self.variables: dict[str, str] = {}
        self.values: dict[str, Any] = {}
        self.lines: dict[str, int] = {}

    def __str__(self) -> str:
        return self.name

    @property
    def spec_name(self) -> str:
        """Its name in the spec, where slashes and commas of ns names have no place."""
        return re.sub(r"[^A-Za-z0-9_.-]", "-", self.name)

    def call(self, words: tuple[str, ...]) -> str:
        if not words:
            raise Refused(f"{self.name}: which command? A {self.noun} knows {', '.join(sorted(self.commands))}")
        name, arguments = words[0], words[1:]
        if (known := self.commands.get(name)) is not None:
            return known.run(self, arguments)
        if (reason := self.ignored.get(name, self.ignored.get("*"))) is not None:
            self.world.ignore(f"{self.kind} {name}", reason)
            return ""
        raise Refused(f"{self.noun} '{self.name}' has no command '{name}'", did_you_mean(name, {*self.commands, *self.ignored}))

    def setting(self, variable: str, default: Any) -> Any:
        """The value of a variable with a meaning."""
        return self.values.get(variable, default)

    @command("set", "VARIABLE [VALUE]")
    def set_variable(self, variable: str, value: str | None = None) -> str:
        if value is None:
            if variable not in self.variables:
                raise Refused(f"{self.noun} '{self.name}' has no variable '{variable}'", did_you_mean(variable, self.variables))
            return self.variables[variable]
        if (check := self.settings.get(variable)) is not None:
            self.values[variable] = check(value)
            self.lines[variable] = self.world.here()
        else:
            reason = self.ignored_variables.get(variable) or f"a {self.noun} has no variable '{variable}' that means something here"
            self.world.ignore(f"{self.kind} set {variable}", reason)
        self.variables[variable] = value
        return value

    @command("info", "WHAT")
    def info(self, what: str) -> str:
        if what != "class":
            raise Refused(f"info {what}: only `info class` is known")
        return self.kind


class Nothing(NsObject):
    """Of a class that means nothing here: accepts everything."""

    kind = "object"

    def call(self, words: tuple[str, ...]) -> str:
        return ""


def options(words: tuple[str, ...], allowed: tuple[str, ...], what: str) -> dict[str, str]:
    """`-key value …`; the last of a repeated key counts."""
    if len(words) % 2:
        raise Refused(f"{what}: option '{words[-1]}' has no value" if words[-1] in allowed
                      else f"{what} expects pairs of {', '.join(allowed)} and a value")
    for key in words[::2]:
        if key not in allowed:
            raise Refused(f"{what} has no option '{key}'", did_you_mean(key, allowed))
    return dict(zip(words[::2], words[1::2], strict=True))
