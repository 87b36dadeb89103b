"""A checkpoint's way: captured on its host, stored under one root. Each step a task that may be done again.

The spool is on the host. That of this machine is read here; a host beyond SSH sends by itself, with a token.
"""

from __future__ import annotations

from contextlib import suppress

from prefect import task

from models.checkpoints import checkpoint_by_id
from models.database import reading, writing
from models.errors import Conflict, SwapbedError
from models.instances import instance_by_id
from models.leases import Lease
from models.manifest import Stored, TreePolicy
from models.protocol.checkpoint import Captured, Costs, Life, part_of
from models.protocol.conductor import Outcome
from models.protocol.control import Nothing
from models.protocol.host import Capture
from models.states import CheckpointState
from models.tables import Checkpoint, Project
from models.tables.columns import now
from models.transition import transition
from nodeops.checkpoint.spooled import whole
from storage.roots import RootKind
from storage.store import Store
from tasks.bringing import send
from tasks.daemons import ask_conductor
from tasks.places import hosts_of
from tasks.progress import Watch, report
from tasks.sessions import HostReference, session_with
from tasks.work import RETRIES, RETRY_PAUSES_S, worth_retrying

POLICY = TreePolicy(images=("pages-*.img", "ram", "disk.qcow2"))
SWAPOUT_EVENTS_S = 120.0


@task(task_run_name="events of the swapout")
def fire_swapout_events(instance_id: str) -> None:
    """What the experiment wants done before it goes has completed when this returns; that it failed keeps nobody from going."""
    outcome = ask_conductor(instance_id, "swapout_events", Nothing(), Outcome, timeout_s=SWAPOUT_EVENTS_S)
    if not outcome.ok:
        report(f"events of the swapout failed: {outcome.error or f'code {outcome.code}'}")


@task(task_run_name="capture on {host.name}", retries=RETRIES, retry_delay_seconds=RETRY_PAUSES_S, retry_condition_fn=worth_retrying)
def capture_on_host(checkpoint_id: str, host: HostReference, lease: str, live: bool = False) -> None:
    """Its checkpoint is in the host's spool when this returns, and the instance stands still; live: it has gone on."""
    watch = Watch(f"capture on {host.name}")
    with session_with(host) as session:
        captured = session.do("capture", _wanted(checkpoint_id, Lease.parse(lease), live), Captured, watch)
    watch.done()
    manifest = captured.manifest
    costs = Costs(host=host.name, stood_ns=captured.stood_ns, steps_ns=captured.steps_ns, copying=captured.copying)
    with writing() as session:
        transition(session, Checkpoint, checkpoint_id, CheckpointState.SPOOLED, virtual_ns=manifest.virtual_ns,
                   requirements=manifest.requirements.model_dump(mode="json"), costs=costs.model_dump(mode="json"))


@task(task_run_name="store checkpoint", retries=RETRIES, retry_delay_seconds=RETRY_PAUSES_S, retry_condition_fn=worth_retrying)
def store_checkpoint(checkpoint_id: str, lease: str) -> None:
    """Durable when this returns: every chunk is in the store, pinned under one root."""
    checkpoint, project = with_project(checkpoint_id)
    report("storing the checkpoint")
    stored = _stored(checkpoint_id, checkpoint.instance_id, project)
    costs = Costs.model_validate(checkpoint.costs).model_copy(update={"parts": stored.accounts})
    with writing() as session:
        transition(session, Checkpoint, checkpoint_id, CheckpointState.DURABLE, costs=costs.model_dump(mode="json"),
                   lease=Lease.parse(lease), root=stored.hash,
                   size_bytes=stored.manifest.size_bytes, hashed_bytes=stored.counts.read_bytes, sent_bytes=stored.counts.sent_bytes,
                   stored_bytes=stored.counts.new_bytes, durable_at=now())
        instance = instance_by_id(session, checkpoint.instance_id)
        instance.checkpoint_id, instance.virtual_ns = checkpoint_id, checkpoint_by_id(session, checkpoint_id).virtual_ns or 0


def _stored(checkpoint_id: str, instance_id: str, project: str) -> Stored:
    """And pinned: nothing that only its host says has to be believed, for whoever reads a chunk looks at its hash."""
    host = host_of(instance_id)
    if host.address is None:
        with Store.of(project) as store:
            stored = store.store_tree(whole(checkpoint_id), POLICY, account=part_of)
            store.pin(RootKind.CHECKPOINT, checkpoint_id, stored.manifest)
            return stored
    sent = send(host, project, instance_id, "checkpoint", checkpoint_id, POLICY)
    with Store.of(project, trusting=instance_id) as store:
        store.pin(RootKind.CHECKPOINT, checkpoint_id, sent.stored.manifest, ends=[sent.transfer])
    return sent.stored


def resume_on_host(checkpoint_id: str, host: HostReference, lease: Lease, reason: str) -> None:
    """The instance goes on where it stands; the checkpoint has failed. Not a task: a flow that is being cancelled gets no more of them."""
    with session_with(host) as session:
        session.do("give_up_capture", _wanted(checkpoint_id, lease), Nothing)
    has_failed(checkpoint_id, lease, reason)


def has_failed(checkpoint_id: str, lease: Lease, reason: str) -> None:
    """Unless it is durable: the row says so, and nothing of it stays in the store."""
    checkpoint, project = with_project(checkpoint_id)
    if checkpoint.state is CheckpointState.DURABLE:
        return
    with suppress(SwapbedError):  # the store may be what has failed; it was pinned only if the flow died between that and its row
        Store.of(project).unpin(RootKind.CHECKPOINT, checkpoint_id)
    with writing() as session:
        transition(session, Checkpoint, checkpoint_id, CheckpointState.FAILED, lease=lease, reason=reason)


def host_of(instance_id: str) -> HostReference:
    """The one that it is on. Raises Conflict."""
    hosts = hosts_of(instance_id)
    if not hosts:
        with reading() as session:
            instance = instance_by_id(session, instance_id)
        raise Conflict(f"the instance is {instance.state.replace('_', ' ')}, and on no host", where=instance.name)
    return hosts[0]


def with_project(checkpoint_id: str) -> tuple[Checkpoint, str]:
    """Its row, and the name of its project."""
    with reading() as session:
        checkpoint = checkpoint_by_id(session, checkpoint_id)
        return checkpoint, session.get_one(Project, checkpoint.project_id).name


def _wanted(checkpoint_id: str, lease: Lease, live: bool = False) -> Capture:
    with reading() as session:
        checkpoint = checkpoint_by_id(session, checkpoint_id)
        parent = checkpoint_by_id(session, checkpoint.parent_id).root if checkpoint.parent_id else None
        return Capture(instance=checkpoint.instance_id, fence=lease.fence, checkpoint=checkpoint_id, run=checkpoint.run_id,
                       life=Life(incarnation=checkpoint.incarnation, epoch=checkpoint.epoch, parent=parent), live=live)
