"""Where an instance's nodes are to be: asking the allocator, and writing its answer down before anything is made."""

from __future__ import annotations

import socket
from collections.abc import Mapping, Sequence

from prefect import task
from sqlmodel import Session, col, select

from models.database import reading, writing
from models.errors import HostProblem
from models.hosts import known_hosts
from models.instances import instance_by_id, placements, run_by_id
from models.leases import Lease
from models.spec import Spec
from models.states import HostState, InstanceState, PlacementState
from models.tables import Host, Instance, Placement, Record
from models.tables.columns import now
from models.templates import load_spec
from models.transition import transition
from tasks.allocator import Room, allocate
from tasks.sessions import HostReference


@task
def place_nodes(instance_id: str, lease: str) -> list[HostReference]:
    """Every node has a placement when this returns; those that were placed already stay. The hosts involved, the conductor's first."""
    with writing() as session:
        Lease.parse(lease).check(session)
        instance = instance_by_id(session, instance_id)
        spec = load_spec(session, instance.spec_id)
        hosts = _hosts(session, instance.home_id)
        fixed = {place.node: place.host_id for place in placements(session, instance_id)}
        placed = allocate(spec, _rooms(session, hosts), fixed)
        _on_one_host(placed, hosts)
        session.add_all(Placement(instance_id=instance_id, node=node, host_id=host) for node, host in placed.items() if node not in fixed)
        instance.home_id = instance.home_id or next(iter(placed.values()), hosts[0].id)
    return hosts_of(instance_id)


def place_on(session: Session, instance: Instance, spec: Spec, host_id: str, instead_of: str | None = None) -> HostReference:
    """All nodes have placements on that host, in place of those they had. Raises HostProblem if it gets nothing new, or has no room.

    instead_of: an instance that is about to leave: what it takes counts as free.
    """
    forget_placements(session, instance.id)
    session.flush()
    hosts = _hosts(session, host_id)
    placed = allocate(spec, _rooms(session, hosts, instead_of))
    session.add_all(Placement(instance_id=instance.id, node=node, host_id=host_id) for node in placed)
    instance.home_id = host_id
    return HostReference.of(hosts[0])


def _on_one_host(placed: Mapping[str, str], hosts: Sequence[Host]) -> None:
    """Frames have no way between hosts yet, nor has the conductor to another host's nodes: better refused than broken."""
    names = sorted(host.name for host in hosts if host.id in set(placed.values()))
    if len(names) > 1:
        raise HostProblem("no single host has room for the whole instance, and one cannot span several yet", where=", ".join(names),
                          next="Ask for less, or raise a host's limits (deployments/hosts.toml)")


def hosts_of(instance_id: str) -> list[HostReference]:
    """Where it has nodes, or its conductor, which comes first. Empty: it was never placed."""
    with reading() as session:
        return hosts_in(session, instance_id)


def hosts_in(session: Session, instance_id: str) -> list[HostReference]:
    """The same, where a transaction is open already."""
    home = instance_by_id(session, instance_id).home_id
    ids = {place.host_id for place in placements(session, instance_id)} | ({home} if home else set())
    hosts = session.exec(select(Host).where(col(Host.id).in_(ids)))
    return [HostReference.of(host) for host in sorted(hosts, key=lambda host: (host.id != home, host.name))]


def hosts_of_record(record: Record) -> list[HostReference]:
    """Where its run was."""
    with reading() as session:
        found = [session.get(Host, host) for host in record.summary.get("hosts", [])]
    return [HostReference.of(host) for host in found if host is not None]


def likely_hosts(ids: Mapping[str, str], *, to_be_placed: bool) -> list[HostReference]:
    """Of a flow's ids: where the instance is, or will be if there is no choice; of a record's, where its run was."""
    with reading() as session:
        record = session.get(Record, ids["record_id"]) if "record_id" in ids else None
        instance_id = run_by_id(session, ids["run_id"]).instance_id if "run_id" in ids else ids.get("instance_id")
        hosts = list(session.exec(select(Host)))
    known = hosts_of_record(record) if record else hosts_of(instance_id) if instance_id else []
    if known or not to_be_placed:
        return known
    return [HostReference.of(host) for host in hosts or [Host(name=socket.gethostname())]] if len(hosts) < 2 else []


def placed_and_up(instance_id: str, lease: Lease) -> None:
    """All that was planned stands."""
    with writing() as session:
        be_placed_and_up(session, instance_id, lease)


def be_placed_and_up(session: Session, instance_id: str, lease: Lease) -> None:
    for place in placements(session, instance_id):
        place.state = PlacementState.PLACED
    transition(session, Instance, instance_id, InstanceState.UP, lease=lease, up_at=now(), reason=None)


def forget_placements(session: Session, instance_id: str) -> None:
    """Its nodes are nowhere any more."""
    for place in placements(session, instance_id):
        session.delete(place)


def _hosts(session: Session, only: str | None) -> list[Host]:
    """Those that may get nodes; only: of this one, which somebody has chosen. Raises HostProblem if that is drained."""
    chosen = [host for host in known_hosts(session) if only in (None, host.id)]
    if only is not None and all(host.state != HostState.UP for host in chosen):
        raise HostProblem("the host is drained, and gets nothing new", where=", ".join(host.name for host in chosen),
                          next="Choose another one, or `swapbed host undrain` it")
    return [host for host in chosen if host.state == HostState.UP]


def _rooms(session: Session, hosts: list[Host], without: str | None = None) -> list[Room]:
    """What each host has left, and what that instance has there. Those without limits need no counting."""
    rooms = {host.id: Room(host_id=host.id, name=host.name, nodes=host.nodes, cpus=host.cpus, memory_bytes=host.memory_bytes)
             for host in hosts}
    limited = [room.host_id for room in rooms.values() if room.limited]
    specs: dict[str, Spec] = {}
    there = select(Placement, Instance.spec_id).join(Instance).where(col(Placement.host_id).in_(limited), Placement.instance_id != without)
    for place, spec_id in session.exec(there):
        spec = specs.setdefault(spec_id, load_spec(session, spec_id))
        room = rooms[place.host_id]
        rooms[place.host_id] = room.less(spec.node(place.node)) or room.model_copy(update={"nodes": 0})
    return list(rooms.values())
