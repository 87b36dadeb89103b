"""The flow `stop_run`: a run ends, everything that happened in it is in the table, and what it left becomes its record.

Whoever stopped it hears that it is over before its record is committed: the next run may begin.
"""

from __future__ import annotations

import time

from prefect import flow, get_run_logger

from flows.finalize_record import carried_on, show
from models.database import reading
from models.errors import Conflict, SwapbedError
from models.instances import run_by_id
from models.states import RUN
from tasks.progress import answer
from tasks.record_trees import first_record
from tasks.runs import end_run
from tasks.sessions import sessions_kept
from tasks.work import named, working_on

ASIDE_S = 0.5  # as a rule the next run has begun by then


@flow(flow_run_name=named("stop"))
def stop_run(run_id: str, lease: str | None = None) -> dict[str, str | None]:
    """Killed in between, it may be run again, and the controller does so; a record alone is left to `finalize_record`."""
    with sessions_kept():
        over = end(run_id, lease)
        followed = answer(over)
        with reading() as session:
            record = first_record(session, run_id)
        if record is not None:
            _commit(record.id, ASIDE_S if followed else 0)
    return over


def end(run_id: str, lease: str | None = None) -> dict[str, str | None]:
    """The run is over, and what it left is put aside for its record."""
    with reading() as session:
        run = run_by_id(session, run_id)
    if run.state not in RUN.final:  # else nobody else is to be kept waiting
        with working_on(run.instance_id, "stop run", lease) as held:
            end_run(run_id, str(held))
        with reading() as session:
            run = run_by_id(session, run_id)
    return {"instance_id": run.instance_id, "run_id": run_id, "outcome": run.outcome, "reason": run.reason}


def _commit(record_id: str, aside_s: float) -> None:
    """The run is over, whatever becomes of this: the row says what went wrong, and the controller has it tried again.

    aside_s: how long to stand aside before pictures are drawn, for which there is time.
    """
    try:
        record = carried_on(record_id)
        time.sleep(aside_s)
        show(record)
    except Conflict:
        return  # that was quicker
    except SwapbedError as error:
        get_run_logger().warning("the record is not committed yet: %s", error)
