"""The flow `swapout`: from an instance that is up to a durable checkpoint, and nothing of it on any host."""

from __future__ import annotations

from prefect import flow
from prefect.states import Cancelled, State

from models.checkpoints import checkpoint_by_id
from models.database import reading
from models.states import InstanceState
from tasks.checkpoints import capture_on_host, fire_swapout_events, host_of, store_checkpoint
from tasks.recordings import rescue_recordings
from tasks.swapping import begin_checkpoint, free_after_swapout, take_up_swapout
from tasks.work import named, working_on


@flow(flow_run_name=named("swapout"))
def swapout(instance_id: str, lease: str | None = None) -> dict[str, str | int | None] | State:
    """Until the checkpoint is durable, whatever goes wrong or interrupts it leads back to the instance going on where it is."""
    with working_on(instance_id, "swapout", lease) as held:
        host = host_of(instance_id)
        checkpoint_id = begin_checkpoint(instance_id, held, InstanceState.SWAPPING_OUT, "swapout")
        try:
            fire_swapout_events(instance_id)
            rescue_recordings(instance_id)
            capture_on_host(checkpoint_id, host, str(held))
            store_checkpoint(checkpoint_id, str(held))
        except KeyboardInterrupt:
            if take_up_swapout(instance_id, held, "cancelled") is InstanceState.SWAPPED_OUT:
                return Cancelled(message="Too late: the instance is swapped out")
            return Cancelled(message="The instance goes on")
        except BaseException as error:
            take_up_swapout(instance_id, held, str(error))
            raise
        free_after_swapout(instance_id, held)
    with reading() as session:
        done = checkpoint_by_id(session, checkpoint_id)
        return {"instance_id": instance_id, "checkpoint_id": done.id, "root": done.root, "stored_bytes": done.stored_bytes}
