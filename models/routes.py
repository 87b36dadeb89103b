"""Static shortest-path routes and host names of a whole topology, from its spec alone.

The graph: nodes, and *segments*, which are the networks of LANs (a LAN with IPv4 and IPv6 is two). A frame that crosses a
segment costs its LAN's `cost`. Every node with static routing gets, for every network it can reach and is not on, the next
hop of a shortest path; ties go to what the spec names first. Since each hop is strictly nearer than the one before, following
next hops never loops, whoever breaks which tie. Nodes with routing `none` are no transit and get nothing; `manual` ones get
their own routes only; a node's own routes win over computed ones to the same network. Like routes are merged where networks
add up exactly, so that nothing is routed that does not exist.

Only nodes on more than one segment matter to paths: one shortest-path tree per such node, and everybody else looks on from
one of them. `Routing` computes what it is asked for, when asked.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from heapq import heappop, heappush
from typing import Literal

from models.spec import Node, Spec

Family = Literal[4, 6]
_BITS = {4: 32, 6: 128}
_FAR = float("inf")


@dataclass(frozen=True)
class StaticRoute:
    """destination: CIDR; via: an address on the network of the node's interface."""

    destination: str
    via: str
    interface: str


@dataclass(frozen=True)
class _Attachment:
    node: int
    address: str
    interface: str


@dataclass(frozen=True)
class _Segment:
    """start, length: of its network. lan: its LAN's name."""

    start: int
    length: int
    lan: str
    cost: float
    members: tuple[_Attachment, ...]


@dataclass(frozen=True)
class _View:
    """What one node sees. hops: per segment the first hop towards it, None where the node is on it or cannot reach it.
    reached: per segment. entry: per node on several segments the one by which it is nearest."""

    hops: list[_Hop | None]
    reached: list[bool]
    entry: dict[int, int]


@dataclass(frozen=True)
class _Hop:
    via: str
    interface: str


class Routing:
    """Routes and /etc/hosts of every node of one spec."""

    def __init__(self, spec: Spec):
        self._spec = spec
        self._nodes = {node.name: index for index, node in enumerate(spec.nodes)}
        self._families: dict[Family, _Graph] = {4: _Graph(spec, 4, self._nodes), 6: _Graph(spec, 6, self._nodes)}

    def routes(self, node: str) -> tuple[StaticRoute, ...]:
        """What is to be installed in the node, IPv4 first, by destination."""
        part = self._spec.nodes[self._nodes[node]]
        if part.routing == "none":
            return ()
        own = {r.destination: r for r in self._manual(part)}
        if part.routing == "static":
            for graph in self._families.values():
                for route in graph.routes(self._nodes[node]):
                    own.setdefault(route.destination, route)
        return tuple(own.values())

    def hosts(self, node: str) -> str:
        """The content of its /etc/hosts: NODE-LAN for every address of every node, and NODE for the one nearest to this node."""
        index = self._nodes[node]
        parts = ["127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n"]
        parts += [graph.hosts(index) for graph in self._families.values()]
        return "".join(parts)

    def _manual(self, node: Node) -> Iterator[StaticRoute]:
        on = [(ipaddress.ip_interface(a).network, m.interface) for _, m in self._spec.memberships(node.name) for a in m.addresses]
        for route in node.routes:
            via = ipaddress.ip_address(route.via)
            destination = str(ipaddress.ip_network(route.destination, strict=False))
            yield StaticRoute(destination, route.via, next(interface for network, interface in on if via in network))


class _Graph:
    """One family's segments and who is on them."""

    def __init__(self, spec: Spec, family: Family, nodes: dict[str, int]):
        self._family: Family = family
        self._names = [node.name for node in spec.nodes]
        self._transit = [node.routing != "none" for node in spec.nodes]
        self._segments = list(_segments(spec, family, nodes))
        self._on: list[list[int]] = [[] for _ in self._names]
        for index, segment in enumerate(self._segments):
            for member in segment.members:
                self._on[member.node].append(index)
        self._crossed = [[m for m in s.members if len(self._on[m.node]) > 1] for s in self._segments]
        self._order = sorted(range(len(self._segments)), key=lambda i: (self._segments[i].start, self._segments[i].length))
        self._networks = [(s.start, s.length) for s in self._segments]
        self._views: dict[int, _View] = {}

    def routes(self, node: int) -> Iterator[StaticRoute]:
        if not self._on[node]:
            return
        view, only = self._viewpoint(node)
        own = set(self._on[node])
        by_hop: dict[_Hop, list[tuple[int, int]]] = {}
        for index in self._order:
            hop = view.hops[index] if only is None else only
            if hop is not None and view.reached[index] and index not in own:
                if (networks := by_hop.get(hop)) is None:
                    networks = by_hop[hop] = []
                networks.append(self._networks[index])
        found = [(start, length, hop) for hop, networks in by_hop.items() for start, length in _merged(networks, _BITS[self._family])]
        kind = ipaddress.IPv4Address if self._family == 4 else ipaddress.IPv6Address
        for start, length, hop in sorted(found, key=lambda f: f[:2]):
            yield StaticRoute(f"{kind(start)}/{length}", hop.via, hop.interface)

    def hosts(self, node: int) -> str:
        """A line for every address, the nearest of each node with its bare name."""
        view = self._viewpoint(node)[0] if self._on[node] else None
        own = set(self._on[node])
        lines = []
        for other, fixed in enumerate(self._lines):
            on = self._on[other]
            if not on:
                continue
            nearest = on[0]
            if other != node and len(on) > 1:
                shared = next((index for index in on if index in own), None)
                nearest = shared if shared is not None else view.entry.get(other, on[0]) if view is not None else on[0]
            lines.append(fixed[nearest])
        return "".join(lines)

    @cached_property
    def _lines(self) -> list[dict[int, str]]:
        """Per node, its lines for each choice of the segment whose address bears the bare name. A bare name is never also a NODE-LAN."""
        taken = set(self._names)
        plain: list[dict[int, list[str]]] = [{} for _ in self._names]
        for index, segment in enumerate(self._segments):
            for member in segment.members:
                name = f"{self._names[member.node]}-{segment.lan}"
                plain[member.node].setdefault(index, []).append(f"{member.address}\t{name if name not in taken else ''}")
        result: list[dict[int, str]] = []
        for node, by_segment in enumerate(plain):
            choices = {}
            for chosen in by_segment:
                lines = []
                for index, (first, *more) in by_segment.items():
                    lines += [f"{first} {self._names[node]}" if index == chosen else first, *more]
                choices[chosen] = "".join(line.replace("\t ", "\t") + "\n" for line in lines if not line.endswith("\t"))
            result.append(choices)
        return result

    def _viewpoint(self, node: int) -> tuple[_View, _Hop | None]:
        """Whose view serves this node: its own, or that of the only way out of its only segment, with the hop to there."""
        if len(self._on[node]) == 1:
            segment = self._segments[self._on[node][0]]
            ways = self._crossed[self._on[node][0]]
            if len(ways) == 1 and self._transit[ways[0].node]:
                interface = next(m.interface for m in segment.members if m.node == node)
                return self._view(ways[0].node), _Hop(ways[0].address, interface)
        return self._view(node), None

    def _view(self, source: int) -> _View:
        if (view := self._views.get(source)) is None:
            view = self._views[source] = self._shortest_paths(source)
        return view

    def _shortest_paths(self, source: int) -> _View:
        """Dijkstra over nodes that forward; a segment is crossed once, from the nearest of its members."""
        hops: list[_Hop | None] = [None] * len(self._segments)
        reached = [False] * len(self._segments)
        entry: dict[int, int] = {}
        first: list[_Hop | None] = [None] * len(self._names)
        distance = [_FAR] * len(self._names)
        distance[source] = 0.0
        heap = [(0.0, source)]
        while heap:
            at, node = heappop(heap)
            if at > distance[node] or (node != source and not self._transit[node]):
                continue
            hop = first[node]
            for index in self._on[node]:
                if reached[index]:
                    continue
                reached[index] = True
                hops[index] = hop
                far = at + self._segments[index].cost
                for member in self._crossed[index]:
                    other = member.node
                    if far < distance[other]:
                        distance[other] = far
                        entry[other] = index
                        first[other] = hop if node != source else _Hop(member.address, self._interface(source, index))
                        heappush(heap, (far, other))
        return _View(hops, reached, entry)

    def _interface(self, node: int, index: int) -> str:
        return next(m.interface for m in self._segments[index].members if m.node == node)


def _segments(spec: Spec, family: Family, nodes: dict[str, int]) -> Iterator[_Segment]:
    """In the order of the spec's LANs and of their members' addresses."""
    for lan in spec.lans:
        networks: dict[tuple[int, int], list[_Attachment]] = {}
        for member in lan.members:
            for text in member.addresses:
                interface = ipaddress.ip_interface(text)
                if interface.version == family:
                    key = (int(interface.network.network_address), interface.network.prefixlen)
                    networks.setdefault(key, []).append(_Attachment(nodes[member.node], str(interface.ip), member.interface))
        for (start, length), members in networks.items():
            yield _Segment(start, length, lan.name, lan.cost, tuple(members))


def _merged(networks: Iterable[tuple[int, int]], bits: int) -> list[tuple[int, int]]:
    """Sorted disjoint networks, neighbours joined wherever two halves of a larger network meet."""
    stack: list[tuple[int, int]] = []
    for start, length in networks:
        stack.append((start, length))
        while len(stack) > 1:
            (a, a_length), (b, b_length) = stack[-2:]
            size = 1 << (bits - a_length)
            if a_length != b_length or b != a + size or a % (2 * size):
                break
            stack[-2:] = [(a, a_length - 1)]
    return stack
