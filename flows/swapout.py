"""The flow `swapout`: from an instance that is up to a durable checkpoint, and nothing of it on any host."""

from __future__ import annotations

from prefect import flow
from prefect.states import Cancelled, State

from models.checkpoints import checkpoint_by_id, define_checkpoint
from models.database import reading, writing
from models.instances import instance_by_id
from models.states import InstanceState
from tasks.checkpoints import capture_on_host, fire_swapout_events, host_of, store_checkpoint
from tasks.recordings import rescue_recordings
from tasks.swapping import free_after_swapout, resume_in_place
from tasks.work import change, named, working_on


@flow(flow_run_name=named("swapout"))
def swapout(instance_id: str, lease: str | None = None) -> dict[str, str | int | None] | State:
    """Until the checkpoint is durable, whatever goes wrong or interrupts it leads back to the instance going on where it is."""
    with working_on(instance_id, "swapout", lease) as held:
        host = host_of(instance_id)
        change(held, instance_id, InstanceState.SWAPPING_OUT)
        with writing() as session:
            instance = instance_by_id(session, instance_id)
            checkpoint_id = define_checkpoint(session, instance, created_by=instance.created_by, purpose="swapout").id
        try:
            fire_swapout_events(instance_id)
            rescue_recordings(instance_id)
            capture_on_host(checkpoint_id, host, str(held))
            store_checkpoint(checkpoint_id, str(held))
        except KeyboardInterrupt:
            resume_in_place(instance_id, held, "not swapped out: cancelled")
            return Cancelled(message="The instance goes on")
        except BaseException as error:
            resume_in_place(instance_id, held, f"not swapped out: {error}")
            raise
        free_after_swapout(instance_id, held)
    with reading() as session:
        done = checkpoint_by_id(session, checkpoint_id)
        return {"instance_id": instance_id, "checkpoint_id": done.id, "root": done.root, "stored_bytes": done.stored_bytes}
