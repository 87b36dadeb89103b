"""The verb `modify`: a living instance becomes another version of its template, or another template, between two runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from models.database import reading, writing
from models.instances import find_instance
from models.spec_changes import Changes, changes
from models.tables import Instance, Template
from models.templates import load_spec, store_spec
from swapbed import lifecycle
from swapbed.living import ending
from swapbed.present.progress import Report, quiet
from swapbed.serving.launch import launch
from swapbed.sources.source import evaluated

if TYPE_CHECKING:
    from languages.evaluate import Evaluation, Source
    from swapbed.sources.source import Definition


@dataclass(frozen=True)
class Modified:
    """template: the one that the instance has now."""

    known: lifecycle.Known
    template: Template
    changes: Changes


def modify(name: str, definition: Definition, parameters: Mapping[str, Any] | None = None, *, report: Report = quiet) -> Modified:
    """Nodes and links are added, removed and changed as the template (`name@4`, or a source) wants; the rest goes on undisturbed.

    Parameters that are not given are as the instance was made with, as far as the template has them. Raises InvalidInput for a bad
    template and Conflict while a run goes on, before anything is changed.
    """
    mine = lifecycle.project()
    with reading() as session:
        row = find_instance(session, mine, name)
    ending.await_end(row.id, report)
    with reading() as session:
        old = load_spec(session, row.spec_id)
    chosen = lifecycle.template_named(definition)
    source = lifecycle.source_of(chosen) if chosen else definition
    source, evaluation = _evaluated(chosen, source, row.parameters, parameters or {})
    template = chosen or lifecycle.committed(source, evaluation)
    with writing() as session:
        spec_id = store_spec(session, mine.id, evaluation.spec).id
    launch("modify", lifecycle.pass_on(report), instance_id=row.id, template_id=template.id, spec_id=spec_id)
    return Modified(lifecycle.find(row.id), template, changes(old, evaluation.spec))


def called_for(instance: Instance, parameters: Mapping[str, Any]) -> str | None:
    """The id of the instance's own template, if these values make more of it than what programs find in their environment: other links,
    nodes, events. None: they do not. Raises InvalidInput for values that the template does not take."""
    with reading() as session:
        template = session.get_one(Template, instance.template_id)
    if template.source is None:
        return None
    source, had = lifecycle.source_of(template), instance.parameters
    before, after = (evaluated(source, values)[1].spec.model_copy(update={"parameters": ()}) for values in (had, had | dict(parameters)))
    return template.id if before.digest != after.digest else None


def _evaluated(chosen: Template | None, source: Definition, had: Mapping[str, str], given: Mapping[str, Any]) -> tuple[Source, Evaluation]:
    """With the values that the instance has for what both templates know, and those that are given."""
    if chosen is not None:
        known = {parameter["name"] for parameter in chosen.parameters}
    elif had:
        known = {parameter.name for parameter in evaluated(source, given)[1].spec.parameters}
    else:
        known = set()
    return evaluated(source, {name: value for name, value in had.items() if name in known} | dict(given))
