"""Hiding, deleting and expunging templates, instances, runs and records, alone or with all that came of them.

hidden: out of the lists, and back with `unhide`. deleted: the content is gone for everybody, and what only it held in the store goes with
the next collection. expunged: deleted, and the bytes are gone when this returns, from the store and the database's free pages.
Whatever is taken away leaves a tombstone: its row, without content, so that trees and lists have no holes.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

from sqlmodel import Session, col, delete, select

from models.database import engine, reading, writing
from models.errors import Conflict
from models.instances import GOING_ON
from models.leases import held
from models.settings import settings
from models.states import RecordState, Subject
from models.tables import (
    ActivityEvent,
    Checkpoint,
    Instance,
    Metadata,
    MetadataChange,
    OutboxMessage,
    Record,
    Recording,
    RecordingEvent,
    Run,
    StoredSpec,
    Template,
)
from models.tables.columns import now
from nodeops import run_files
from nodeops.checkpoint import spooled
from storage.expunging import Expunged
from storage.expunging import expunge as expunge_store
from storage.object_url import open_objects
from storage.roots import RootKind
from storage.store import Store
from swapbed import subjects
from swapbed.lifecycle import project
from swapbed.serving import prefect_history
from tasks import datastores
from tasks.holder import is_dead, own_name
from tasks.sweeps import forget_runs, sweeps_with

Buried = type[Template] | type[Instance] | type[Run] | type[Record]


@dataclass
class Chosen:
    """Ids. labels: of what was named."""

    labels: list[str] = field(default_factory=list)
    templates: set[str] = field(default_factory=set)
    instances: set[str] = field(default_factory=set)
    runs: set[str] = field(default_factory=set)
    records: set[str] = field(default_factory=set)

    def each(self) -> list[tuple[Subject, Buried, set[str]]]:
        return [(Subject.TEMPLATE, Template, self.templates), (Subject.INSTANCE, Instance, self.instances),
                (Subject.RUN, Run, self.runs), (Subject.RECORD, Record, self.records)]

    def counts(self) -> dict[str, int]:
        return {kind.value: len(ids) for kind, _, ids in self.each()}


def hide(*names: str, subtree: bool = False) -> Chosen:
    """subtree: of a template its descendants, their instances, runs and records; of an instance its runs; of a run its record."""
    return _hidden(names, subtree, True)


def unhide(*names: str, subtree: bool = False) -> Chosen:
    return _hidden(names, subtree, False)


def delete_(*names: str, subtree: bool = False) -> Chosen:
    """May be done again after any interruption. Raises Conflict for what is in use."""
    chosen = choose(names, subtree)
    _bury(chosen)
    return chosen


def expunge(*names: str, subtree: bool = False, patience_s: float = 600) -> tuple[Chosen, Expunged]:
    """Waits up to patience_s for transfers that may count on some of it. What other templates or records hold as well stays there.

    Raises Conflict for runs and records of an instance that lives: its nodes still have their files. `swapbed.store.seek` proves it done.
    """
    chosen = choose(names, subtree)
    _refuse_what_nodes_have(chosen)
    _bury(chosen)
    prefect_history.forget(*_names_and_ids(chosen))
    return chosen, expunge_store(engine(), open_objects(settings()), project().name, [], holder=own_name(), patience_s=patience_s)


def choose(names: Iterable[str], subtree: bool) -> Chosen:
    """A record named by its run stands for all its revisions, one named by its id for that alone."""
    chosen = Chosen()
    for name in names:
        named = subjects.find(name)
        chosen.labels.append(f"{named.kind.value} {named.label}")
        {Subject.TEMPLATE: chosen.templates, Subject.INSTANCE: chosen.instances,
         Subject.RUN: chosen.runs, Subject.RECORD: chosen.records}[named.kind].add(named.id)
        if named.kind is Subject.RECORD and not name.endswith(named.id):
            chosen.records |= _revisions(named.id)
    if subtree:
        with reading() as session:
            _descend(session, chosen)
    return chosen


def _revisions(record_id: str) -> set[str]:
    with reading() as session:
        of_run = select(Record.run_id).where(Record.id == record_id)
        return set(session.exec(select(Record.id).where(col(Record.run_id).in_(of_run))))


def _descend(session: Session, chosen: Chosen) -> None:
    ahead = set(chosen.templates)
    while ahead:
        ahead = set(session.exec(select(Template.id).where(col(Template.parent_id).in_(ahead)))) - chosen.templates
        chosen.templates |= ahead
    chosen.instances |= set(session.exec(select(Instance.id).where(col(Instance.template_id).in_(chosen.templates))))
    under = col(Run.template_id).in_(chosen.templates)  # their instances may have become another one since
    chosen.runs |= set(session.exec(select(Run.id).where(col(Run.instance_id).in_(chosen.instances) | under)))
    chosen.records |= set(session.exec(select(Record.id).where(col(Record.run_id).in_(chosen.runs))))


def _hidden(names: Iterable[str], subtree: bool, hidden: bool) -> Chosen:
    chosen = choose(names, subtree)
    with writing() as session:
        for _, table, ids in chosen.each():
            for identifier in ids:
                row: Any = session.get_one(table, identifier)
                row.hidden_at = now() if hidden else None
    return chosen


def _bury(chosen: Chosen) -> None:
    with ExitStack() as stack:
        for record in _open_records(chosen):  # else it could be given its files again when its window closes just now
            stack.enter_context(held(Subject.RECORD, record, holder=own_name(), purpose="delete", is_dead=is_dead))
        _buried(chosen)


def _open_records(chosen: Chosen) -> list[str]:
    with reading() as session:
        return list(session.exec(select(Record.id).where(col(Record.id).in_(chosen.records), Record.state == RecordState.OPEN,
                                                         col(Record.expunged_at).is_(None))))


def _buried(chosen: Chosen) -> None:
    """First it is marked as gone, then let go in the store, then emptied: killed anywhere, the next attempt finds what is left to do."""
    with reading() as session:
        _refuse_what_is_used(session, chosen)
    for sweep in sweeps_with(chosen.runs):
        forget_runs(sweep.id, chosen.runs)
    with writing() as session:
        _refuse_what_is_used(session, chosen)
        for _, table, ids in chosen.each():
            for identifier in ids:
                row: Any = session.get_one(table, identifier)
                row.expunged_at = row.expunged_at or now()
    store = Store.of(project().name)
    pinned = {root.name: root.manifest for root in store.roots(RootKind.TEMPLATE)}
    for datastore in _own_datastores(chosen):
        store.unpin(RootKind.TEMPLATE, datastore)
        datastores.forget(project().name, datastore)
        if datastore in pinned and datastore not in _own_datastores(chosen):  # somebody has committed it just now
            store.pin(RootKind.TEMPLATE, datastore, pinned[datastore])
    for record in chosen.records:
        store.unpin(RootKind.RECORD, record)
    for checkpoint in _checkpoints(chosen):
        store.unpin(RootKind.CHECKPOINT, checkpoint)
        spooled.forget(checkpoint)
    for run in chosen.runs:
        shutil.rmtree(run_files.spool_of(run), ignore_errors=True)
    with writing() as session:
        _empty(session, chosen)


def _refuse_what_is_used(session: Session, chosen: Chosen) -> None:
    for identifier in chosen.instances:
        if (instance := session.get_one(Instance, identifier)).ended_at is None:
            raise Conflict("the instance lives", where=instance.name, next=f"Destroy it first: swapbed destroy {instance.name}")
    _refuse_what_others_go_on_from(session, chosen)
    for identifier in chosen.templates:
        living = select(Instance).where(Instance.template_id == identifier, col(Instance.ended_at).is_(None))
        for instance in session.exec(living):
            raise Conflict("an instance of this template lives", where=instance.name, next=f"Destroy it: swapbed destroy {instance.name}")
    for identifier in chosen.runs:
        if session.get_one(Run, identifier).state in GOING_ON:
            raise Conflict("this run is not over", where=identifier, next="Stop it first: swapbed run stop INSTANCE")
    for identifier in chosen.records:
        if session.get_one(Record, identifier).state is RecordState.COMMITTING:
            raise Conflict("this record is being committed", where=identifier, next="Try again in a moment")


def _names_and_ids(chosen: Chosen) -> tuple[set[str], set[str]]:
    """Of the instances and sweeps that it is about, as Prefect's tags have them; and all ids that its flows were given."""
    with reading() as session:
        runs = chosen.runs | set(session.exec(select(Record.run_id).where(col(Record.id).in_(chosen.records))))
        of_runs = select(Run.instance_id).where(col(Run.id).in_(runs))
        names = set(session.exec(select(Instance.name).where(col(Instance.id).in_(chosen.instances) | col(Instance.id).in_(of_runs))))
    sweeps = {sweep.id for sweep in sweeps_with(runs)}
    return names | sweeps, chosen.instances | runs | chosen.records | set(_checkpoints(chosen)) | sweeps


def _refuse_what_nodes_have(chosen: Chosen) -> None:
    with reading() as session:
        runs = chosen.runs | set(session.exec(select(Record.run_id).where(col(Record.id).in_(chosen.records))))
        living = select(Instance).join(Run, col(Run.instance_id) == Instance.id).where(col(Instance.ended_at).is_(None))
        for instance in session.exec(living.where(col(Run.id).in_(runs))):
            raise Conflict("its instance lives, and what this run left is in its nodes, too", where=instance.name,
                           next=f"Destroy it first: swapbed destroy {instance.name}. `swapbed delete` takes it from the store alone")


def _refuse_what_others_go_on_from(session: Session, chosen: Chosen) -> None:
    goers = select(Instance).join(Checkpoint, col(Checkpoint.id) == Instance.checkpoint_id).where(
        col(Checkpoint.instance_id).in_(chosen.instances), col(Instance.ended_at).is_(None))
    for instance in session.exec(goers):
        raise Conflict("another instance goes on from a checkpoint of this one", where=instance.name,
                       next=f"Destroy it first: swapbed destroy {instance.name}")


def _checkpoints(chosen: Chosen) -> list[str]:
    with reading() as session:
        return list(session.exec(select(Checkpoint.id).where(col(Checkpoint.instance_id).in_(chosen.instances))))


def _own_datastores(chosen: Chosen) -> set[str]:
    """Those that no template has that stays."""
    with reading() as session:
        mine = set(session.exec(select(Template.datastore).where(col(Template.id).in_(chosen.templates)))) - {None}
        kept = set(session.exec(select(Template.datastore).where(
            Template.project_id == project().id, col(Template.datastore).in_(mine), col(Template.expunged_at).is_(None))))
    return {datastore for datastore in mine - kept if datastore}


def _empty(session: Session, chosen: Chosen) -> None:
    for identifier in chosen.templates:
        template = session.get_one(Template, identifier)
        template.source = template.datastore = template.datastore_name = None
        template.parameters, template.externals = [], []
    for identifier in chosen.instances:
        instance = session.get_one(Instance, identifier)
        instance.parameters, instance.reason, instance.datastore_directory = {}, None, None
        _empty_what_was_kept_of(session, identifier)
    for identifier in chosen.runs:
        run = session.get_one(Run, identifier)
        run.parameters, run.inputs, run.reason = {}, [], None
        asked_for = select(OutboxMessage).where(OutboxMessage.instance_id == run.instance_id, col(OutboxMessage.handled_at).is_not(None))
        for message in session.exec(asked_for):
            if message.ids.get("run_id") == run.id or message.run == run.number:
                message.content, message.reason = {}, None
        session.exec(delete(ActivityEvent).where(col(ActivityEvent.run_id) == identifier))
    for identifier in chosen.records:
        record = session.get_one(Record, identifier)
        record.root, record.reason, record.summary, record.rules, record.size_bytes, record.files = None, None, {}, {}, 0, 0
    for kind, _, ids in chosen.each():
        for table in (Metadata, MetadataChange):
            session.exec(delete(table).where(col(table.subject) == kind, col(table.subject_id).in_(ids)))
    session.flush()
    _empty_specs(session)


def _empty_what_was_kept_of(session: Session, instance_id: str) -> None:
    """Its checkpoints and recordings."""
    for checkpoint in session.exec(select(Checkpoint).where(Checkpoint.instance_id == instance_id)):
        checkpoint.root, checkpoint.reason, checkpoint.costs, checkpoint.requirements = None, None, {}, {}
        checkpoint.expunged_at = checkpoint.expunged_at or now()
    for recording in session.exec(select(Recording).where(Recording.instance_id == instance_id)):
        session.exec(delete(RecordingEvent).where(col(RecordingEvent.recording_id) == recording.id))
        session.delete(recording)


def _empty_specs(session: Session) -> None:
    """Those that only tombstones have."""
    used = (select(Instance.spec_id).where(col(Instance.expunged_at).is_(None))
            .union(select(Run.spec_id).where(col(Run.expunged_at).is_(None))))
    gone = select(StoredSpec).where(col(StoredSpec.id).not_in(used), col(StoredSpec.body).is_not(None))
    for spec in session.exec(gone):
        spec.body = None
