"""Changing a state: compare-and-set on one row, along the table of its machine, guarded by a lease where one is needed."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

from sqlalchemy import update
from sqlmodel import Session, SQLModel

from models.errors import Conflict, NotFound
from models.leases import Lease
from models.states import CHECKPOINT, INSTANCE, RECORD, RUN, Machine
from models.tables import Checkpoint, Instance, Record, Run

MACHINES: dict[type[SQLModel], Machine] = {Instance: INSTANCE, Run: RUN, Record: RECORD, Checkpoint: CHECKPOINT}


def transition(session: Session, table: type[SQLModel], row_id: str, target: StrEnum, *, expected: StrEnum | None = None,
               lease: Lease | None = None, **columns: Any) -> None:
    """Set the state of one row to target, and other columns with it, if its present state allows it.

    expected: the state it must be in now (default: any that may become target). lease: must still be held, or Conflict.
    A row that is already in the target state stays as it is, columns included: a task that is run twice ends in the same place.
    Raises Conflict, which lists the states that are possible, and NotFound.
    """
    machine = MACHINES[table]
    if lease is not None:
        lease.check(session)
    sources = machine.sources(target) if expected is None else frozenset({expected})
    if expected is not None:
        machine.check(expected, target, row_id)
    of: Any = table
    session.flush()
    statement = update(table).where(of.id == row_id, of.state.in_(sources)).values(state=target, **columns)
    if session.exec(statement, execution_options={"synchronize_session": "evaluate"}).rowcount == 1:
        return
    row: Any = session.get(table, row_id, populate_existing=True)
    if row is None:
        raise NotFound(f"no such {machine.kind}", where=row_id)
    if row.state == target:
        return
    machine.check(row.state, target, row_id)
    raise Conflict(f"{machine.kind} is {row.state}, not {expected} as it was", where=row_id)
