"""Finding what dead flows left: things in a state that somebody should be working on, under a lease that nobody living holds.

Finding only; the flow `recover` does the work, under a lease of its own, which fences the dead one off.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import timedelta

from sqlalchemy import and_
from sqlmodel import col, or_, select

from models.database import reading
from models.database_clock import DatabaseNow
from models.states import INSTANCE, RUN, RunState, Subject
from models.tables import Instance, LeaseRow, Run
from models.tables.columns import now
from swapbed.flow_process import FlowProcess
from tasks.holder import is_dead

PERIOD_S = 1.0
NEVER_STARTED = timedelta(seconds=60)  # a run whose row is that old and that no flow has begun to start never will be
FIRST_RETRY_S, LAST_RETRY_S = 2.0, 60.0


class Recovery:
    """start: begins a flow. A recovery that fails is tried again, ever more rarely."""

    def __init__(self, start: Callable[..., FlowProcess]):
        self.start = start
        self.due_s = 0.0
        self.running: dict[str, FlowProcess] = {}
        self.next_try: dict[str, tuple[float, float]] = {}  # instance → when, and how long to wait after that

    def step(self) -> None:
        if time.monotonic() < self.due_s:
            return
        self.due_s = time.monotonic() + PERIOD_S
        self.running = {instance: flow for instance, flow in self.running.items() if flow.process.is_alive()}
        left = left_by_the_dead()
        self.next_try = {instance: entry for instance, entry in self.next_try.items() if instance in left}
        for instance in left - set(self.running):
            when, pause_s = self.next_try.get(instance, (0.0, FIRST_RETRY_S))
            if time.monotonic() >= when:
                self.next_try[instance] = time.monotonic() + pause_s, min(2 * pause_s, LAST_RETRY_S)
                self.running[instance] = self.start("recover", instance_id=instance)


def left_by_the_dead() -> set[str]:
    """Ids of instances that need `recover`."""
    instance_between = col(Instance.state).not_in(INSTANCE.resting)
    never_started = and_(col(Run.state) == RunState.DEFINED, col(Run.created_at) < now() - NEVER_STARTED)
    run_between = or_(col(Run.state).not_in(RUN.resting), never_started)
    query = (select(Instance.id, LeaseRow.holder, LeaseRow.expires_s > DatabaseNow())
             .join(Run, and_(col(Run.instance_id) == Instance.id, run_between), isouter=True)
             .join(LeaseRow, and_(col(LeaseRow.subject) == Subject.INSTANCE, col(LeaseRow.subject_id) == Instance.id), isouter=True)
             .where(col(Instance.ended_at).is_(None), or_(instance_between, col(Run.id).is_not(None))))
    with reading() as session:
        return {instance for instance, holder, unexpired in session.exec(query) if not unexpired or is_dead(holder)}
