"""Whether the parts of a network fit together: names, addresses, routes by hand."""

from __future__ import annotations

import ipaddress

from models.spec.network import Lan
from models.spec.nodes import Node
from models.spec.part import Inconsistent


def check_network(nodes: tuple[Node, ...], lans: tuple[Lan, ...]) -> None:
    """Raise Inconsistent unless every member, interface and address has its own place."""
    names = {n.name for n in nodes}
    interfaces: set[tuple[str, str]] = set()
    macs: set[str] = set()
    owners: dict[str, str] = {}
    networks: dict[ipaddress.IPv4Network | ipaddress.IPv6Network, str] = {}
    for lan in lans:
        if lan.kind == "link" and len(lan.members) != 2:
            raise Inconsistent(f"link '{lan.name}' has {len(lan.members)} ends instead of 2", lan.name)
        if not lan.members:
            raise Inconsistent(f"LAN '{lan.name}' has no members", lan.name)
        if lan.trace and (strangers := set(lan.trace.members) - {m.node for m in lan.members}):
            raise Inconsistent(f"'{lan.name}' is to be traced at '{min(strangers)}', which is not a member of it", lan.name)
        for m in lan.members:
            if m.node not in names:
                raise Inconsistent(f"{lan.kind} '{lan.name}' names unknown node '{m.node}'", lan.name, m.node)
            if (m.node, m.interface) in interfaces:
                raise Inconsistent(f"interface '{m.interface}' of node '{m.node}' is used twice", lan.name, m.node)
            interfaces.add((m.node, m.interface))
            if m.mac in macs:
                raise Inconsistent(f"MAC address {m.mac} is used twice", lan.name, m.node)
            macs.add(m.mac)
            for text in m.addresses:
                address = ipaddress.ip_interface(text)
                place = f"{m.node} on {lan.name}"
                if str(address.ip) in owners:
                    raise Inconsistent(f"address {address.ip} is used twice: {owners[str(address.ip)]} and {place}", lan.name, m.node)
                owners[str(address.ip)] = place
                if address.network.prefixlen < address.max_prefixlen - 1 and address.ip in (
                        address.network.network_address, *([address.network.broadcast_address] if address.version == 4 else [])):
                    raise Inconsistent(f"address {text} of {place} is its network's own or broadcast address", lan.name, m.node)
                if address.ip.is_multicast or address.ip.is_loopback or address.ip.is_unspecified:
                    raise Inconsistent(f"address {text} of {place} is out of range: no interface can have it", lan.name, m.node)
                if (other := networks.setdefault(address.network, lan.name)) != lan.name:
                    raise Inconsistent(f"network {address.network} is used by both '{other}' and '{lan.name}'", lan.name, m.node)
    _check_overlaps(networks)


def check_routes(nodes: tuple[Node, ...], lans: tuple[Lan, ...]) -> None:
    """Raise Inconsistent unless each route by hand leads to a network, by way of a neighbour."""
    by_hand = {n.name for n in nodes if n.routes}
    networks: dict[str, list[ipaddress.IPv4Network | ipaddress.IPv6Network]] = {}
    for member in (m for lan in lans for m in lan.members if m.node in by_hand):
        networks.setdefault(member.node, []).extend(ipaddress.ip_interface(a).network for a in member.addresses)
    for node in (n for n in nodes if n.routes):
        for route in node.routes:
            try:
                ipaddress.ip_network(route.destination, strict=False)
                via = ipaddress.ip_address(route.via)
            except ValueError as error:
                raise Inconsistent(f"route of '{node.name}' to {route.destination} via {route.via}: {error}", node.name) from None
            if not any(via in network for network in networks.get(node.name, ())):
                raise Inconsistent(f"route of '{node.name}' to {route.destination}: {route.via} is not on any network of this node",
                                   node.name)


def _check_overlaps(networks: dict[ipaddress.IPv4Network | ipaddress.IPv6Network, str]) -> None:
    """Sorted by first address, an overlapping network starts before the end of one already seen: linear after the sort."""
    for version in (4, 6):
        last = None
        for network in sorted((n for n in networks if n.version == version), key=lambda n: (int(n.network_address), n.prefixlen)):
            if last is not None and int(network.network_address) <= int(last.broadcast_address):
                if networks[last] != networks[network]:
                    raise Inconsistent(f"networks overlap: {last} of '{networks[last]}' and {network} of '{networks[network]}'",
                                       networks[network])
                continue
            last = network
