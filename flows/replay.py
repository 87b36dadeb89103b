"""The flow `replay`: an instance that was defined from a record lives through one run, which ends in a record of its own."""

from __future__ import annotations

from prefect import flow

from flows.destroy import destroy
from flows.instantiate import instantiate
from flows.whole_run import carried_out, committed, patiently
from models.database import reading
from models.errors import NotFound
from models.instances import current_run, instance_by_id, run_by_id
from models.tables import Record
from tasks.work import named


@flow(flow_run_name=named("replay"))
def replay(instance_id: str) -> dict[str, str | None]:
    """It ends as the run that is replayed would have: with what its template does, or, where programs go on, after as long as that took.

    The instance is destroyed, whatever happens.
    """
    with reading() as session:
        instance = instance_by_id(session, instance_id)
        replayed = session.get(Record, instance.replay_of_id) if instance.replay_of_id else None
        if replayed is None:
            raise NotFound("this instance replays no record", where=instance.name)
        before = run_by_id(session, replayed.run_id)
        lasted_ns = (before.end_ns or 0) - (before.begin_ns or 0)
    try:
        instantiate(instance_id)
        with reading() as session:
            run = current_run(session, instance_id)
        if run is None:
            raise NotFound("its run did not begin, or is over already", where=instance.name)
        carried_out(run.id, at_least_s=max(lasted_ns, 0) / 1e9)
    finally:
        patiently(destroy, instance_id)
    record = committed(run.id)
    return {"instance_id": instance_id, "run_id": run.id, "record_id": record.id}
