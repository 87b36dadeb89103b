"""The flow `start_run`: a defined run of an instance that is up begins."""

from __future__ import annotations

from prefect import flow

from models.database import reading
from models.instances import run_by_id
from tasks.readiness import make_ready
from tasks.runs import begin_run
from tasks.work import named, working_on


@flow(flow_run_name=named("start"))
def start_run(run_id: str, lease: str | None = None) -> dict[str, str]:
    """Killed in between, it may be run again; a run that is going on already is left alone."""
    with reading() as session:
        instance_id = run_by_id(session, run_id).instance_id
    with working_on(instance_id, "start run", lease) as held:
        make_ready(run_id, str(held))
        begin_run(run_id, str(held))
    return {"instance_id": instance_id, "run_id": run_id}
