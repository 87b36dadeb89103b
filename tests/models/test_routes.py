"""Routes of whole topologies: everybody reaches everybody, on a shortest path, without loops."""

import ipaddress
import time
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from languages.builder import Topology
from models.errors import InvalidInput
from models.routes import Routing, StaticRoute, _merged
from models.spec import Spec


def network_of(spec: Spec) -> tuple[dict, dict]:
    """(address → node, node → its on-link networks)."""
    owners, on_link = {}, {}
    for lan in spec.lans:
        for m in lan.members:
            for a in map(ipaddress.ip_interface, m.addresses):
                owners[a.ip] = m.node
                on_link.setdefault(m.node, []).append((a.network, m.interface))
    return owners, on_link


def walk(spec: Spec, routing: Routing, start: str, to: ipaddress.IPv4Address | ipaddress.IPv6Address) -> list[str] | None:
    """The nodes a packet passes by longest-prefix match, or None where somebody has no route. Fails on a loop."""
    owners, on_link = network_of(spec)
    path, node = [start], start
    while owners.get(to) != node:
        if any(to in network for network, _ in on_link.get(node, ())):
            return [*path, owners[to]]
        fitting = [r for r in routing.routes(node) if to in ipaddress.ip_network(r.destination)]
        if not fitting:
            return None
        best = max(fitting, key=lambda r: ipaddress.ip_network(r.destination).prefixlen)
        assert any(ipaddress.ip_address(best.via) in network and best.interface == interface for network, interface in on_link[node])
        node = owners[ipaddress.ip_address(best.via)]
        assert node not in path, f"loop: {path} and {node} again, towards {to}"
        path.append(node)
    return path


def distances(spec: Spec) -> dict[tuple[str, str], float]:
    """Floyd-Warshall over nodes, a LAN's cost per crossing: the independent model."""
    names = [n.name for n in spec.nodes]
    far = float("inf")
    d = {(a, b): 0.0 if a == b else far for a in names for b in names}
    for lan in spec.lans:
        for a in lan.members:
            for b in lan.members:
                if a.node != b.node:
                    d[a.node, b.node] = min(d[a.node, b.node], lan.cost)
    for k in names:
        for a in names:
            for b in names:
                d[a, b] = min(d[a, b], d[a, k] + d[k, b])
    return d


def path_cost(spec: Spec, path: list[str]) -> float:
    return sum(min(lan.cost for lan in spec.lans if {a, b} <= {m.node for m in lan.members}) for a, b in pairwise(path))


@st.composite
def topologies(draw: st.DrawFn) -> Spec:
    """Links and LANs at random over a few nodes, connected or not, one or both families, unlike costs."""
    net = Topology("drawn")
    net.addressing(draw(st.sampled_from(["ipv4", "ipv6", "dual"])))
    names = [f"n{i}" for i in range(draw(st.integers(2, 8)))]
    for name in names:
        net.node(name)
    for number in range(draw(st.integers(1, 10))):
        members = draw(st.lists(st.sampled_from(names), min_size=2, max_size=4, unique=True))
        net.lan(f"lan{number}", members, cost=draw(st.sampled_from([1, 1, 2, 5])))
    return net.spec()


@given(topologies())
@settings(max_examples=60, deadline=None)
def test_every_node_reaches_every_address_on_a_shortest_path(spec: Spec) -> None:
    routing, d = Routing(spec), distances(spec)
    owners, on_link = network_of(spec)
    for node in (n.name for n in spec.nodes):
        for address, owner in owners.items():
            path = walk(spec, routing, node, address) if on_link.get(node) else None
            if d[node, owner] == float("inf"):
                assert path is None
                continue
            assert path is not None
            # Shortest to the address's network, which its owner may be nearer to by another of its interfaces.
            lan = next(lan for lan in spec.lans for m in lan.members for a in m.addresses if ipaddress.ip_interface(a).ip == address)
            members = [m.node for m in lan.members]
            to_network = path[:next(i for i, n in enumerate(path) if n in members) + 1]
            assert path_cost(spec, to_network) == min(d[node, m] for m in members)


@given(topologies())
@settings(max_examples=30, deadline=None)
def test_the_bare_name_is_the_nearest_address(spec: Spec) -> None:
    routing = Routing(spec)
    for node in (n.name for n in spec.nodes):
        lines = [line.split() for line in routing.hosts(node).splitlines()[2:]]
        named = {name: address for address, *names in lines for name in names}
        assert {f"{m.node}-{lan.name}" for lan in spec.lans for m in lan.members} <= named.keys()
        own = {lan.name for lan, _ in spec.memberships(node)}
        for other in spec.nodes:
            shared = [m for lan, m in spec.memberships(other.name) if lan.name in own]
            if shared and other.name != node:
                assert any(named[other.name] == str(ipaddress.ip_interface(a).ip) for m in shared for a in m.addresses)


@given(st.lists(st.integers(0, 255), unique=True, max_size=60))
def test_merging_keeps_exactly_the_same_addresses(numbers: list[int]) -> None:
    networks = sorted((n << 8, 24) for n in numbers)
    merged = [ipaddress.ip_network((start, length)) for start, length in _merged(networks, 32)]
    assert merged == list(ipaddress.collapse_addresses([ipaddress.ip_network(n) for n in networks]))


def chain(*routings: str) -> Spec:
    net = Topology("chain")
    nodes = [net.node(f"n{i}", routing=r) for i, r in enumerate(routings)]
    for a, b in pairwise(nodes):
        net.link(a, b)
    return net.spec()


def test_a_node_without_routing_gets_nothing_and_is_no_way_through() -> None:
    routing = Routing(chain("static", "none", "static"))
    assert [routing.routes(n) for n in ("n0", "n1", "n2")] == [(), (), ()]
    assert "10.1.2.3\tn2-n1-n2 n2\n" in routing.hosts("n0")


def test_routes_by_hand_are_taken_as_they_are() -> None:
    net = Topology("by-hand")
    a, b, c = net.node("a", routing="manual", routes={"10.1.2.0/24": "10.1.1.3"}), net.node("b"), net.node("c", routing="manual")
    net.link(a, b)
    net.link(b, c)
    routing = Routing(net.spec())
    assert routing.routes("a") == (StaticRoute("10.1.2.0/24", "10.1.1.3", "eth1"),)
    assert routing.routes("c") == ()


def test_a_route_by_hand_wins_over_a_computed_one() -> None:
    net = Topology("detour")
    a, b, c = net.node("a", routes={"10.1.2.0/24": "10.1.3.3"}), net.node("b"), net.node("c")
    net.link(a, b)
    net.link(b, c)
    net.link(a, c)
    assert StaticRoute("10.1.2.0/24", "10.1.3.3", "eth2") in Routing(net.spec()).routes("a")


def test_a_route_by_hand_must_lead_to_a_neighbour() -> None:
    net = Topology("astray")
    a, b = net.node("a", routes={"10.9.0.0/16": "10.1.2.3"}), net.node("b")
    net.link(a, b)
    with pytest.raises(InvalidInput, match=r"test_routes.py:\d+: route of 'a' to 10.9.0.0/16: 10.1.2.3 is not on any network"):
        net.spec()


def test_ties_go_to_what_is_named_first() -> None:
    net = Topology("square")
    a, b, c, d = (net.node(n) for n in "abcd")
    net.link(a, b)
    net.link(a, c)
    net.link(b, d)
    net.link(c, d)
    net.lan("stub", [d, net.node("e")])
    routing = Routing(net.spec())
    assert {r.destination: r.via for r in routing.routes("a")}["10.1.5.0/24"] == "10.1.1.3"
    assert Routing(net.spec()).routes("a") == routing.routes("a")


def test_a_bare_name_never_hides_behind_a_link_name() -> None:
    """`a-b` is the node, although the node `a` is on a LAN called `b`."""
    net = Topology("names")
    net.lan("b", [net.node("a"), net.node("a-b")])
    lines = [line.split("\t") for line in Routing(net.spec()).hosts("a").splitlines()]
    assert [address for address, names in lines if "a-b" in names.split()] == ["10.1.1.3"]


def test_a_thousand_nodes_in_a_few_seconds() -> None:
    net = Topology("tree")
    nodes = net.nodes("h{}", 1000)
    for i in range(1, 1000):
        net.link(nodes[(i - 1) // 2], nodes[i])
    routing, began = Routing(net.spec()), time.process_time()
    assert sum(len(routing.routes(n.name)) for n in nodes) < 100_000, "merging keeps tables small"
    assert all(routing.hosts(n.name).count("\n") == 1000 * 2 for n in nodes[::20]), "localhost twice, and 1998 ends of links"
    assert time.process_time() - began < 10, "about 2 s on an idle core; the bound is for a busy machine"
