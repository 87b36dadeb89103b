"""Finding what dead flows left: things in a state that somebody should be working on, under a lease that nobody living holds.

Finding only; the flow `recover` does the work, under a lease of its own, which fences the dead one off.
"""

from __future__ import annotations

from datetime import timedelta

from sqlalchemy import and_
from sqlmodel import col, or_, select

from models.database import reading
from models.database_clock import DatabaseNow
from models.states import INSTANCE, RUN, RunState, Subject
from models.tables import Instance, LeaseRow, Run
from models.tables.columns import now
from tasks.holder import is_dead

NEVER_STARTED = timedelta(seconds=60)  # a run whose row is that old and that no flow has begun to start never will be


def left_by_the_dead() -> list[str]:
    """Ids of instances that need `recover`."""
    instance_between = col(Instance.state).not_in(INSTANCE.resting)
    never_started = and_(col(Run.state) == RunState.DEFINED, col(Run.created_at) < now() - NEVER_STARTED)
    run_between = or_(col(Run.state).not_in(RUN.resting), never_started)
    query = (select(Instance.id, LeaseRow.holder, LeaseRow.expires_s > DatabaseNow())
             .join(Run, and_(col(Run.instance_id) == Instance.id, run_between), isouter=True)
             .join(LeaseRow, and_(col(LeaseRow.subject) == Subject.INSTANCE, col(LeaseRow.subject_id) == Instance.id), isouter=True)
             .where(col(Instance.ended_at).is_(None), or_(instance_between, col(Run.id).is_not(None))))
    with reading() as session:
        found = (instance for instance, holder, unexpired in session.exec(query) if not unexpired or is_dead(holder))
        return list(dict.fromkeys(found))
