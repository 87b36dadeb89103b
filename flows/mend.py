"""The flow `mend`: what died of an instance that is up is started again, as far as its nodes say so."""

from __future__ import annotations

from prefect import flow

from models.database import reading
from models.instances import instance_by_id
from models.states import InstanceState
from tasks.mending import mend_instance
from tasks.work import named, working_on


@flow(flow_run_name=named("mend"))
def mend(instance_id: str, lease: str | None = None) -> dict[str, str]:
    """Nothing, if nothing is dead or the instance is not up (any more). Killed in between, it may be run again."""
    with working_on(instance_id, "mend", lease) as held:
        with reading() as session:
            state = instance_by_id(session, instance_id).state
        if state is not InstanceState.UP:
            return {"instance_id": instance_id, "restarted": "", "dead": ""}
        mended = mend_instance(instance_id, str(held))
    return {"instance_id": instance_id, "restarted": " ".join(mended.restarted), "dead": " ".join(node for node, _ in mended.dead)}
