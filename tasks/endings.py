"""How an instance ends: its hosts freed, its rows closed, whatever it was in the middle of."""

from __future__ import annotations

from models.checkpoints import checkpoints_of
from models.database import reading, writing
from models.errors import SwapbedError
from models.instances import instance_by_id
from models.leases import Lease
from models.states import CHECKPOINT, InstanceState
from models.tables import Instance
from models.tables.columns import now
from models.transition import transition
from tasks.checkpoints import has_failed
from tasks.on_host import destroy_on_host
from tasks.places import forget_placements, hosts_of
from tasks.sessions import interrupt_others
from tasks.swapping import forget_spools
from tasks.work import change, flow_run_id


def give_up(instance_id: str, lease: Lease, reason: str) -> None:
    """Of an instance that could not be made: leave nothing on any host, whatever interrupted the flow. It is `failed` then, or `broken`.

    Not as tasks: a flow that is being cancelled gets no more of them.
    """
    interrupt_others()
    change(lease, instance_id, InstanceState.DESTROYING, reason=reason)
    left = []
    for host in hosts_of(instance_id):
        try:
            destroy_on_host.fn(instance_id, host, str(lease))
        except SwapbedError as error:
            left.append(str(error))
    close(instance_id, lease, left)


def free_hosts(instance_id: str, lease: Lease) -> None:
    """As tasks, one per host; raises the first failure after all have been tried, and the instance is `broken` then."""
    attempts = [destroy_on_host.submit(instance_id, host, str(lease)) for host in hosts_of(instance_id)]
    left = [state.message or "failed" for attempt in attempts if (state := attempt.wait() or attempt.state).is_failed()]
    close(instance_id, lease, left)
    for attempt in attempts:
        attempt.result()


def close(instance_id: str, lease: Lease, left: list[str]) -> None:
    """After the last attempt to free its hosts. left: what went wrong there; then it is `broken`, and destroying it may be tried again."""
    if left:
        change(lease, instance_id, InstanceState.BROKEN, reason="; ".join(left))
        return
    with reading() as session:
        unfinished = [each.id for each in checkpoints_of(session, instance_id) if each.state not in CHECKPOINT.resting]
    for checkpoint_id in unfinished:
        has_failed(checkpoint_id, lease, "its instance was destroyed")
    forget_spools(instance_id)
    with writing() as session:
        instance = instance_by_id(session, instance_id)
        ended = InstanceState.DESTROYED if instance.up_at else InstanceState.FAILED
        forget_placements(session, instance_id)
        transition(session, Instance, instance_id, ended, lease=lease, ended_at=now(), flow_run_id=flow_run_id())


def has_ended(instance_id: str) -> bool:
    with reading() as session:
        return instance_by_id(session, instance_id).ended_at is not None
