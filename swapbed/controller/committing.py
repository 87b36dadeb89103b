"""Finding records with something to be done about them: a run's that ended otherwise than by `stop_run`, or whose `stop_run` died; an
open one's whose window closes.

Finding only; the flow `finalize_record` does the work, under a lease of the record.
"""

from __future__ import annotations

from datetime import timedelta

from sqlalchemy import and_
from sqlmodel import col, or_, select

from models.database import reading
from models.database_clock import DatabaseNow
from models.states import RecordState, Subject
from models.tables import LeaseRow, Record
from models.tables.columns import now
from nodeops.run_files import kept_runs
from tasks.holder import is_dead
from tasks.records import leftover_spools, remove_spool

HEAD_START = timedelta(seconds=0.5)  # for `stop_run`, which takes the lease a moment after the record is there


def sweep_spools() -> None:
    """What flows left in the spool that died just before tidying up."""
    for run in leftover_spools(list(kept_runs())):
        remove_spool(run)


def records_to_finalize() -> list[str]:
    """Ids, oldest first, of those that nobody living works on."""
    closing = and_(col(Record.state) == RecordState.OPEN, col(Record.window_closes_at) <= now())
    ended = and_(col(Record.state) == RecordState.COMMITTING, col(Record.created_at) < now() - HEAD_START)
    query = (select(Record.id, LeaseRow.holder, LeaseRow.expires_s > DatabaseNow())
             .join(LeaseRow, and_(col(LeaseRow.subject) == Subject.RECORD, col(LeaseRow.subject_id) == Record.id), isouter=True)
             .where(or_(ended, closing), col(Record.expunged_at).is_(None))
             .order_by(col(Record.created_at)))
    with reading() as session:
        return [record for record, holder, unexpired in session.exec(query) if not unexpired or is_dead(holder)]
