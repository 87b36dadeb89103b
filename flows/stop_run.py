"""The flow `stop_run`: a run ends, and everything that happened in it is in the table."""

from __future__ import annotations

from prefect import flow, get_run_logger

from models.database import reading
from models.errors import SwapbedError
from models.instances import run_by_id
from tasks.pictures import publish_links
from tasks.runs import end_run
from tasks.work import named, working_on


@flow(flow_run_name=named("stop"))
def stop_run(run_id: str, lease: str | None = None) -> dict[str, str | None]:
    """Killed in between, it may be run again, and the controller does so."""
    with reading() as session:
        instance_id = run_by_id(session, run_id).instance_id
    with working_on(instance_id, "stop run", lease) as held:
        end_run(run_id, str(held))
        try:
            publish_links(instance_id)
        except SwapbedError as error:  # a picture only; the run is over, and all of it is in the table
            get_run_logger().warning("no picture of the links: %s", error)
    with reading() as session:
        run = run_by_id(session, run_id)
    return {"instance_id": instance_id, "run_id": run_id, "outcome": run.outcome, "reason": run.reason}
