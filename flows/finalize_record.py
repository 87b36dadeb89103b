"""The flow `finalize_record`: what a run left becomes its record, where `stop_run` did not come to it; and its window closes."""

from __future__ import annotations

from prefect import flow, get_run_logger

from models.database import reading
from models.errors import SwapbedError
from models.instances import run_by_id
from models.states import RecordState
from models.tables import Record
from models.tables.columns import now
from tasks.pictures import publish_record
from tasks.record_trees import record_by_id
from tasks.records import close_record, commit_record, working_on_record
from tasks.work import named


@flow(flow_run_name=named("record"))
def finalize_record(record_id: str) -> dict[str, str | None]:
    """One step further, if there is one to take. Killed or failed at any point, it may be run again, and the controller does so."""
    record = carried_on(record_id)
    show(record)
    with reading() as session:
        run = run_by_id(session, record.run_id)
    return {"record_id": record_id, "run_id": run.id, "state": record.state, "root": record.root}


def carried_on(record_id: str) -> Record:
    """One step further. Raises Conflict while somebody else works on it."""
    with working_on_record(record_id, "finalize record") as lease:
        commit_record(record_id, str(lease))
        record = record_by_id(record_id)
        if record.state is RecordState.OPEN and record.window_closes_at is not None and record.window_closes_at <= now():
            close_record(record_id, str(lease))
            record = record_by_id(record_id)
    return record


def show(record: Record) -> None:
    """In Prefect's pages. No longer under its lease: drawing takes a second, and the record is there to be used."""
    try:
        publish_record(record)
    except SwapbedError as error:  # a picture only
        get_run_logger().warning("no table of the record: %s", error)
