"""What every process would find out anew, found out once: importing this is for the process that flows are forked from.

Mappers are configured and the commonest statements compiled, models completed that put that off until they are used (a third of the
processor time that a small flow took), what draws is imported, and Prefect's client is made. Nothing but memory is handed on:
connections are closed.
"""

from __future__ import annotations

from contextlib import nullcontext, suppress
from importlib import import_module
from pathlib import Path

from prefect.context import SyncClientContext
from prefect.settings import get_current_settings
from pydantic import BaseModel
from sqlalchemy.engine import make_url
from sqlalchemy.exc import IntegrityError, SQLAlchemyError
from sqlalchemy.orm import configure_mappers
from sqlmodel import select

from models.database import engine, reading, writing
from models.errors import NotFound, SwapbedError
from models.instances import current_run, placements
from models.leases import Lease, release, renew, take
from models.manifest import ManifestKind, ManifestRef
from models.protocol.conductor import ActivityLine
from models.settings import settings
from models.states import PackState, RecordState, RunState, Subject
from models.tables import Host, Instance, Project, Record, Run, StoredSpec, Template
from models.tables.columns import now
from models.transition import transition
from nodeops.surroundings import surroundings
from storage import transfers
from storage.catalog import Catalog
from storage.roots import PinnedRoot, RootKind, insert_root
from tasks.places import likely_hosts
from tasks.record_trees import first_record
from tasks.records import events_of
from tasks.runs import collected, insert_events

NOBODY = "nobody"
STEPS_OF_A_RUN = ((RunState.STARTING, ()), (RunState.RUNNING, ("begin_ns", "began_at")), (RunState.STOPPING, ()),
                  (RunState.OVER, ("ended_at", "outcome", "reason", "end_ns")))
COLUMNS_OF_A_COMMIT = ("reason", "root", "size_bytes", "files", "summary", "committed_at", "window_closes_at", "finalized_at")


class _Undone(Exception):
    pass


def _look_for_nobody() -> None:
    with reading() as session:
        for table in (Host, Instance, Project, Record, Run, StoredSpec, Template):
            session.get(table, NOBODY)
        placements(session, NOBODY)
        current_run(session, NOBODY)
    likely_hosts({}, to_be_placed=True)


def _rehearse() -> None:
    """Statements of a run's beginning and end, and of its record; those that write are undone at once."""
    renew(Lease(Subject.INSTANCE, NOBODY, fence=0))
    release(Lease(Subject.INSTANCE, NOBODY, fence=0))
    with suppress(_Undone), writing() as session:
        lease = take(session, Subject.INSTANCE, NOBODY, holder=NOBODY, purpose="rehearsal")
        for state, columns in STEPS_OF_A_RUN:
            with suppress(NotFound):
                transition(session, Run, NOBODY, state, lease=lease, **dict.fromkeys(columns))
        raise _Undone
    with suppress(IntegrityError), writing() as session:  # there is no such run
        insert_events(session, NOBODY, [ActivityLine(number=number, kind="", actual_ns=0, at=now()) for number in range(2)], 0)
    with suppress(_Undone), writing() as session:
        insert_events(session, NOBODY, (), 0)
        raise _Undone
    with suppress(IntegrityError), writing() as session:
        session.add(Record(project_id=NOBODY, run_id=NOBODY, created_by=NOBODY))
    with reading() as session:
        first_record(session, NOBODY)
        collected(session, NOBODY)
        events_of(session, NOBODY)
    with suppress(_Undone), writing() as session:
        lease = take(session, Subject.RECORD, NOBODY, holder=NOBODY, purpose="rehearsal")
        with suppress(NotFound):
            transition(session, Record, NOBODY, RecordState.FINAL, lease=lease, **dict.fromkeys(COLUMNS_OF_A_COMMIT))
        raise _Undone


def _rehearse_storing() -> None:
    """The same of a tree that is stored and pinned."""
    manifest = ManifestRef(kind=ManifestKind.TREE, hash="0" * 64, size_bytes=0, files=0)
    with reading() as session:
        project = session.exec(select(Project)).first()
    if project is None:
        return
    catalog, root = Catalog(engine(), project.name), PinnedRoot(id=NOBODY, project=project.name, kind=RootKind.RECORD, name=NOBODY,
                                                                manifest=manifest, created_at=now())
    with suppress(_Undone), writing() as session:
        transfer = transfers.begin(session, project.id, "store")
        transfers.hold(session, transfer, manifest)
        catalog.expect(session, NOBODY, 0, transfer, "", 0)
        catalog.claim(session, NOBODY, (), PackState.VERIFIED)
        insert_root(session, project.id, root)
        transfers.end(session, [transfer])
        raise _Undone


def _database_is_there() -> bool:
    """Looking must not make it: who started this may be gone, and the state directory with it."""
    url = make_url(settings().effective_database_url)
    return url.get_backend_name() != "sqlite" or Path(url.database or "").exists()


def _complete(model: type[BaseModel]) -> None:
    for one in model.__subclasses__():
        if not one.__pydantic_complete__:
            one.model_rebuild(raise_errors=False)
        _complete(one)


for drawing in ("matplotlib.figure", "matplotlib.backends.backend_agg"):  # every record has a picture
    import_module(drawing)
configure_mappers()
_complete(BaseModel)
if _database_is_there():
    with suppress(SwapbedError, SQLAlchemyError):  # who needs the database will say what is wrong with it
        try:
            _look_for_nobody()
            _rehearse()
            _rehearse_storing()
        finally:
            engine().dispose()
with suppress(OSError):  # whoever has a run's files put aside will say so
    surroundings({}, ())  # of this host, which local agents are forked with
# Of every flow: to make one, Prefect reads the certificates of all the world's authorities, for 20 ms. It has no connection yet.
CLIENT = SyncClientContext() if get_current_settings().api.url else nullcontext()  # it would start a server
