"""The rows of a record that comes from elsewhere: an instance that has ended, its run, the record, its templates, the notes on all of them.

Ids are kept where they are free here. An instance is the same one if id, name and seed agree; a run, if its number and beginning do.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlmodel import Session, col, func, select

from models.database import reading
from models.errors import Conflict
from models.manifest import ManifestRef
from models.recorded import Recorded, TemplateOfRun
from models.spec import Spec
from models.states import InstanceState, RecordState, RunOutcome, RunState, Subject
from models.tables import Instance, Project, Record, Run, Template
from models.tables.columns import new_id
from models.templates import add_tombstone, store_spec
from swapbed.exchange.added import Added
from swapbed.exchange.checkpoint_parts import ExportedCheckpoint, add_rows
from swapbed.exchange.notes_archive import Notes, take_notes
from swapbed.exchange.record_parts import ExportedRecord
from swapbed.exchange.template_archive import named
from swapbed.exchange.template_chain import Chain, add_chain, missing


@dataclass(frozen=True)
class Incoming:
    """What an export says. results: as the programs reported them."""

    exported: ExportedRecord
    chain: Chain
    notes: Notes
    said: Recorded
    template: TemplateOfRun
    spec: Spec
    results: dict[str, str]
    checkpoints: list[ExportedCheckpoint]


def record_id(mine: Project, exported: ExportedRecord) -> tuple[str, bool]:
    """Of the record of that content, and whether it is here already. A tombstone is nothing: its id may be used again."""
    with reading() as session:
        same = session.exec(select(Record.id).where(Record.project_id == mine.id, Record.root == exported.root)).first()
        if same is not None:
            return same, True
        row = session.get(Record, exported.record_id)
    free = row is None or (row.project_id == mine.id and row.expunged_at is not None)
    return (exported.record_id if free else new_id("rec")), False


def add(session: Session, mine: Project, incoming: Incoming, record_id: str, name: str | None, manifest: ManifestRef) -> Added:
    """name: for the tree of its template, if that is a new one here."""
    chain, exported = incoming.chain, incoming.exported
    added = Added(templates=len(missing(session, mine, chain)))
    templates = add_chain(session, mine, chain, name) if chain.templates else [_without_content(session, mine, incoming)]
    record = session.get(Record, record_id)
    if record is None or record.root is None:
        run = _run(session, incoming, _instance(session, mine, incoming, templates[-1]), templates[-1])
        record = _record(session, mine, incoming, record, record_id, run, manifest)
        added.records = 1
    owner = session.get_one(Run, record.run_id)
    added.checkpoints = add_rows(session, incoming.checkpoints, owner, mine.id)
    added.notes = take_notes(session, incoming.notes, {
        (Subject.RECORD, exported.record_id): record.id, (Subject.RUN, exported.run_id): owner.id,
        (Subject.INSTANCE, exported.instance_id): owner.instance_id, **named(templates)})
    return added


def _without_content(session: Session, mine: Project, incoming: Incoming) -> Template:
    """A tombstone in the place of a template that was expunged where the record was made, unless it is here."""
    said = incoming.template
    known = session.exec(select(Template).where(Template.project_id == mine.id, Template.digest == said.digest)).first()
    if known is not None:
        return known
    return add_tombstone(session, mine, said.digest, name=said.name, language=said.language, source_name=said.source_name,
                         created_by=incoming.said.created_by, imported_from=incoming.exported.installation)


def _instance(session: Session, mine: Project, incoming: Incoming, template: Template) -> Instance:
    said, exported = incoming.said, incoming.exported
    row = session.get(Instance, exported.instance_id)
    if row is not None and row.project_id != mine.id:
        row = session.exec(select(Instance).where(Instance.project_id == mine.id, Instance.name == said.instance,
                                                  Instance.seed == said.seed)).first()
    elif row is not None and (row.name, row.seed) != (said.instance, said.seed):
        raise Conflict("there is another instance of that id", where=exported.instance_id, next="Is this export what it says it is?")
    spec_id = store_spec(session, mine.id, incoming.spec).id
    if row is None:
        free = session.get(Instance, exported.instance_id) is None
        row = Instance(id=exported.instance_id if free else new_id("i"), project_id=mine.id, template_id=template.id, spec_id=spec_id,
                       name=said.instance, state=InstanceState.DESTROYED, seed=said.seed, incarnation="imported",
                       created_at=said.began_at or exported.created_at, created_by=said.created_by, up_at=said.began_at,
                       ended_at=exported.committed_at or exported.created_at, replay_of_id=_replayed(session, mine, said),
                       parameters={parameter.name: parameter.value for parameter in incoming.spec.parameters})
        session.add(row)
    elif row.expunged_at is not None:
        row.expunged_at = row.hidden_at = None
        row.spec_id, row.parameters = spec_id, {parameter.name: parameter.value for parameter in incoming.spec.parameters}
    session.flush()
    return row


def _replayed(session: Session, mine: Project, said: Recorded) -> str | None:
    """The record that it replays, where that is here, too."""
    if said.replay_of is None:
        return None
    return session.exec(select(Record.id).where(Record.project_id == mine.id, Record.root == said.replay_of)).first()


def _run(session: Session, incoming: Incoming, instance: Instance, template: Template) -> Run:
    said, exported = incoming.said, incoming.exported
    row = session.exec(select(Run).where(Run.instance_id == instance.id, Run.number == said.run)).first()
    if row is not None and row.began_at != said.began_at:
        raise Conflict(f"run {said.run} of that instance is here, and is another one", where=instance.name)
    fields: dict[str, Any] = {
        "parameters": said.parameters, "inputs": list(said.inputs), "reason": said.reason, "expunged_at": None,
        "spec_id": store_spec(session, instance.project_id, incoming.spec).id, "template_id": template.id}
    if row is None:
        free = session.get(Run, exported.run_id) is None
        row = Run(id=exported.run_id if free else new_id("r"), instance_id=instance.id, number=said.run, state=RunState.OVER,
                  outcome=RunOutcome(said.outcome), environment_of_run=said.environment_of_run, origin=said.origin, begin_ns=said.begin_ns,
                  end_ns=said.end_ns, began_at=said.began_at, ended_at=said.ended_at, created_by=said.created_by,
                  created_at=said.began_at or exported.created_at, **fields)
        session.add(row)
    elif row.expunged_at is not None:
        row.sqlmodel_update(fields | {"hidden_at": None})
    session.flush()
    return row


def _record(session: Session, mine: Project, incoming: Incoming, tombstone: Record | None, record_id: str, run: Run,
            manifest: ManifestRef) -> Record:
    """Final, whatever it was: nobody here holds it open."""
    said, exported = incoming.said, incoming.exported
    fields: dict[str, Any] = {
        "root": exported.root, "size_bytes": manifest.size_bytes, "files": manifest.files, "imported_from": exported.installation,
        "summary": {"results": incoming.results, "placement": said.placement, "left_out": list(said.left_out)}, "expunged_at": None}
    if tombstone is not None:
        tombstone.sqlmodel_update(fields | {"hidden_at": None})
        return tombstone
    last = session.exec(select(func.max(col(Record.revision))).where(Record.run_id == run.id)).one() or 0
    taken = session.exec(select(Record.id).where(Record.run_id == run.id, Record.revision == exported.revision)).first()
    row = Record(id=record_id, project_id=mine.id, run_id=run.id, revision=last + 1 if taken else exported.revision,
                 state=RecordState.FINAL, created_at=exported.created_at, created_by=exported.created_by,
                 committed_at=exported.committed_at, finalized_at=exported.finalized_at or exported.committed_at, **fields)
    session.add(row)
    session.flush()
    return row
