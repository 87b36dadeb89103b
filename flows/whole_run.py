"""A run from its beginning to its record in the store, for flows that make runs nobody watches."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from flows.finalize_record import carried_on, show
from flows.stop_run import end
from models.database import reading
from models.errors import Conflict, NotFound, TimedOut
from models.instances import run_by_id
from models.states import RUN, RecordState
from models.tables import Record, Run
from tasks.record_trees import first_record
from tasks.run_waiting import see_through

POLL_S = 0.2
PATIENCE_S = 60.0
STOP_S = 180.0
COMMIT_S = 600.0


def patiently(step: Callable[[str], Any], subject_id: str) -> Any:
    """A flow, tried again while somebody else works on the instance: the controller heeds what that said at a run's end."""
    deadline = time.monotonic() + PATIENCE_S
    while True:
        try:
            return step(subject_id)
        except Conflict:
            if time.monotonic() > deadline:
                raise
            time.sleep(POLL_S)


def carried_out(run_id: str, *, at_least_s: float = 0.0, limit_s: float | None = None) -> Run:
    """A run that has begun, when it is over; see `tasks.run_waiting.see_through`. It is stopped even if it takes too long."""
    try:
        see_through(run_id, at_least_s, limit_s)
    finally:
        run = stopped(run_id)
    return run


def ended(run_id: str) -> Run:
    """The run, once whoever else works on its end is done. Raises TimedOut."""
    deadline = time.monotonic() + STOP_S
    while True:
        with reading() as session:
            run = run_by_id(session, run_id)
        if run.state in RUN.final:
            return run
        if time.monotonic() > deadline:
            raise TimedOut(f"run {run.number} is still {run.state}", where=run.instance_id)
        time.sleep(POLL_S)


def stopped(run_id: str) -> Run:
    """Stop it, unless somebody is at that already."""
    try:
        end(run_id)
    except Conflict:
        return ended(run_id)
    return ended(run_id)


def committed(run_id: str) -> Record:
    """Its record, once it is in the store: by the controller, or by ourselves if that has not begun. Raises NotFound if it has none."""
    deadline = time.monotonic() + COMMIT_S
    while True:
        with reading() as session:
            record = first_record(session, run_id)
        if record is None:
            raise NotFound("the run never began, so there is no record", where=run_id)
        if record.state is not RecordState.COMMITTING:
            return record
        try:
            show(carried_on(record.id))
        except Conflict:
            if time.monotonic() > deadline:
                raise
            time.sleep(POLL_S)
