"""From what a user names, a file or a directory and `NAME=VALUE` pairs, to a spec."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from languages.evaluate import SUFFIXES, Evaluation, Source, evaluate
from models.errors import InvalidInput


def find_source(path: Path) -> Path:
    """The path itself, or of a directory the one source in it: the file called like the directory, else the only one."""
    if not path.is_dir():
        return path
    candidates = sorted(p for p in path.iterdir() if p.suffix.lower() in SUFFIXES and p.is_file())
    called = [p for p in candidates if p.name.partition(".")[0] == path.resolve().name]
    for found in (called, candidates):
        if len(found) == 1:
            return found[0]
    listed = f"it holds {', '.join(p.name for p in candidates)}" if candidates else "it holds no source"
    raise InvalidInput(f"this directory does not say which file is the template's source ({listed})", where=str(path),
                       next=f"Name the file, or call it like the directory: {path.resolve().name}.yml.")


def assignments(pairs: Iterable[str] | None) -> dict[str, str]:
    """`["DELAY=20ms"]` as a dictionary; a name given twice is an error."""
    values: dict[str, str] = {}
    for pair in pairs or ():
        name, sign, value = pair.partition("=")
        if not sign or not name:
            raise InvalidInput(f"'{pair}' is not of the form NAME=VALUE", where="-S", next="Write it like -S DELAY=20ms.")
        if name in values:
            raise InvalidInput(f"parameter '{name}' is given twice: {values[name]} and {value}", where="-S")
        values[name] = value
    return values


def evaluated(path: Path | str, parameters: Mapping[str, Any] | None = None) -> tuple[Source, Evaluation]:
    """The source that `path` leads to and what it comes to; values may be numbers and booleans, as Python writes them."""
    source = Source.read(find_source(Path(path)))
    values = {name: str(value).lower() if isinstance(value, bool) else str(value) for name, value in (parameters or {}).items()}
    return source, evaluate(source, values)
