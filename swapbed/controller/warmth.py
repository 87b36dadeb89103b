"""What every process would find out anew, found out once: importing this is for the process that flows are forked from.

Mappers are configured and the commonest statements compiled (a third of the processor time that a small flow took), and Prefect's client
has been made once. Nothing but memory is handed on: connections are closed.
"""

from __future__ import annotations

from prefect.client.orchestration import get_client
from prefect.settings import get_current_settings
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import configure_mappers

from models.database import engine, reading
from models.errors import SwapbedError
from models.instances import current_run, placements
from models.leases import Lease, renew
from models.states import Subject
from models.tables import Host, Instance, Project, Record, Run, StoredSpec, Template
from tasks.places import likely_hosts

NOBODY = "nobody"


def _look_for_nobody() -> None:
    with reading() as session:
        for table in (Host, Instance, Project, Record, Run, StoredSpec, Template):
            session.get(table, NOBODY)
        placements(session, NOBODY)
        current_run(session, NOBODY)
    renew(Lease(Subject.INSTANCE, NOBODY, fence=0))
    likely_hosts({}, to_be_placed=True)


configure_mappers()
try:
    _look_for_nobody()
    engine().dispose()
except (SwapbedError, SQLAlchemyError):  # who needs the database will say what is wrong with it
    pass
if get_current_settings().api.url:  # it would start a server
    with get_client(sync_client=True):
        pass
