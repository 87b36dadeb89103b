"""A living instance as it stands: its rows, its nodes and daemons on their hosts, its pipes, its run."""

from __future__ import annotations

from datetime import datetime

from sqlmodel import select

from models.database import reading
from models.errors import NotFound
from models.instances import present_values
from models.protocol.conductor import RunInfo, Runs
from models.protocol.control import Message, Nothing
from models.protocol.host import DaemonStatus, InstanceStatus, NodeStatus, OfInstance
from models.protocol.wires import ShownPipe
from models.sweep import varied
from models.tables import Run
from swapbed.lifecycle import Known, find
from swapbed.living import links
from swapbed.living.access import Access
from tasks.sweeps import sweep_with_instance


class InspectedNode(Message):
    name: str
    kind: str
    image: str
    host: str
    addresses: dict[str, tuple[str, ...]]
    status: NodeStatus


class Inspected(Message):
    """run: what the conductor says of the run that goes on, or of the last one. parameters: values in that run, or in the next one where
    the instance was changed since. varied: those that are not the same in all its runs, past ones or, of a sweep, coming ones.
    sweep: id of the one that it is an instance of.
    """

    id: str
    name: str
    state: str
    reason: str | None
    template: str
    parameters: dict[str, str]
    varied: tuple[str, ...] = ()
    sweep: str | None = None
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
    sweep = None if row.start_run or row.ended_at else sweep_with_instance(row.id)
    with reading() as session:
        parameters = present_values(session, row, known.spec)
        of_runs = session.exec(select(Run.parameters).where(Run.instance_id == row.id)).all()
        names = sweep.varied_in(row.spec_id) if sweep else varied(of_runs)
    base = Inspected(id=row.id, name=row.name, state=row.state, reason=row.reason, template=f"{template.name}@{template.number}",
                     parameters=parameters, varied=tuple(names), sweep=sweep.id if sweep else None, created_at=row.created_at,
                     created_by=row.created_by)
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
