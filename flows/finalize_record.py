"""The flow `finalize_record`: what a run left becomes its record, while the next run may be going on; and its window closes."""

from __future__ import annotations

from prefect import flow, get_run_logger

from models.database import reading
from models.errors import SwapbedError
from models.instances import run_by_id
from models.states import RecordState
from models.tables.columns import now
from tasks.pictures import publish_record
from tasks.record_trees import record_by_id
from tasks.records import close_record, commit_record, working_on_record
from tasks.work import named


@flow(flow_run_name=named("record"))
def finalize_record(record_id: str) -> dict[str, str | None]:
    """One step further, if there is one to take. Killed or failed at any point, it may be run again, and the controller does so."""
    with working_on_record(record_id, "finalize record") as lease:
        commit_record(record_id, str(lease))
        record = record_by_id(record_id)
        if record.state is RecordState.OPEN and record.window_closes_at is not None and record.window_closes_at <= now():
            close_record(record_id, str(lease))
            record = record_by_id(record_id)
    try:  # no longer under its lease: drawing takes a second, and the record is there to be used
        publish_record(record)
    except SwapbedError as error:  # a picture only
        get_run_logger().warning("no table of the record: %s", error)
    with reading() as session:
        run = run_by_id(session, record.run_id)
    return {"record_id": record_id, "run_id": run.id, "state": record.state, "root": record.root}
