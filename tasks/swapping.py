"""How a swapout and a swapin end, well or not; also for what a dead flow left half-way. Each may be done again."""

from __future__ import annotations

from models.checkpoints import checkpoint_by_id, checkpoints_of, define_checkpoint
from models.database import reading, writing
from models.errors import NotWhole, SwapbedError
from models.instances import current_run, instance_by_id
from models.leases import Lease
from models.protocol.control import Nothing
from models.protocol.host import OfCheckpoint
from models.states import CheckpointState, InstanceState
from models.tables import Checkpoint, Instance
from models.transition import transition
from nodeops.checkpoint.spooled import forget
from tasks.checkpoints import has_failed, host_of, resume_on_host, store_checkpoint
from tasks.keeping import forget_on_hosts
from tasks.on_host import destroy_on_host
from tasks.places import forget_placements, hosts_of
from tasks.sessions import interrupt_others, session_with
from tasks.work import change, flow_run_id


def begin_checkpoint(instance_id: str, lease: Lease, state: InstanceState, purpose: str) -> str:
    """The instance is in that state, and has a checkpoint to be captured: its id. Both at once, for who takes up what is left half-way
    looks at the last checkpoint, and an earlier one, which is durable, would let an instance be freed that nobody has captured."""
    with writing() as session:
        transition(session, Instance, instance_id, state, lease=lease, flow_run_id=flow_run_id())
        instance = instance_by_id(session, instance_id)
        return define_checkpoint(session, instance, created_by=instance.created_by, purpose=purpose).id


def take_up_swapout(instance_id: str, lease: Lease, reason: str) -> InstanceState:
    """Of one that something ended half-way: on to the end if the checkpoint is durable, else back. As what the instance is at rest then."""
    if (last := _last(instance_id)) is not None and last.state is CheckpointState.DURABLE:
        free_after_swapout(instance_id, lease)
        return InstanceState.SWAPPED_OUT
    resume_in_place(instance_id, lease, f"not swapped out: {reason}")
    return InstanceState.UP


def take_up_spooled(instance_id: str, lease: Lease) -> None:
    """After the flow's death, wherever that was."""
    free_room(instance_id, lease)
    finish_spooled(instance_id, lease)


def finish_spooled(instance_id: str, lease: Lease) -> None:
    """Of one whose hosts are freed before its checkpoint is durable: there is no way back, so that is stored, however often it is tried."""
    last = _last(instance_id)
    if last is not None and last.state is not CheckpointState.DURABLE:
        try:
            store_checkpoint(last.id, str(lease))
        except NotWhole as error:
            lost(last.id, lease, error)
            return
        except SwapbedError as error:
            still_spooled(instance_id, lease, error)
            raise
    free_after_swapout(instance_id, lease)


def free_room(instance_id: str, lease: Lease) -> None:
    """Of an instance whose checkpoint is whole in the spool: memory, names, and its place in the allocator's books."""
    for host in hosts_of(instance_id):
        destroy_on_host(instance_id, host, str(lease))
    with writing() as session:
        lease.check(session)
        forget_placements(session, instance_id)


def lost(checkpoint_id: str, lease: Lease, error: SwapbedError) -> None:
    """Nothing of the instance is whole since its last durable checkpoint."""
    has_failed(checkpoint_id, lease, str(error))
    forget_spools(lease.subject_id)
    change(lease, lease.subject_id, InstanceState.BROKEN, reason=str(error))


def still_spooled(instance_id: str, lease: Lease, error: SwapbedError) -> None:
    """The store did not take its checkpoint; the row says why. The controller has it tried again."""
    with writing() as session:
        lease.check(session)
        instance_by_id(session, instance_id).reason = f"not in the store yet: {error}"


def free_after_swapout(instance_id: str, lease: Lease) -> None:
    """The checkpoint is durable: hosts, names and spools are freed."""
    for host in hosts_of(instance_id):
        destroy_on_host.fn(instance_id, host, str(lease))
    forget_spools(instance_id)
    forget_beginning(instance_id)
    with writing() as session:
        forget_placements(session, instance_id)
        transition(session, Instance, instance_id, InstanceState.SWAPPED_OUT, lease=lease, reason=None, home_id=None,
                   flow_run_id=flow_run_id())


def take_up_checkpoint(instance_id: str, lease: Lease) -> None:
    """After the flow's death: what was captured whole is stored, if that is possible; the instance goes on in any case."""
    last = _last(instance_id)
    try:
        if last is not None and last.state is CheckpointState.SPOOLED:
            store_checkpoint.fn(last.id, str(lease))
    except SwapbedError as error:
        resume_in_place(instance_id, lease, f"no checkpoint: {error}")
    else:
        finish_checkpoint(instance_id, lease, "no checkpoint: the flow that made it died")


def finish_checkpoint(instance_id: str, lease: Lease, reason: str | None = None) -> None:
    """The instance goes on; reason: why its last checkpoint failed, if it is not durable."""
    last = _last(instance_id)
    if last is None or last.state is not CheckpointState.DURABLE:
        resume_in_place(instance_id, lease, reason or "no checkpoint")
        return
    forget_spools(instance_id)
    change(lease, instance_id, InstanceState.UP, reason=None)


def resume_in_place(instance_id: str, lease: Lease, reason: str) -> None:
    """Of a checkpoint that did not become durable: the instance goes on. reason: what is told of it."""
    interrupt_others()
    last = _last(instance_id)
    if last is not None and last.state in (CheckpointState.CAPTURING, CheckpointState.SPOOLED):
        resume_on_host(last.id, host_of(instance_id), lease, reason)
    change(lease, instance_id, InstanceState.UP, reason=reason)


def back_to_swapped_out(instance_id: str, lease: Lease, reason: str) -> None:
    """Of a swapin that did not succeed."""
    interrupt_others()
    for host in hosts_of(instance_id):
        destroy_on_host.fn(instance_id, host, str(lease))
    forget_spools(instance_id)
    forget_beginning(instance_id)
    with writing() as session:
        forget_placements(session, instance_id)
        transition(session, Instance, instance_id, InstanceState.SWAPPED_OUT, lease=lease, reason=f"not swapped in: {reason}",
                   home_id=None, flow_run_id=flow_run_id())


def forget_beginning(instance_id: str) -> None:
    """Of the run that goes on: how it began is in the checkpoint, and the host that it left need not see it again."""
    with reading() as session:
        run = current_run(session, instance_id)
    if run is not None:
        forget_on_hosts(run.id, hosts_of(instance_id))


def forget_spools(instance_id: str) -> None:
    """What is durable is not needed on the host any more: neither what it was captured into, nor what it was brought back from.

    Always before the instance comes to rest: nobody looks for what is left of one that rests.
    """
    with reading() as session:
        ids = [each.id for each in checkpoints_of(session, instance_id)]
    for spool in (*ids, instance_id):
        forget(spool)
    for host in (host for host in hosts_of(instance_id) if host.address is not None):
        with session_with(host) as session:
            for spool in (*ids, instance_id):
                session.do("forget_checkpoint", OfCheckpoint(checkpoint=spool), Nothing)


def _last(instance_id: str) -> Checkpoint | None:
    with reading() as session:
        instance_by_id(session, instance_id)
        found = checkpoints_of(session, instance_id)
        return checkpoint_by_id(session, found[-1].id) if found else None
