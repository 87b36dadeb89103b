"""The flow `nightly_replay`: records are lived through again, unattended, and what programs report is compared with what they did then."""

from __future__ import annotations

from prefect import flow, get_run_logger
from prefect.artifacts import create_table_artifact
from sqlmodel import col, select

from flows.replay import replay
from models.database import reading, writing
from models.errors import ExperimentFailed, SwapbedError
from models.replays import define_replay
from models.states import Subject
from models.tables import Instance, Metadata, Record, Run
from tasks.record_trees import record_by_id

KEY, VALUE = "replay", "nightly"
CREATED_BY = "schedule"


@flow(flow_run_name="nightly replay")
def nightly_replay(record_id: str | None = None) -> dict[str, int]:
    """record_id: one alone; None: every record noted `replay=nightly`, one after the other. One that fails stops no other.

    Raises ExperimentFailed at the end if any failed or ended otherwise than then.
    """
    wanted = [record_id] if record_id is not None else noted()
    rows = [_again(record) for record in wanted]
    if rows:
        create_table_artifact(rows, key="nightly-replay", description=f"{len(rows)} records replayed")
    bad = [row for row in rows if row["problem"]]
    if bad:
        raise ExperimentFailed(f"{len(bad)} of {len(rows)} replays did not go as before", where=bad[0]["record"], next=bad[0]["problem"])
    return {"replayed": len(rows)}


def noted() -> list[str]:
    """Ids, oldest first, of those that are in the store."""
    query = (select(Record.id).join(Metadata, (col(Metadata.subject) == Subject.RECORD) & (col(Metadata.subject_id) == Record.id))
             .where(Metadata.key == KEY, Metadata.value == VALUE, col(Record.root).is_not(None)).order_by(col(Record.created_at)))
    with reading() as session:
        return list(session.exec(query))


def _again(record_id: str) -> dict[str, str]:
    """A line of the table; no values, which would outlive the record in Prefect's pages. problem: why it is not as then, if it is not."""
    try:
        before = record_by_id(record_id)
        with writing() as session:
            instance, _ = define_replay(session, before, created_by=CREATED_BY, origin="schedule")
        replay(instance.id)
        return _compared(before, instance.id)
    except SwapbedError as error:
        get_run_logger().warning("record %s was not replayed: %s", record_id, error)
        return {"record": record_id, "then": "", "now": "", "new record": "", "problem": str(error)}


def _compared(before: Record, instance_id: str) -> dict[str, str]:
    """Values may differ from run to run, so only outcomes and names of values make a problem."""
    with reading() as session:
        run = session.exec(select(Run).where(Run.instance_id == instance_id)).one()
        after = session.exec(select(Record).where(Record.run_id == run.id)).one()
        then = session.get_one(Run, before.run_id)
        name = f"{session.get_one(Instance, then.instance_id).name}/{then.number}"
    reported = [record.summary.get("results", {}) for record in (before, after)]
    problem = f"its outcome was {then.outcome}, and is {run.outcome}" if then.outcome != run.outcome else ""
    if missing := sorted(reported[0].keys() - reported[1].keys()):
        problem = problem or f"it reported '{missing[0]}' then"
    return {"record": name, "then": str(then.outcome), "now": str(run.outcome), "new record": after.id, "problem": problem}
