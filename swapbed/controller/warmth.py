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
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import configure_mappers

from models.database import engine, reading, writing
from models.errors import NotFound, SwapbedError
from models.instances import current_run, placements
from models.leases import Lease, release, renew, take
from models.settings import settings
from models.states import RunState, Subject
from models.tables import Host, Instance, Project, Record, Run, StoredSpec, Template
from models.transition import transition
from tasks.places import likely_hosts

NOBODY = "nobody"
STEPS_OF_A_RUN = ((RunState.STARTING, ()), (RunState.RUNNING, ("begin_ns", "began_at")), (RunState.STOPPING, ()),
                  (RunState.OVER, ("ended_at", "outcome", "reason", "end_ns")))


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
    """Statements that write, of a run's beginning and end, undone at once."""
    renew(Lease(Subject.INSTANCE, NOBODY, fence=0))
    release(Lease(Subject.INSTANCE, NOBODY, fence=0))
    with suppress(_Undone), writing() as session:
        lease = take(session, Subject.INSTANCE, NOBODY, holder=NOBODY, purpose="rehearsal")
        for state, columns in STEPS_OF_A_RUN:
            with suppress(NotFound):
                transition(session, Run, NOBODY, state, lease=lease, **dict.fromkeys(columns))
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
try:
    if _database_is_there():
        _look_for_nobody()
        _rehearse()
        engine().dispose()
except (SwapbedError, SQLAlchemyError):  # who needs the database will say what is wrong with it
    pass
# Of every flow: to make one, Prefect reads the certificates of all the world's authorities, for 20 ms. It has no connection yet.
CLIENT = SyncClientContext() if get_current_settings().api.url else nullcontext()  # it would start a server
