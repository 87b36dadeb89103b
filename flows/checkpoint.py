"""The flow `checkpoint`: what an instance is at one instant becomes durable, and the instance goes on."""

from __future__ import annotations

from prefect import flow
from prefect.states import Cancelled, State

from models.checkpoints import checkpoint_by_id
from models.database import reading
from models.states import InstanceState
from tasks.checkpoints import capture_on_host, host_of, store_checkpoint
from tasks.swapping import begin_checkpoint, finish_checkpoint
from tasks.work import named, working_on


@flow(flow_run_name=named("checkpoint"))
def checkpoint(instance_id: str, lease: str | None = None) -> dict[str, str | int | None] | State:
    """The instance stands still while it is read, not while it is stored. Whatever goes wrong or interrupts it, it goes on."""
    with working_on(instance_id, "checkpoint", lease) as held:
        host = host_of(instance_id)
        checkpoint_id = begin_checkpoint(instance_id, held, InstanceState.CHECKPOINTING, "checkpoint")
        try:
            capture_on_host(checkpoint_id, host, str(held), live=True)
            store_checkpoint(checkpoint_id, str(held))
        except KeyboardInterrupt:
            finish_checkpoint(instance_id, held, "no checkpoint: cancelled")
            return Cancelled(message="The instance goes on")
        except BaseException as error:
            finish_checkpoint(instance_id, held, f"no checkpoint: {error}")
            raise
        finish_checkpoint(instance_id, held)
    with reading() as session:
        done = checkpoint_by_id(session, checkpoint_id)
        return {"instance_id": instance_id, "checkpoint_id": done.id, "root": done.root, "stored_bytes": done.stored_bytes,
                "stood_ns": done.costs.get("stood_ns")}
