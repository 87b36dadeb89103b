"""The flow `fork`: an instance that was defined from a checkpoint begins its life as that, beside the one it was made of."""

from __future__ import annotations

from prefect import flow
from prefect.states import Cancelled, State

from models.database import reading
from models.errors import SwapbedError
from models.instances import current_run
from models.states import InstanceState
from tasks.endings import give_up
from tasks.pictures import publish_topology
from tasks.restoring import fetch_checkpoint, lives_on, restore_on_host, way_back
from tasks.returning import place_again
from tasks.swapping import forget_spools
from tasks.work import change, named, working_on


@flow(flow_run_name=named("fork"))
def fork(instance_id: str, host_id: str | None = None, lease: str | None = None) -> dict[str, str | int | None] | State:
    """host_id: where it must begin; None: where the checkpoint was made, or on another host if that cannot have it.

    Whatever goes wrong or interrupts it, nothing of the new instance stays on any host, and it is `failed` with the reason."""
    with working_on(instance_id, "fork", lease) as held:
        change(held, instance_id, InstanceState.SWAPPING_IN)
        try:
            checkpoint_id = way_back(instance_id, None).id
            host = place_again(instance_id, checkpoint_id, str(held), host_id)
            fetch_checkpoint(instance_id, host, checkpoint_id)
            restored = restore_on_host(instance_id, checkpoint_id, host, str(held))
            forget_spools(instance_id)
            lives_on(instance_id, checkpoint_id, held)
        except KeyboardInterrupt:
            forget_spools(instance_id)
            give_up(instance_id, held, "forking was cancelled")
            return Cancelled(message="What was begun is undone")
        except BaseException as error:
            forget_spools(instance_id)
            give_up(instance_id, held, str(error) if isinstance(error, SwapbedError) else repr(error))
            raise
        publish_topology(instance_id)
        with reading() as session:
            run = current_run(session, instance_id)
    return {"instance_id": instance_id, "checkpoint_id": checkpoint_id, "run_id": run.id if run else None, "late_ns": restored.late_ns}
