"""Finding records with something to be done about them: a run's that is over, an open one's whose window closes.

Finding only; the flow `finalize_record` does the work, under a lease of the record. One that fails is tried again, ever more rarely.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from sqlalchemy import and_
from sqlmodel import col, or_, select

from models.database import reading
from models.database_clock import DatabaseNow
from models.states import RecordState, Subject
from models.tables import LeaseRow, Record
from models.tables.columns import now
from nodeops.run_files import kept_runs
from swapbed.flow_process import FlowProcess
from tasks.holder import is_dead
from tasks.records import leftover_spools, remove_spool

PERIOD_S = 0.2
FIRST_RETRY_S, LAST_RETRY_S = 2.0, 60.0
AT_ONCE = 4


class Committing:
    """start: begins a flow."""

    def __init__(self, start: Callable[..., FlowProcess]):
        self.start = start
        self.due_s = 0.0
        self.swept = False
        self.running: dict[str, FlowProcess] = {}
        self.next_try: dict[str, tuple[float, float]] = {}  # record → when, and how long to wait after that

    def step(self) -> None:
        if time.monotonic() < self.due_s:
            return
        self.due_s = time.monotonic() + PERIOD_S
        self._sweep()
        self.running = {record: flow for record, flow in self.running.items() if flow.process.is_alive()}
        waiting = records_to_finalize()
        self.next_try = {record: entry for record, entry in self.next_try.items() if record in waiting}
        for record in waiting:
            when, pause_s = self.next_try.get(record, (0.0, FIRST_RETRY_S))
            if record not in self.running and len(self.running) < AT_ONCE and time.monotonic() >= when:
                self.next_try[record] = time.monotonic() + pause_s, min(2 * pause_s, LAST_RETRY_S)
                self.running[record] = self.start("finalize_record", record_id=record)

    def _sweep(self) -> None:
        """Once: what flows left in the spool that died just before tidying up."""
        if not self.swept:
            self.swept = True
            for run in leftover_spools(list(kept_runs())):
                remove_spool(run)


def records_to_finalize() -> list[str]:
    """Ids, oldest first, of those that nobody living works on."""
    closing = and_(col(Record.state) == RecordState.OPEN, col(Record.window_closes_at) <= now())
    query = (select(Record.id, LeaseRow.holder, LeaseRow.expires_s > DatabaseNow())
             .join(LeaseRow, and_(col(LeaseRow.subject) == Subject.RECORD, col(LeaseRow.subject_id) == Record.id), isouter=True)
             .where(or_(col(Record.state) == RecordState.COMMITTING, closing)).order_by(col(Record.created_at)))
    with reading() as session:
        return [record for record, holder, unexpired in session.exec(query) if not unexpired or is_dead(holder)]
