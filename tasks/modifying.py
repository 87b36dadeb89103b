"""Bringing an instance that is up to another spec, and back if that cannot be: on its hosts first, in the database when it is done."""

from __future__ import annotations

from prefect import task

from models.database import reading, writing
from models.errors import Conflict, HostProblem, InvalidInput, SwapbedError
from models.instances import current_run, instance_by_id, placements
from models.leases import Lease
from models.protocol.host import DAEMONS, Create, InstanceStatus
from models.states import InstanceState, PlacementState
from models.tables import Host, Instance, Placement, Project, Template
from models.templates import load_spec
from models.transition import transition
from tasks.places import hosts_of
from tasks.progress import Watch
from tasks.provisions import provisioned
from tasks.sessions import HostReference, session_with
from tasks.work import RETRIES, RETRY_PAUSES_S, change, flow_run_id, worth_retrying


def check_modifiable(instance_id: str, template_id: str) -> None:
    """Raises Conflict or InvalidInput for what cannot be, before anything is changed."""
    with reading() as session:
        instance = instance_by_id(session, instance_id)
        if instance.state is not InstanceState.UP:
            raise Conflict(f"the instance is {instance.state.replace('_', ' ')}", where=instance.name,
                           next="Only one that is up can be changed")
        if (run := current_run(session, instance_id)) is not None:
            raise Conflict(f"run {run.number} is {run.state}", where=instance.name,
                           next=f"It can be changed between two runs: `swapbed run stop {instance.name}`")
        template, present = session.get_one(Template, template_id), session.get_one(Template, instance.template_id)
        if template.datastore != present.datastore:
            raise InvalidInput("the files of its datastore are others, and an instance keeps those it was made with", where=template.name,
                               next="Put files into nodes with `swapbed cp`, or deploy the template anew")


@task(task_run_name="modify on {host.name}", retries=RETRIES, retry_delay_seconds=RETRY_PAUSES_S, retry_condition_fn=worth_retrying)
def modify_on_host(instance_id: str, host: HostReference, spec_id: str, lease: str) -> None:
    """Its share there is as that spec has it when this returns; what did not change goes on undisturbed."""
    watch = Watch(f"modify on {host.name}")
    with provisioned(_wanted(instance_id, host, spec_id, Lease.parse(lease)), host) as whole, session_with(host) as session:
        session.do("modify", whole, InstanceStatus, watch)
    watch.done()


def bring_back(instance_id: str, lease: Lease, reason: str) -> None:
    """To the spec that the database has, after an attempt that failed or died: up again, or `broken` where even that cannot be."""
    with reading() as session:
        spec_id = instance_by_id(session, instance_id).spec_id
    try:
        for host in hosts_of(instance_id):
            modify_on_host.fn(instance_id, host, spec_id, str(lease))
        change(lease, instance_id, InstanceState.UP, reason=reason)
    except SwapbedError as error:
        change(lease, instance_id, InstanceState.BROKEN, reason=f"{reason}; and it cannot be brought back: {error}")


def modified(instance_id: str, template_id: str, spec_id: str, lease: Lease) -> None:
    """All of it stands: placements, template and spec are the new ones from now on. Parameters: those that are not as by default."""
    with writing() as session:
        instance, spec = instance_by_id(session, instance_id), load_spec(session, spec_id)
        names = {node.name for node in spec.nodes}
        placed = placements(session, instance_id)
        for place in placed:
            if place.node not in names:
                session.delete(place)
        session.add_all(Placement(instance_id=instance_id, node=name, host_id=_only_host(instance), state=PlacementState.PLACED)
                        for name in sorted(names - {place.node for place in placed}))
        transition(session, Instance, instance_id, InstanceState.UP, lease=lease, template_id=template_id, spec_id=spec_id, reason=None,
                   parameters={p.name: p.value for p in spec.parameters if p.value != p.default}, flow_run_id=flow_run_id())


def _only_host(instance: Instance) -> str:
    """Instances do not span hosts: new nodes are where the others are."""
    if instance.home_id is None:
        raise HostProblem("the instance was never placed on a host", where=instance.name)
    return instance.home_id


def _wanted(instance_id: str, host: HostReference, spec_id: str, lease: Lease) -> Create:
    with reading() as session:
        instance, spec = instance_by_id(session, instance_id), load_spec(session, spec_id)
        project = session.get_one(Project, instance.project_id)
        home = session.get_one(Host, _only_host(instance))
        nodes = tuple(node.name for node in spec.nodes) if host.id == home.id else ()
        return Create(instance=instance_id, name=instance.name, project=project.name, fence=lease.fence, nodes=nodes, spec=spec,
                      daemons=DAEMONS if host.id == home.id else ("wires",))
