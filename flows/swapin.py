"""The flow `swapin`: from a durable checkpoint to an instance that goes on as if it had never been away."""

from __future__ import annotations

from prefect import flow
from prefect.states import Cancelled, State

from models.states import InstanceState
from tasks.restoring import fetch_checkpoint, lives_on, restore_on_host, way_back
from tasks.returning import place_again
from tasks.swapping import back_to_swapped_out, forget_spools
from tasks.work import change, named, working_on


@flow(flow_run_name=named("swapin"))
def swapin(instance_id: str, checkpoint_id: str | None = None, host_id: str | None = None,
           lease: str | None = None) -> dict[str, str | int] | State:
    """checkpoint_id: an earlier one of the same instance; None: the one that it was swapped out as. host_id: where it must come back;
    None: on the host that it left, or another if that cannot have it.

    Whatever goes wrong or interrupts it, the checkpoint is as it was, and nothing of the instance stays on any host.
    """
    with working_on(instance_id, "swapin", lease) as held:
        change(held, instance_id, InstanceState.SWAPPING_IN)
        try:
            checkpoint_id = way_back(instance_id, checkpoint_id).id
            host = place_again(instance_id, checkpoint_id, str(held), host_id)
            fetch_checkpoint(instance_id, host, checkpoint_id)
            restored = restore_on_host(instance_id, checkpoint_id, host, str(held))
            forget_spools(instance_id)
            lives_on(instance_id, checkpoint_id, held)
        except KeyboardInterrupt:
            back_to_swapped_out(instance_id, held, "swapping in was cancelled")
            return Cancelled(message="It is swapped out, as before")
        except BaseException as error:
            back_to_swapped_out(instance_id, held, str(error))
            raise
    return {"instance_id": instance_id, "checkpoint_id": checkpoint_id, "late_ns": restored.late_ns}
