"""Leases: who works on a thing, until when, and under which number.

At most one holder has a lease on one thing (an instance: its topology and clock; a record). A lease ends when it is released or
when its holder has not renewed it for its time to live, by the database's clock. Each new holder gets a higher number, the
*fence*: a holder that was thought dead and comes back finds its own refused, by every guarded write to the database
(`Lease.check`, in the same transaction) and by the hosts, which remember the highest they have seen. Children of a flow are
handed its lease as text and neither renew nor release it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Engine, case, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlmodel import Session

from models.database import engine, reading, writing
from models.database_clock import DatabaseNow
from models.errors import Busy, Conflict, StoreProblem
from models.states import Subject
from models.tables import LeaseRow

TIME_TO_LIVE_S = 30.0
RENEWALS_PER_LIFE = 6


@dataclass(frozen=True)
class Lease:
    """A claim. Whether it still holds is known to the database only."""

    subject: Subject
    subject_id: str
    fence: int

    def __str__(self) -> str:
        """The form in which it is handed to a child flow or a host."""
        return f"{self.subject}:{self.subject_id}:{self.fence}"

    @staticmethod
    def parse(text: str) -> Lease:
        subject, subject_id, fence = text.split(":")
        return Lease(Subject(subject), subject_id, int(fence))

    def check(self, session: Session) -> None:
        """Raise Conflict unless it is held; nobody else can take it before the session's transaction is over."""
        if not _touch(session, self, {"purpose": LeaseRow.purpose}):
            raise Conflict("this lease has expired or was taken by somebody else", where=str(self),
                           next="Whatever holds it now decides; see `swapbed status`")


def _touch(session: Session, lease: Lease, values: dict[str, Any]) -> bool:
    statement = update(LeaseRow).where(_is(LeaseRow.subject, lease.subject), _is(LeaseRow.subject_id, lease.subject_id),
                                       _is(LeaseRow.fence, lease.fence), LeaseRow.expires_s > DatabaseNow())
    return session.connection().execute(statement.values(values)).rowcount == 1


def _is(column: Any, value: Any) -> Any:
    return column == value


def acquire(subject: Subject, subject_id: str, *, holder: str, purpose: str, time_to_live_s: float = TIME_TO_LIVE_S,
            is_dead: Callable[[str], bool] | None = None, on: Engine | None = None) -> Lease:
    """Take a free or expired lease. is_dead: tells of the present holder whether it can be known never to come back.

    Raises Conflict, naming the holder and what it does, while somebody else has it.
    """
    with writing(on) as session:
        lease = take(session, subject, subject_id, holder=holder, purpose=purpose, time_to_live_s=time_to_live_s, is_dead=is_dead)
    if lease is None:
        raise _taken(subject, subject_id, on)
    return lease


def take(session: Session, subject: Subject, subject_id: str, *, holder: str, purpose: str, time_to_live_s: float = TIME_TO_LIVE_S,
         is_dead: Callable[[str], bool] | None = None) -> Lease | None:
    """`acquire`, in a transaction of the caller's; None if somebody else has it."""
    present = session.get(LeaseRow, (subject, subject_id))
    of_the_dead = present.fence if present is not None and is_dead is not None and is_dead(present.holder) else 0  # which nobody has
    insert = (postgresql if session.get_bind().dialect.name == "postgresql" else sqlite).insert(LeaseRow)
    free = (LeaseRow.expires_s <= DatabaseNow()) | (LeaseRow.fence == of_the_dead)
    fence = session.connection().execute(insert.values(
        subject=subject, subject_id=subject_id, fence=1, holder=holder, purpose=purpose, expires_s=DatabaseNow() + time_to_live_s,
    ).on_conflict_do_update(
        index_elements=["subject", "subject_id"],
        set_={"fence": LeaseRow.fence + 1, "holder": holder, "purpose": purpose, "expires_s": DatabaseNow() + time_to_live_s},
        where=free,
    ).returning(LeaseRow.fence)).scalar()
    return Lease(subject, subject_id, fence) if fence is not None else None


def _taken(subject: Subject, subject_id: str, on: Engine | None) -> Busy:
    with reading(on) as session:
        row = session.get_one(LeaseRow, (subject, subject_id))
        left_s = session.connection().execute(_remaining(row)).scalar_one()
    return Busy(f"{row.holder} works on it ({row.purpose})", where=f"{subject} {subject_id}",
                next=f"Wait for it, or until it has been silent for {max(left_s, 0):.0f} s more")


def _remaining(row: LeaseRow) -> Any:
    from sqlalchemy import select

    return select(case((DatabaseNow() < row.expires_s, row.expires_s - DatabaseNow()), else_=0.0))


def renew(lease: Lease, time_to_live_s: float = TIME_TO_LIVE_S, on: Engine | None = None) -> bool:
    """Whether it is still held; if so, its time begins anew."""
    with writing(on) as session:
        return _touch(session, lease, {"expires_s": DatabaseNow() + time_to_live_s})


def release(lease: Lease, on: Engine | None = None) -> None:
    """Free it, if it is still held. The number stays taken."""
    with writing(on) as session:
        _touch(session, lease, {"expires_s": 0})


def expired(on: Engine | None = None) -> list[LeaseRow]:
    """Leases that ran out instead of being released: whoever had them died or hangs."""
    from sqlmodel import select

    with reading(on) as session:
        return list(session.exec(select(LeaseRow).where(LeaseRow.expires_s > 0, LeaseRow.expires_s <= DatabaseNow())))


@contextmanager
def held(subject: Subject, subject_id: str, *, holder: str, purpose: str, inherited: str | None = None,
         time_to_live_s: float = TIME_TO_LIVE_S, is_dead: Callable[[str], bool] | None = None, on: Engine | None = None) -> Iterator[Lease]:
    """Hold a lease for the block, renewing it from a thread; or check and use the one inherited from a parent flow.

    Losing it is not announced: the next guarded write is refused.
    """
    if inherited is not None:
        lease = Lease.parse(inherited)
        if (lease.subject, lease.subject_id) != (subject, subject_id):
            raise Conflict(f"the lease that was handed down is for {lease.subject} {lease.subject_id}", where=f"{subject} {subject_id}")
        with writing(on) as session:
            lease.check(session)
        yield lease
        return
    database = on or engine()
    lease = acquire(subject, subject_id, holder=holder, purpose=purpose, time_to_live_s=time_to_live_s, is_dead=is_dead, on=database)
    over = threading.Event()
    heart = threading.Thread(target=_beat, args=(lease, time_to_live_s, over, database), name=f"lease {lease}", daemon=True)
    heart.start()
    try:
        yield lease
    finally:
        over.set()
        heart.join()
        release(lease, database)


def _beat(lease: Lease, time_to_live_s: float, over: threading.Event, on: Engine) -> None:
    """Until told, or until the lease is lost. A database that does not answer is asked again: it may be back in time."""
    while not over.wait(time_to_live_s / RENEWALS_PER_LIFE):
        try:
            if not renew(lease, time_to_live_s, on):
                return
        except StoreProblem:
            continue
