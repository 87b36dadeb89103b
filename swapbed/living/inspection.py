"""A living instance as it stands: its rows, its nodes and daemons on their hosts, its pipes, its run."""

from __future__ import annotations

from datetime import datetime

from models.errors import NotFound
from models.protocol.conductor import RunInfo, Runs
from models.protocol.control import Message, Nothing
from models.protocol.host import DaemonStatus, InstanceStatus, NodeStatus, OfInstance
from models.protocol.wires import ShownPipe
from swapbed.lifecycle import Known, find
from swapbed.living import links
from swapbed.living.access import Access


class InspectedNode(Message):
    name: str
    kind: str
    image: str
    host: str
    addresses: dict[str, tuple[str, ...]]
    status: NodeStatus


class Inspected(Message):
    """run: what the conductor says of the run that goes on, or of the last one."""

    id: str
    name: str
    state: str
    reason: str | None
    template: str
    parameters: dict[str, str]
    created_at: datetime
    created_by: str
    nodes: tuple[InspectedNode, ...] = ()
    daemons: dict[str, tuple[DaemonStatus, ...]] = {}
    pipes: tuple[ShownPipe, ...] = ()
    run: RunInfo | None = None
    problems: tuple[str, ...] = ()


def inspect(name: str) -> tuple[Known, Inspected]:
    """What cannot be found out because something is dead is told among the problems."""
    known = find(name)
    row, template = known.row, known.template
    base = Inspected(id=row.id, name=row.name, state=row.state, reason=row.reason, template=f"{template.name}@{template.number}",
                     parameters={p.name: p.value for p in known.spec.parameters}, created_at=row.created_at, created_by=row.created_by)
    if row.home_id is None or row.ended_at is not None:
        return known, base
    with Access.to(row.id) as access:
        return known, _living(base, access)


def _living(base: Inspected, access: Access) -> Inspected:
    problems: list[str] = []
    on_hosts = {host.transport.name: host.do("inspect", OfInstance(instance=access.instance_id), InstanceStatus) for host in access.hosts()}
    statuses = {node.node: (host, node) for host, status in on_hosts.items() for node in status.nodes}
    pipes: list[ShownPipe] = []
    run: RunInfo | None = None
    try:
        pipes = links.show(access)
        run = access.conductor("run", Nothing(), Runs).current
    except NotFound as error:
        problems.append(str(error))
    problems += [f"node {name} is dead" for name, (_, status) in statuses.items() if not status.alive]
    daemons = {host: status.daemons for host, status in on_hosts.items()}
    problems += [f"the {one.daemon} on {host} is dead" for host, several in daemons.items() for one in several if not one.alive]
    nodes = tuple(_node(access, node.name, *statuses[node.name]) for node in access.spec.nodes if node.name in statuses)
    return base.model_copy(update={"nodes": nodes, "daemons": daemons, "pipes": tuple(pipes), "run": run, "problems": tuple(problems)})


def _node(access: Access, name: str, host: str, status: NodeStatus) -> InspectedNode:
    node = access.spec.node(name)
    return InspectedNode(name=name, kind=node.kind, image=node.image, host=host, status=status,
                         addresses={member.interface: member.addresses for _, member in access.spec.memberships(name)})
