"""The verbs on the store as a whole: is it whole, how much is in it, what does one thing hold, mend it, free what nobody needs.

    import swapbed
    swapbed.store.check(deep=True).whole
    swapbed.store.usage("record:net/2").own_stored_bytes
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from sqlmodel import Session, select

from models.checkpoints import checkpoints_of
from models.database import engine, reading
from models.errors import NotFound
from models.settings import settings
from models.states import Subject
from models.tables import Project, Record, Run, Template
from storage import checking
from storage import rebuild as rebuilding
from storage.checking import Checked
from storage.collecting import Collected
from storage.collecting import collect as collect_garbage
from storage.object_url import open_objects
from storage.objects import ObjectStore
from storage.rebuild import Rebuilt
from storage.roots import RootKind
from storage.seeking import Sought
from storage.usage import RootUsage, StoreUsage, usage_of_roots, usage_of_store
from swapbed import absence, subjects
from swapbed.exchange.recovering import Recovered, recover
from swapbed.lifecycle import pass_on, project
from swapbed.present.progress import Report, quiet
from swapbed.serving.launch import launch
from tasks.holder import is_dead, own_name

PINNED_AS_NAMED = {kind.value: kind for kind in (RootKind.CHECKPOINT, RootKind.IMAGE, RootKind.RECOVERED)}


class Remade(Rebuilt, Recovered):
    """The catalog as it was rebuilt, and what lists have again."""


class Swept(Collected):
    """A collection, and what was found out before it about packs that hosts had sent."""

    verified_packs: int = 0
    damaged_packs: int = 0


def check(*, deep: bool = False, repair: bool = False, report: Report = quiet) -> Checked:
    """Whether every root of every project can be restored. deep: read every byte. repair: forget bad copies, so that storing the source
    again sends it; Conflict while a collection goes on."""
    project()
    what = "reading all packs" if deep else "looking for packs"
    return checking.check(engine(), _objects(), deep=deep, repair=repair, holder=own_name(), is_dead=is_dead,
                          progress=lambda done, total: report(what, done, total))


def stats(*, report: Report = quiet) -> StoreUsage:
    """Of the settings' project: logical, unique and stored bytes, per kind of root."""
    mine = project().name
    report("walking manifests", 0, 0)
    return usage_of_store(engine(), _objects(), mine)


def usage(name: str, *, report: Report = quiet) -> RootUsage:
    """What a thing reaches, and what it alone holds: a template (its datastore), a record, a run or an instance (all their records and
    checkpoints), a checkpoint or an image."""
    mine = project().name
    roots = roots_of(name)
    report("walking manifests", 0, 0)
    return usage_of_roots(engine(), _objects(), mine, roots)


def rebuild(*, report: Report = quiet) -> Remade:
    """Make the catalog anew from the packs, and lists of the records that it has and the database does not know. Transfers that go on are
    over with it."""
    project()
    made = rebuilding.rebuild(engine(), _objects(), holder=own_name(), is_dead=is_dead,
                              progress=lambda done, total: report("reading all packs", done, total))
    with reading() as session:
        projects = session.exec(select(Project)).all()
    listed = [recover(one, report) for one in projects]
    return Remade(**made.model_dump(), records=sum(one.records for one in listed), templates=sum(one.templates for one in listed),
                  unlisted=tuple(what for one in listed for what in one.unlisted))


def collect(*, dry_run: bool = False, report: Report = quiet) -> Swept:
    """Verify what hosts sent and free what no root reaches, as the flow `collect_garbage`; with dry_run tell what would be freed."""
    project()
    if dry_run:
        report("walking manifests", 0, 0)
        found = collect_garbage(engine(), _objects(), holder=own_name(), dry_run=True, is_dead=is_dead)
        return Swept.model_validate(found.model_dump())
    told: dict[str, Any] = launch("collect_garbage", pass_on(report))
    return Swept.model_validate({**told, **{name: tuple(str(told[name]).splitlines()) for name in ("waiting_for", "problems")}})


def seek(secret: bytes, *, report: Report = quiet) -> Sought:
    """Where a string is, in all that this installation keeps; and what may have it that could not be looked at. See `swapbed.absence`."""
    project()
    return absence.seek(secret, _objects(), report)


def create_bucket() -> bool:
    """Of the S3 store that the settings name. Whether its server will remove old versions and unfinished uploads by itself."""
    from storage.bucket_admin import BucketAdmin

    project()
    keeper = BucketAdmin(settings())
    keeper.create()
    return keeper.tidy_by_itself()


def roots_of(name: str) -> list[tuple[RootKind, str]]:
    """KIND:NAME, or an id, as the names of roots. Raises NotFound if it holds nothing in the store."""
    kind, _, rest = name.partition(":")
    if kind in PINNED_AS_NAMED and rest:
        return [(PINNED_AS_NAMED[kind], rest)]
    if name.startswith("c-"):
        return [(RootKind.CHECKPOINT, name)]
    found = subjects.find(name)
    with reading() as session:
        roots = list(HOLDINGS[found.kind](session, found.id))
    if not roots:
        raise NotFound(f"this {found.kind.value} holds nothing in the store", where=name)
    return roots


def _datastore(session: Session, template_id: str) -> Iterator[tuple[RootKind, str]]:
    if datastore := session.get_one(Template, template_id).datastore:
        yield RootKind.TEMPLATE, datastore


def _record(session: Session, record_id: str) -> Iterator[tuple[RootKind, str]]:
    if session.get_one(Record, record_id).root:
        yield RootKind.RECORD, record_id


def _of_run(session: Session, run_id: str) -> Iterator[tuple[RootKind, str]]:
    for record_id in session.exec(select(Record.id).where(Record.run_id == run_id)):
        yield from _record(session, record_id)


def _of_instance(session: Session, instance_id: str) -> Iterator[tuple[RootKind, str]]:
    for run_id in session.exec(select(Run.id).where(Run.instance_id == instance_id)):
        yield from _of_run(session, run_id)
    for checkpoint in checkpoints_of(session, instance_id):
        if checkpoint.root:
            yield RootKind.CHECKPOINT, checkpoint.id


HOLDINGS = {Subject.TEMPLATE: _datastore, Subject.RECORD: _record, Subject.RUN: _of_run, Subject.INSTANCE: _of_instance}


def _objects() -> ObjectStore:
    return open_objects(settings())
