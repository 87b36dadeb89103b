"""A node's network namespace: its interfaces (TAPs, whose other ends the wires hold), addresses, known neighbours and routes.

Quiet by design, since a thousand nodes that greet each other are a storm: no duplicate-address detection, no router
solicitation, no link-local addresses where a LAN has no IPv6, and on LANs of up to PRESET_MEMBERS every member knows all others' MAC
addresses from the start. Beyond that the entries grow with the square of the LAN (a thousand members: a million entries, about
500 MB of kernel memory and several seconds), so there ARP and neighbour discovery do their work over the wires.
"""

from __future__ import annotations

import ipaddress
import os
import socket
from collections.abc import Sequence, Set
from dataclasses import dataclass
from pathlib import Path

from models.routes import Routing, StaticRoute
from models.spec import Lan, Spec
from nodeops import rtnetlink
from nodeops.linux import CLONE_NEWNET, open_own_network_namespace, setns, unshare
from nodeops.rtnetlink import Batch
from nodeops.wires import tap

PRESET_MEMBERS = 128
SYSCTL = Path("/proc/sys/net")
LOOPBACK = 1
GC_LIMITS = ("gc_thresh1", "gc_thresh2", "gc_thresh3")
LEARNED = 64  # neighbours per member of a large LAN that the kernel may have to know at once


@dataclass(frozen=True)
class InterfacePlan:
    """One TAP. neighbours: as `rtnetlink.known` gives them."""

    name: str
    mac: str
    addresses: tuple[rtnetlink.Interface, ...]
    speaks_ipv6: bool
    neighbours: tuple[tuple[int, bytes], ...]

    def same_device(self, of: NetworkPlan) -> bool:
        """Whether that plan's interface of this name differs in nothing but who its neighbours are."""
        return any((self.name, self.mac, self.addresses) == (each.name, each.mac, each.addresses) for each in of.interfaces)


@dataclass(frozen=True)
class NetworkPlan:
    """All that the kernel is told about one node's network."""

    node: str
    interfaces: tuple[InterfacePlan, ...]
    routes: tuple[StaticRoute, ...]

    @property
    def forwards(self) -> bool:
        return len(self.interfaces) > 1


def plan(spec: Spec, nodes: Sequence[str], routing: Routing) -> list[NetworkPlan]:
    """For the named nodes; pure."""
    members = {lan.name: _known_members(lan) for lan in spec.lans}
    interfaces: dict[str, list[InterfacePlan]] = {node: [] for node in nodes}
    for lan in spec.lans:
        for member in lan.members:
            if member.node in interfaces:
                addresses = tuple(ipaddress.ip_interface(text) for text in member.addresses)
                others = tuple(who for node, interface, who in members[lan.name] if (node, interface) != (member.node, member.interface))
                interfaces[member.node].append(InterfacePlan(member.interface, member.mac, addresses,
                                                             any(address.version == 6 for address in addresses), others))
    return [NetworkPlan(node, tuple(interfaces[node]), routing.routes(node)) for node in nodes]


def make_room_for_neighbours(spec: Spec) -> None:
    """Let this host's kernel know enough neighbours for the LANs whose members learn each other: its limit is one for all namespaces.

    Raised only, and not lowered afterwards: other instances may rely on it by then, and an unused limit costs nothing.
    """
    members = sum(len(lan.members) for lan in spec.lans if len(lan.members) > PRESET_MEMBERS)
    if not members:
        return
    for family in ("ipv4", "ipv6"):
        for limit, wanted in zip(GC_LIMITS, (members * LEARNED // 4, members * LEARNED // 2, members * LEARNED), strict=True):
            path = SYSCTL / family / "neigh/default" / limit
            if path.exists() and int(path.read_text()) < wanted:
                path.write_text(str(wanted))


def _known_members(lan: Lan) -> list[tuple[str, str, tuple[int, bytes]]]:
    if len(lan.members) > PRESET_MEMBERS:
        return []
    return [(member.node, member.interface, rtnetlink.known(ipaddress.ip_interface(text).ip, bytes.fromhex(member.mac.replace(":", ""))))
            for member in lan.members for text in member.addresses]


def build(plans: Sequence[NetworkPlan]) -> dict[str, int]:
    """A new network namespace per node, open as an fd that the caller closes; a namespace lives while something holds it.

    This thread moves from one to the next and home again. Raises HostProblem; then none is left.
    """
    made: dict[str, int] = {}
    home = open_own_network_namespace()
    try:
        for each in plans:
            unshare(CLONE_NEWNET)
            _furnish(each)
            made[each.node] = open_own_network_namespace()
    except BaseException:
        for namespace in made.values():
            os.close(namespace)
        raise
    finally:
        setns(home, CLONE_NEWNET)
        os.close(home)
    return made


def change(known: Sequence[NetworkPlan], wanted: NetworkPlan) -> None:
    """In the namespace that this thread is in, which a node lives in. known: any of which its network may be as. An interface stays if it
    is the same in all of them. Raises HostProblem; then it can be tried again."""
    _set_defaults(wanted)
    present = {name for _, name in socket.if_nameindex()}
    stays = {each.name for each in wanted.interfaces if each.name in present and all(each.same_device(had) for had in known)}
    batch = Batch()
    for name in sorted({old.name for had in known for old in had.interfaces} & present - stays):
        batch.add(rtnetlink.delete_link(socket.if_nametoindex(name)), f"{wanted.node}: {name}")
    for route in {route for had in known for route in had.routes} - set(wanted.routes):
        if route.interface in stays:
            gone = rtnetlink.delete_route(*_of_route(route), socket.if_nametoindex(route.interface))
            batch.add(gone, f"{wanted.node}: route to {route.destination}")
    if not batch.empty:
        batch.send()
    _furnish_interfaces(wanted, stays)


def _furnish(each: NetworkPlan) -> None:
    """In the fresh namespace that this thread is in. Settings come first: interfaces inherit them as they are made."""
    _set_defaults(each)
    _furnish_interfaces(each, frozenset())


def _furnish_interfaces(each: NetworkPlan, stays: Set[str]) -> None:
    """stays: interfaces that are there, and only learn of neighbours and routes."""
    batch, indices = Batch(), {}
    present = {name for _, name in socket.if_nameindex()}
    batch.add(rtnetlink.link_up(LOOPBACK), f"{each.node}: lo")
    for interface in each.interfaces:
        about = f"{each.node}: {interface.name}"
        if interface.name not in present:
            tap.create_persistent(interface.name, interface.mac)
        index = indices[interface.name] = socket.if_nametoindex(interface.name)
        if interface.name not in stays:
            if not interface.speaks_ipv6:
                batch.add(rtnetlink.no_link_local_address(index), about)
            for address in interface.addresses:
                batch.add(rtnetlink.address(index, address), f"{about}: {address}")
            batch.add(rtnetlink.link_up(index), about)
        for who in interface.neighbours:
            batch.add(rtnetlink.neighbour(index, who), about)
    for route in each.routes:
        batch.add(rtnetlink.route(*_of_route(route), indices[route.interface]),
                  f"{each.node}: route to {route.destination} via {route.via}")
    batch.send()


def _of_route(route: StaticRoute) -> tuple[rtnetlink.Network, rtnetlink.Address]:
    return ipaddress.ip_network(route.destination), ipaddress.ip_address(route.via)


def _set_defaults(each: NetworkPlan) -> None:
    """IPv4's would be whatever this host has at the moment. Reverse path filtering would drop what takes another way back."""
    values = {"ipv4/ip_forward": int(each.forwards), "ipv4/conf/all/rp_filter": 0, "ipv4/conf/default/rp_filter": 0}
    if (SYSCTL / "ipv6").is_dir():
        values |= {"ipv6/conf/default/accept_dad": 0, "ipv6/conf/default/accept_ra": 0, "ipv6/conf/default/router_solicitations": 0}
        if each.forwards and any(interface.speaks_ipv6 for interface in each.interfaces):
            values |= {"ipv6/conf/all/forwarding": 1}
    for name, value in values.items():
        (SYSCTL / name).write_text(str(value))
