"""The flow `recover`: what a dead flow left in between is brought to a state that things may stay in."""

from __future__ import annotations

from prefect import flow

from models.database import reading
from models.instances import current_run, instance_by_id
from models.leases import Lease
from models.states import INSTANCE, InstanceState, RunState
from tasks.crashed import declare_crashed
from tasks.endings import free_hosts, give_up
from tasks.modifying import bring_back
from tasks.runs import end_run
from tasks.swapping import back_to_swapped_out, forget_spools, take_up_checkpoint, take_up_spooled, take_up_swapout
from tasks.work import change, named, working_on


@flow(flow_run_name=named("recover"))
def recover(instance_id: str) -> dict[str, str]:
    """Nothing, if somebody was faster. Its lease has a higher number than the dead flow's, which hosts and database refuse from now on."""
    with working_on(instance_id, "recover") as held:
        with reading() as session:
            instance = instance_by_id(session, instance_id)
        if instance.state not in INSTANCE.resting:
            declare_crashed(instance.flow_run_id)
            _instance(instance_id, instance.state, held)
        _run(instance_id, held)
    with reading() as session:
        return {"instance_id": instance_id, "state": instance_by_id(session, instance_id).state}


def _instance(instance_id: str, state: InstanceState, lease: Lease) -> None:
    match state:
        case InstanceState.INSTANTIATING:
            give_up(instance_id, lease, "the flow that instantiated it died")
        case InstanceState.DESTROYING:
            free_hosts(instance_id, lease)
        case InstanceState.CHECKPOINTING:
            take_up_checkpoint(instance_id, lease)
        case InstanceState.SWAPPING_OUT:
            take_up_swapout(instance_id, lease, "the flow died")
        case InstanceState.SPOOLED:
            take_up_spooled(instance_id, lease)
        case InstanceState.SWAPPING_IN:
            if _never_lived(instance_id):
                forget_spools(instance_id)
                give_up(instance_id, lease, "the flow that forked it died")
            else:
                back_to_swapped_out(instance_id, lease, "the flow that swapped it in died")
        case InstanceState.MODIFYING:
            bring_back(instance_id, lease, "the flow that modified it died")
        case _:
            change(lease, instance_id, InstanceState.BROKEN, reason=f"a flow died while it was {state.replace('_', ' ')}")


def _never_lived(instance_id: str) -> bool:
    """A fork that has not become anything yet."""
    with reading() as session:
        return instance_by_id(session, instance_id).up_at is None


def _run(instance_id: str, lease: Lease) -> None:
    with reading() as session:
        run = current_run(session, instance_id)
    if run is not None and run.state is not RunState.RUNNING:
        end_run(run.id, str(lease), "the flow that worked on it died")
