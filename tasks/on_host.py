"""What is done on one host for one instance: each a task, idempotent, under the fence of the lease."""

from __future__ import annotations

from prefect import task

from models.database import reading
from models.errors import Conflict, NotFound
from models.instances import instance_by_id, placements
from models.leases import Lease
from models.protocol.control import Nothing
from models.protocol.host import DAEMONS, ChangeInstance, Create, InstanceStatus
from models.states import InstanceState
from models.tables import Project, Template
from models.templates import load_spec
from tasks.progress import Watch
from tasks.provisions import provisioned
from tasks.sessions import HostReference, session_with
from tasks.work import RETRIES, RETRY_PAUSES_S, worth_retrying


@task(task_run_name="create on {host.name}", retries=RETRIES, retry_delay_seconds=RETRY_PAUSES_S, retry_condition_fn=worth_retrying)
def create_on_host(instance_id: str, host: HostReference, lease: str) -> InstanceStatus:
    """Make the instance's share there; every node's init answers when this returns."""
    watch = Watch(f"create on {host.name}")
    wanted, datastore = _wanted(instance_id, host, Lease.parse(lease))
    with provisioned(wanted, host, datastore) as whole, session_with(host) as session:
        made = session.do("create", whole, InstanceStatus, watch)
    watch.done()
    return made


@task(task_run_name="destroy on {host.name}", retries=RETRIES, retry_delay_seconds=RETRY_PAUSES_S, retry_condition_fn=worth_retrying)
def destroy_on_host(instance_id: str, host: HostReference, lease: str) -> None:
    """Leave nothing of the instance there. Nothing being there is fine."""
    with session_with(host) as session:
        try:
            session.do("destroy", ChangeInstance(instance=instance_id, fence=Lease.parse(lease).fence), Nothing,
                       Watch(f"destroy on {host.name}"))
        except NotFound:
            return


def _wanted(instance_id: str, host: HostReference, lease: Lease) -> tuple[Create, str | None]:
    """And the tree with the files of its template."""
    with reading() as session:
        instance = instance_by_id(session, instance_id)
        if instance.state is not InstanceState.INSTANTIATING:  # an attempt that comes too late
            raise Conflict(f"the instance is {instance.state}: nothing of it is created any more", where=instance.name)
        nodes = tuple(place.node for place in placements(session, instance_id) if place.host_id == host.id)
        project = session.get_one(Project, instance.project_id)
        tree = session.get_one(Template, instance.template_id).datastore
        return Create(instance=instance_id, name=instance.name, project=project.name, fence=lease.fence, nodes=nodes,
                      spec=load_spec(session, instance.spec_id), datastore=None if tree else instance.datastore_directory,
                      daemons=DAEMONS if host.id == instance.home_id else ("wires",)), tree
