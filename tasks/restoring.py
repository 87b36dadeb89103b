"""A checkpoint's way back: fetched into the spool, brought to life on a host, known to the database. Each step may be done again."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from prefect import task
from sqlmodel import Session, col, func, select

from models.checkpoints import check_way_back, checkpoint_by_id, go_back, latest_checkpoint
from models.database import reading, writing
from models.instances import current_run, instance_by_id, placements
from models.leases import Lease
from models.manifest import ManifestKind, ManifestRef
from models.protocol.checkpoint import Came, Costs
from models.protocol.conductor import RunInfo, Runs
from models.protocol.control import Nothing
from models.protocol.host import DAEMONS, CheckpointRestored, Create, FetchCheckpoint, RestoreCheckpoint
from models.states import RunState
from models.tables import Checkpoint, Instance, OutboxMessage, Project, Run
from models.templates import load_spec
from nodeops.checkpoint.spooled import forget, spool_of
from storage.store import Store
from tasks.checkpoints import with_project
from tasks.daemons import ask_conductor
from tasks.keeping import prepare_on_hosts
from tasks.places import be_placed_and_up
from tasks.progress import Watch, report
from tasks.provisions import provisioned, stored_tree
from tasks.sessions import HostReference, session_with
from tasks.store_access import gate
from tasks.work import RETRIES, RETRY_PAUSES_S, worth_retrying


@task(task_run_name="fetch to {host.name}", retries=RETRIES, retry_delay_seconds=RETRY_PAUSES_S, retry_condition_fn=worth_retrying)
def fetch_checkpoint(instance_id: str, host: HostReference, checkpoint_id: str | None = None) -> str:
    """Into the instance's own spool there, every chunk checked against its hash: one that lacks something is refused before anything is
    made.

    checkpoint_id: None: the one it was swapped out as. Returns its id.
    """
    chosen = way_back(instance_id, checkpoint_id)
    report(f"fetching the checkpoint to {host.name}")
    _, project = with_project(chosen.id)
    if host.address is not None:
        with gate() as door, session_with(host) as agent:
            stored = stored_tree(door, host, project, instance_id, chosen.root or "")
            agent.do("fetch_checkpoint", FetchCheckpoint(checkpoint=instance_id, stored=stored), Nothing)
        return chosen.id
    forget(instance_id)
    spool = spool_of(instance_id)
    spool.root.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    tree = ManifestRef(kind=ManifestKind.TREE, hash=chosen.root or "", size_bytes=chosen.size_bytes)
    try:
        Store.of(project).restore_tree(tree, spool.root)
    except BaseException:
        forget(instance_id)
        raise
    return chosen.id


def way_back(instance_id: str, checkpoint_id: str | None) -> Checkpoint:
    """The one that it can live on from. None: the one it was swapped out as. Raises Conflict."""
    with reading() as session:
        instance = instance_by_id(session, instance_id)
        chosen = checkpoint_by_id(session, checkpoint_id) if checkpoint_id else latest_checkpoint(session, instance)
        check_way_back(session, instance, chosen)
    return chosen


@task(task_run_name="check on {host.name}", retries=RETRIES, retry_delay_seconds=RETRY_PAUSES_S, retry_condition_fn=worth_retrying)
def check_on_host(instance_id: str, checkpoint_id: str, host: HostReference, lease: str) -> None:
    """Whatever can be known to keep that host from restoring the checkpoint, which is in its spool, is raised; images of VMs are there."""
    with _wanted(instance_id, checkpoint_id, host, lease) as wanted, session_with(host) as session:
        session.do("check_checkpoint", wanted, Nothing)


@task(task_run_name="restore on {host.name}", retries=RETRIES, retry_delay_seconds=RETRY_PAUSES_S, retry_condition_fn=worth_retrying)
def restore_on_host(instance_id: str, checkpoint_id: str, host: HostReference, lease: str) -> CheckpointRestored:
    """The instance goes on when this returns."""
    watch = Watch(f"restore on {host.name}")
    with _wanted(instance_id, checkpoint_id, host, lease) as wanted, session_with(host) as session:
        restored = session.do("restore_checkpoint", wanted, CheckpointRestored, watch)
    watch.done()
    return restored


@contextmanager
def _wanted(instance_id: str, checkpoint_id: str, host: HostReference, lease: str) -> Iterator[RestoreCheckpoint]:
    with reading() as session:
        instance, checkpoint = instance_by_id(session, instance_id), checkpoint_by_id(session, checkpoint_id)
        create = as_what(session, instance, checkpoint, lease)
        forked = checkpoint.instance_id != instance_id
        came = Came(host=host.name, host_before=Costs.model_validate(checkpoint.costs).host)
        wanted = RestoreCheckpoint(checkpoint=instance_id, create=create, next_message=0 if forked else _next_message(session, instance),
                                   parameters=instance.parameters if forked else {}, run=None if forked else checkpoint.run_id, came=came)
    with provisioned(create, host) as whole:
        yield wanted.model_copy(update={"create": whole})


def as_what(session: Session, instance: Instance, checkpoint: Checkpoint, lease: str) -> Create:
    """The checkpoint comes back, where the instance is placed."""
    return Create(instance=instance.id, name=instance.name, project=session.get_one(Project, instance.project_id).name,
                  fence=Lease.parse(lease).fence, spec=load_spec(session, checkpoint.spec_id),
                  nodes=tuple(place.node for place in placements(session, instance.id)), daemons=DAEMONS)


def lives_on(instance_id: str, checkpoint_id: str, lease: Lease) -> None:
    """It stands on its hosts, as that checkpoint. The run that goes on in a fork becomes a run of the fork's own."""
    info = ask_conductor(instance_id, "run", Nothing(), Runs).current
    with writing() as session:
        instance = instance_by_id(session, instance_id)
        go_back(session, instance, checkpoint_by_id(session, checkpoint_id))
        adopted = _adopted(session, instance, info)
        be_placed_and_up(session, instance_id, lease)
    if adopted is not None:
        prepare_on_hosts(adopted, lease, fresh=False)


def _adopted(session: Session, instance: Instance, info: RunInfo | None) -> Run | None:
    if info is None or info.phase == "over" or current_run(session, instance.id) is not None:
        return None
    run = Run(instance_id=instance.id, number=info.number, template_id=instance.template_id, spec_id=instance.spec_id,
              parameters=info.parameters, origin="fork", state=RunState.RUNNING, begin_ns=info.zero_ns or info.began_ns,
              began_at=info.began_at, environment_of_run=info.environment_of_run, created_by=instance.created_by)
    session.add(run)
    session.flush()
    return run


def _next_message(session: Session, instance: Instance) -> int | None:
    """The controller has heard what comes before: numbers that were used in a life this checkpoint does not know of are not used again."""
    last = session.exec(select(func.max(OutboxMessage.number)).where(col(OutboxMessage.instance_id) == instance.id)).one()
    return None if last is None else last + 1
