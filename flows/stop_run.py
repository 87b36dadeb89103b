"""The flow `stop_run`: a run ends, everything that happened in it is in the table, and what it left is put aside for its record."""

from __future__ import annotations

from prefect import flow

from models.database import reading
from models.instances import run_by_id
from models.states import RUN
from tasks.runs import end_run
from tasks.work import named, working_on


@flow(flow_run_name=named("stop"))
def stop_run(run_id: str, lease: str | None = None) -> dict[str, str | None]:
    """Killed in between, it may be run again, and the controller does so. The record is committed later, by `finalize_record`."""
    with reading() as session:
        run = run_by_id(session, run_id)
    instance_id = run.instance_id
    if run.state not in RUN.final:  # else nobody else is to be kept waiting
        with working_on(instance_id, "stop run", lease) as held:
            end_run(run_id, str(held))
    with reading() as session:
        run = run_by_id(session, run_id)
    return {"instance_id": instance_id, "run_id": run_id, "outcome": run.outcome, "reason": run.reason}
