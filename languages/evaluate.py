"""Source and parameter values to spec, whatever the language: the one door to `languages`.

A language is a module with two functions, named in `LANGUAGES` and imported when first used:

    evaluate(source: Source, values: dict[str, str]) -> Evaluation
    parameters_of(source: Source) -> tuple[Parameter, ...]

Both raise `InvalidInput` whose `where` is FILE:LINE wherever a line is to blame, and nothing else. `parameters_of` gives
what the source declares, without values: `default` is None for a parameter that must be given, and `value` is then empty.
`languages.parameters.bind` checks given values against declared parameters, the same for every language.
"""

from __future__ import annotations

import importlib
import re
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from models.errors import InvalidInput
from models.externals import External
from models.spec import Parameter, Spec

SOURCE_LIMIT_BYTES = 4 << 20

LANGUAGES = {"yaml": "languages.yaml_language", "python": "languages.python_language", "ns": "languages.ns.language",
             "rspec": "languages.rspec"}
SUFFIXES = {".yml": "yaml", ".yaml": "yaml", ".py": "python", ".ns": "ns", ".tcl": "ns", ".rspec": "rspec", ".xml": "rspec"}


@dataclass(frozen=True)
class Source:
    """name: how errors call it, usually the path as the user gave it. directory: what relative paths in it start from."""

    name: str
    text: str
    language: str
    directory: Path | None = None

    @staticmethod
    def read(path: Path | str) -> Source:
        """A file; its language from the suffix, else from its content."""
        path = Path(path)
        try:
            with path.open("rb") as file:
                data = file.read(SOURCE_LIMIT_BYTES + 1)
        except FileNotFoundError:
            raise InvalidInput("there is no such file", where=str(path), next="Check the path.") from None
        except OSError as error:
            raise InvalidInput(f"the file cannot be read: {error.strerror}", where=str(path)) from error
        return Source.of(str(path), data, directory=path.resolve().parent)

    @staticmethod
    def of(name: str, data: bytes, directory: Path | None = None) -> Source:
        """As `read`, of content that is already here (a template's, say)."""
        if len(data) > SOURCE_LIMIT_BYTES:
            raise InvalidInput(f"the source is over {SOURCE_LIMIT_BYTES >> 20} MiB", where=name,
                               next="Put data into the datastore; the source only describes the experiment.")
        try:
            text = data.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            line = data.count(b"\n", 0, error.start) + 1
            raise InvalidInput(f"the source is not UTF-8 text (byte 0x{data[error.start]:02x})", where=f"{name}:{line}") from None
        if "\0" in text:
            line = text[:text.index("\0")].count("\n") + 1
            raise InvalidInput("the source holds a NUL byte: expected text", where=f"{name}:{line}")
        return Source(name, text, language_of(name, text), directory)


@dataclass(frozen=True)
class Warning_:
    """Something of the source that has no effect here, or not the one its author may expect. where: FILE or FILE:LINE."""

    text: str
    where: str

    def __str__(self) -> str:
        return f"{self.where}: {self.text}"


@dataclass(frozen=True)
class Evaluation:
    """datastore: the directory that the source names as its own, if it does; absolute where the source's directory is known.

    externals: where further files come from, when the template is made.
    """

    spec: Spec
    warnings: tuple[Warning_, ...] = ()
    datastore: Path | None = None
    externals: tuple[External, ...] = ()


def language_of(name: str, text: str) -> str:
    """By suffix; without a known one, by what the text looks like."""
    if (language := SUFFIXES.get(Path(name).suffix.lower())) is not None:
        return language
    for pattern, language in ((r"\s*<(\?xml|rspec)", "rspec"), (r"(?s).*^\s*set\s+\w+\s+\[new\s+Simulator\]", "ns"),
                              (r"(?s).*^def\s+build\s*\(", "python"), (r"(?s).*^(topology|nodes)\s*:", "yaml")):
        if re.match(pattern, text, re.MULTILINE):
            return language
    raise InvalidInput("the language of this file is not recognized", where=name,
                       next=f"Expected a name that ends in one of {', '.join(SUFFIXES)}.")


def evaluate(source: Source, values: dict[str, str] | None = None) -> Evaluation:
    """The spec under these parameter values (defaults for those not given). Same source and values, same spec."""
    return _module(source).evaluate(source, dict(values or {}))


def parameters_of(source: Source) -> tuple[Parameter, ...]:
    """What the source declares, in its order; needs no values."""
    return _module(source).parameters_of(source)


def _module(source: Source) -> ModuleType:
    if source.language not in LANGUAGES:
        raise InvalidInput(f"unknown language '{source.language}'", where=source.name, next=f"Expected one of {', '.join(LANGUAGES)}.")
    return importlib.import_module(LANGUAGES[source.language])
