"""One language's source into another's, and what the target cannot say.

What is lost is found out, not guessed: the written text is read back, and the two specs are compared. Rows of Emulab's tables
cannot be read back; there `languages.emulab_rows.cannot_say` tells.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from languages import emulab_rows, plain_spec
from languages.evaluate import Evaluation, Source, Warning_, evaluate
from languages.nearest import nearest
from languages.ns.writer import write_ns
from languages.python_writer import write_python
from languages.spec_difference import differences
from languages.yaml_writer import write_yaml
from models.errors import InvalidInput

TARGETS = {"ns": ".ns", "yaml": ".yml", "python": ".py", "emulab-rows": ".json"}  # with the usual suffix


@dataclass(frozen=True)
class Conversion:
    """lost: one sentence each. warnings: those of evaluating the source."""

    text: str
    lost: tuple[str, ...] = ()
    warnings: tuple[Warning_, ...] = ()


def convert(source: Source, target: str, values: dict[str, str] | None = None) -> Conversion:
    """values: of parameters; what they shape is written as they make it."""
    if target not in TARGETS:
        raise InvalidInput(f"cannot convert to '{target}'", next=nearest(target, TARGETS) or f"Expected one of {', '.join(TARGETS)}.")
    evaluation = evaluate(source, values)
    if target == "emulab-rows":
        return Conversion(emulab_rows.to_json(evaluation.spec), tuple(emulab_rows.cannot_say(evaluation.spec)), evaluation.warnings)
    text = _WRITERS[target](evaluation)
    return Conversion(text, tuple(_lost(evaluation, text, target)), evaluation.warnings)


_WRITERS: dict[str, Callable[[Evaluation], str]] = {
    "ns": lambda evaluation: write_ns(evaluation.spec),
    "yaml": lambda evaluation: write_yaml(evaluation.spec, _datastore(evaluation), evaluation.externals),
    "python": lambda evaluation: write_python(evaluation.spec, _datastore(evaluation), evaluation.externals)}


def _datastore(evaluation: Evaluation) -> str | None:
    return str(evaluation.datastore) if evaluation.datastore is not None else None


def _lost(evaluation: Evaluation, text: str, target: str) -> list[str]:
    lost = [] if target == "ns" else plain_spec.cannot_say(evaluation.spec)
    if evaluation.spec.parameters:
        lost.append("parameters: their values are written where they were used, so that giving others changes only what programs see")
    if target == "ns" and evaluation.datastore is not None:
        lost.append(f"datastore '{evaluation.datastore}': an ns program names none; give it with the template")
    if target == "ns":
        lost += [f"external '{external.at}': an ns program names none" for external in evaluation.externals]
    try:
        again = evaluate(Source(f"{evaluation.spec.name}{TARGETS[target]}", text, target)).spec
    except InvalidInput as error:
        return [*lost, f"the result itself is refused: {error}"]
    return lost + [text for text in differences(evaluation.spec, again) if not _is_value(text, evaluation)]


def _is_value(difference: str, evaluation: Evaluation) -> bool:
    """A parameter's value becomes its default; that is said once, for all."""
    return any(difference.startswith(f"parameter '{p.name}': ") for p in evaluation.spec.parameters)
