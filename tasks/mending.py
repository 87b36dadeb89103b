"""Starting again what died of an instance on its hosts, as far as its nodes say so (`models.spec.Node.failure`) or a user does.

What lives is not touched. Who calls holds the instance's lease.
"""

from __future__ import annotations

from dataclasses import dataclass

from prefect import task

from models.database import reading, writing
from models.instances import instance_by_id, placements
from models.leases import Lease
from models.protocol.conductor import Hello, SomeNodes
from models.protocol.control import Nothing
from models.protocol.host import ChangeDaemon, ChangeNodes, DaemonStatus, InstanceStatus, OfInstance
from models.spec import Spec
from models.states import PlacementState
from models.templates import load_spec
from tasks.daemons import ask_conductor
from tasks.places import hosts_in, hosts_of
from tasks.progress import Watch, report
from tasks.sessions import HostReference, session_with
from tasks.work import RETRIES, RETRY_PAUSES_S, worth_retrying


@dataclass(frozen=True)
class Mended:
    """restarted: nodes and daemons. dead: nodes that stay dead, each with its `failure`; those that an event stopped are not among them."""

    restarted: tuple[str, ...] = ()
    dead: tuple[tuple[str, str], ...] = ()

    @property
    def fatal(self) -> list[str]:
        return [node for node, failure in self.dead if failure == "fatal"]


def is_whole(instance_id: str) -> bool:
    """Whether there is nothing to mend: a look, which takes a quarter of the time that mending nothing does. Raises HostLost."""
    with reading() as session:
        if any(place.state is not PlacementState.PLACED for place in placements(session, instance_id)):
            return False
        hosts = hosts_in(session, instance_id)
    standing = [_inspect(instance_id, host) for host in hosts]
    return all(node.alive for status in standing for node in status.nodes) and all(
        daemon.alive for status in standing for daemon in status.daemons)


@task(task_run_name="mend", retries=RETRIES, retry_delay_seconds=RETRY_PAUSES_S, retry_condition_fn=worth_retrying)
def mend_instance(instance_id: str, lease: str) -> Mended:
    """Wires and conductor run when this returns, and the nodes that are to be restarted answer to it. Raises HostLost."""
    held = Lease.parse(lease)
    with reading() as session:
        spec = load_spec(session, instance_by_id(session, instance_id).spec_id)
        asked_for = {place.node for place in placements(session, instance_id) if place.state is PlacementState.PLANNED}
    restarted: list[str] = []
    dead: list[str] = []
    for host in hosts_of(instance_id):
        status = _inspect(instance_id, host)
        restarted += _start_daemons(instance_id, host, status, held)
        dead += [node.node for node in status.nodes if not node.alive]
    halted = set(_conductor(instance_id).halted) if dead else set()
    again = [name for name in dead if name in asked_for or name not in halted and spec.node(name).failure == "restart"]
    if again:
        report(f"starting {', '.join(again)} again")
        _restart(instance_id, again, held)
    _note(instance_id, held, again, [name for name in dead if name not in again])
    return Mended((*restarted, *again), _left(spec, [name for name in dead if name not in again and name not in halted]))


def _inspect(instance_id: str, host: HostReference) -> InstanceStatus:
    with session_with(host) as session:
        return session.do("inspect", OfInstance(instance=instance_id), InstanceStatus)


def _start_daemons(instance_id: str, host: HostReference, status: InstanceStatus, lease: Lease) -> list[str]:
    """Wires first: the conductor reaches them, and nodes' devices are attached to them, as soon as they are there."""
    started: list[str] = []
    for daemon in [each.daemon for each in status.daemons if not each.alive]:
        report(f"starting the {daemon} on {host.name} again")
        with session_with(host) as session:
            session.do("start_daemon", ChangeDaemon(instance=instance_id, fence=lease.fence, daemon=daemon), DaemonStatus)
        started.append(daemon)
    return started


def _restart(instance_id: str, names: list[str], lease: Lease) -> None:
    with reading() as session:
        host_of = {place.node: place.host_id for place in placements(session, instance_id)}
    for host in hosts_of(instance_id):
        here = tuple(name for name in names if host_of[name] == host.id)
        if here:
            watch = Watch(f"restart on {host.name}")
            with session_with(host) as session:
                session.do("restart_nodes", ChangeNodes(instance=instance_id, fence=lease.fence, nodes=here), InstanceStatus, watch)
            watch.done()
    ask_conductor(instance_id, "connect", SomeNodes(nodes=tuple(names)), Hello)


def _conductor(instance_id: str) -> Hello:
    return ask_conductor(instance_id, "hello", Nothing(), Hello)


def _note(instance_id: str, lease: Lease, again: list[str], dead: list[str]) -> None:
    with writing() as session:
        lease.check(session)
        for place in placements(session, instance_id):
            if place.node in again:
                place.state = PlacementState.PLACED
            elif place.node in dead:
                place.state = PlacementState.DEAD


def _left(spec: Spec, names: list[str]) -> tuple[tuple[str, str], ...]:
    return tuple((name, spec.node(name).failure) for name in names)
