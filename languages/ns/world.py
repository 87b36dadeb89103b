"""Everything an ns program has declared so far, and the names it may use."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from languages.ns.objects import Command, NsObject
from languages.ns.quantities import Whole
from languages.ns.refusal import Refused, did_you_mean

if TYPE_CHECKING:
    from languages.ns.node import Tarball

Kind = TypeVar("Kind", bound=NsObject)

OUTPUT_LINES_LIMIT = 1000


class Tcl(Protocol):
    """What the world needs of the interpreter that evaluates the program."""

    def here(self) -> int:
        """The line of the program that is being evaluated."""

    def bind(self, name: str) -> None:
        """Make a Tcl command of this name that calls the world."""

    def unbind(self, name: str) -> None: ...

    def exists(self, name: str) -> bool:
        """Whether the program has a command of this name."""

    def note_fresh(self, name: str) -> None:
        """The next global variable that is set to this name gives the object its own."""

    def substitute(self, command: str) -> list[str]:
        """The command's words, with variables and commands substituted where the program stands."""

    def line_in(self, body: str, lines: int) -> int:
        """The line of the program that stands `lines` lines into a braced argument of the command being evaluated."""

    def words(self, text: str) -> list[str]:
        """Of a Tcl list."""

    def assign(self, variable: str, value: str) -> None:
        """Where the program stands."""

    def array(self, name: str) -> dict[str, str]:
        """A global array's content."""


@dataclass
class Told:
    """An event: target is an object of the program, or None for the instance."""

    target: NsObject | None
    verb: str
    arguments: dict[str, Any]
    line: int
    at_s: float = 0
    on: str = "time"


@dataclass
class Parameter:
    name: str
    default: str
    value: str
    description: str
    line: int


@dataclass
class Ignored:
    """text: what is ignored; said once, however often the program says it."""

    text: str
    line: int
    times: int = 1


@dataclass
class World:
    """One program's. commands: Tcl commands beside Tcl's own and the objects. refused: what no `catch` makes good."""

    tcl: Tcl
    given: dict[str, str]
    commands: dict[str, Command]
    objects: dict[str, NsObject] = field(default_factory=dict)
    made: list[NsObject] = field(default_factory=list)
    events: list[Told] = field(default_factory=list)
    parameters: list[Parameter] = field(default_factory=list)
    ignored: dict[str, Ignored] = field(default_factory=dict)
    output: list[tuple[int, str]] = field(default_factory=list)
    lan_names: list[list[str]] = field(default_factory=list)
    tarballs: list[Tarball] = field(default_factory=list)
    refused: Refused | None = None
    last_refused: Refused | None = None
    routing: str = "none"
    sync_server: NsObject | None = None
    all_lans_reset: bool = False
    has_programs: bool = False
    ran: bool = False
    declared: dict[str, Any] | None = None
    fresh: NsObject | None = None
    simulator: NsObject | None = None
    _ids: int = 0
    _news: int = 0

    def here(self) -> int:
        return self.tcl.here()

    def call(self, name: str, words: tuple[str, ...]) -> str:
        """A command of the program."""
        try:
            if (known := self.objects.get(name)) is not None:
                if self.ran and words[:1] not in (("set",), ("info",)):
                    self.ignore("after run", "what stands after `$ns run` has no effect")
                return known.call(words)
            if (command := self.commands.get(name)) is not None:
                return command.run(self, words)
            hint = did_you_mean(name[:60], {*self.commands, *self.objects}) or ""
            raise Refused(
                f"unknown command '{name[:60]}'", hint if hint.startswith("Did") else "docs/ns.md lists all commands.", catchable=True
            )
        except Refused as error:
            error.line = error.line or self.here()
            self.last_refused = error
            if not error.catchable:
                self.refused = self.refused or error
            raise

    def next_id(self) -> int:
        """Emulab's counter in the names of nodes, links, LANs, timelines and sequences that no variable names."""
        self._ids += 1
        return self._ids

    def next_new(self) -> int:
        """Likewise for what `new` makes, and queues."""
        self._news += 1
        return self._news

    def add(self, made: Kind) -> Kind:
        """A new object; the next global variable that is set to it names it."""
        self._keep(made)
        self.fresh = made
        self.tcl.note_fresh(made.name)
        return made

    def add_named(self, made: Kind) -> Kind:
        """A new object that has its name already."""
        self._check_free(made.name)
        self._keep(made)
        return made

    def _keep(self, made: NsObject) -> None:
        self.made.append(made)
        self.objects[made.name] = made
        self.tcl.bind(made.name)

    def name_fresh(self, variable: str) -> str:
        """The object just made goes by the variable's name from now on: `client(0)` makes it client-0."""
        made = self.fresh
        name = variable.removeprefix("::").replace("(", "-").replace(")", "")
        self.fresh = None
        if made is None or name == made.name:
            return name
        self._check_free(name)
        if self.lan_names and self.lan_names[-1] == [made.name]:
            self.lan_names[-1].append(name)
        self.tcl.unbind(made.name)
        del self.objects[made.name]
        made.name = name
        self.objects[name] = made
        self.tcl.bind(name)
        return name

    def _check_free(self, name: str) -> None:
        if name in self.objects:
            raise Refused(f"there is already an object named '{name}', from line {self.objects[name].line}")
        if self.tcl.exists(name):
            raise Refused(f"an object cannot be named '{name}': Tcl or this program has a command of that name",
                          "Objects are named by the variable they are stored in: choose another.")

    def find(self, name: str, *kinds: type[Kind], what: str) -> Kind:
        """The object of this name, which must be of one of these kinds."""
        found = self.objects.get(name)
        if isinstance(found, kinds):
            return found
        if found is not None:
            raise Refused(f"{what}: '{name}' is a {found.noun}, not a {' or '.join(k.noun for k in kinds)}")
        hint = "Braces keep $ from being substituted: use double quotes." if name.startswith("$") else \
            did_you_mean(name, (n for n, o in self.objects.items() if isinstance(o, kinds)))
        raise Refused(f"{what}: there is no {' or '.join(k.noun for k in kinds)} '{name[:60]}'", hint)

    def all(self, kind: type[Kind]) -> list[Kind]:
        """In the order of their making."""
        return [o for o in self.made if isinstance(o, kind)]

    def ignore(self, key: str, text: str, line: int | None = None) -> None:
        """A warning, once per key. line: if not where the program stands."""
        if (known := self.ignored.get(key)) is not None:
            known.times += 1
        else:
            self.ignored[key] = Ignored(f"{key}: {text}", line or self.here())

    def whole(self, number: Whole, unit: str) -> int:
        if number.cut:
            self.ignore(f"finer than whole {unit}", f"cut off, as in Emulab, to {number.value}")
        return number.value

    def write(self, text: str) -> None:
        if len(self.output) < OUTPUT_LINES_LIMIT:
            self.output.append((self.here(), text[:1000]))
