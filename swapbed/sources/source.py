"""From what a user names, a file or a directory and `NAME=VALUE` pairs, to a spec."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from languages.evaluate import SUFFIXES, Evaluation, Source, evaluate
from languages.yaml_writer import write_yaml
from models.errors import InvalidInput
from models.spec import Spec

if TYPE_CHECKING:
    from languages.builder import Topology

    Definition = Path | str | Topology | Spec | Source


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


def assignments(pairs: Iterable[str] | None, where: str = "-S", example: str = "-S DELAY=20ms") -> dict[str, str]:
    """`["DELAY=20ms"]` as a dictionary; a name given twice is an error. where, example: for what is not one."""
    values: dict[str, str] = {}
    for pair in pairs or ():
        name, sign, value = pair.partition("=")
        if not sign or not name:
            raise InvalidInput(f"'{pair}' is not of the form NAME=VALUE", where=where, next=f"Write it like {example}")
        if name in values:
            raise InvalidInput(f"'{name}' is given twice: {values[name]} and {value}", where=where)
        values[name] = value
    return values


def evaluated(definition: Definition, parameters: Mapping[str, Any] | None = None) -> tuple[Source, Evaluation]:
    """A source and what it comes to. A topology that was built in this process, or a spec, is written down as YAML.

    parameters: values as Python has them, numbers and booleans too.
    """
    values = {name: str(value).lower() if isinstance(value, bool) else str(value) for name, value in (parameters or {}).items()}
    if isinstance(definition, (str, Path, Source)):
        source = definition if isinstance(definition, Source) else Source.read(find_source(Path(definition)))
        return source, evaluate(source, values)
    evaluation = Evaluation(definition) if isinstance(definition, Spec) else definition.evaluation()
    if values:
        raise InvalidInput(f"parameter '{min(values)}' comes too late: this topology is built already", where=evaluation.spec.name,
                           next="Give values when building it: swapbed.topology(NAME, values={…}).")
    datastore = str(evaluation.datastore) if evaluation.datastore else None
    return Source(f"{evaluation.spec.name}.yml", write_yaml(evaluation.spec, datastore, evaluation.externals), "yaml"), evaluation
