"""The flow `destroy`: from whatever state an instance is in to nothing of it on any host."""

from __future__ import annotations

from prefect import flow

from models.states import InstanceState
from tasks.endings import free_hosts, has_ended
from tasks.recordings import rescue_recordings
from tasks.runs import end_current_run
from tasks.work import change, named, working_on


@flow(flow_run_name=named("destroy"))
def destroy(instance_id: str, lease: str | None = None) -> dict[str, str]:
    """There is no way back from it: interrupted or killed, it is taken up again by the controller."""
    with working_on(instance_id, "destroy", lease) as held:
        if not has_ended(instance_id):
            end_current_run(instance_id, str(held), "its instance is destroyed")
            rescue_recordings(instance_id)
            change(held, instance_id, InstanceState.DESTROYING)
            free_hosts(instance_id, held)
    return {"instance_id": instance_id}
