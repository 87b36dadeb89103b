"""Every node has one place, no host carries more than it can, and what fits together stays together."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.errors import HostProblem
from models.spec import Lan, Member, Node, Spec
from tasks.allocator import Room, allocate, demand

nodes = st.lists(st.builds(lambda kind, cpus, memory: (kind, cpus, memory), st.sampled_from(["container", "vm"]),
                           st.none() | st.sampled_from([0.5, 1.0, 2.0]), st.none() | st.integers(1, 4).map(lambda g: g << 28)), max_size=12)
rooms = st.lists(st.tuples(st.none() | st.integers(0, 8), st.none() | st.integers(0, 8),
                           st.none() | st.integers(0, 8).map(lambda g: g << 28)), max_size=4)


def _spec(parts: list[tuple]) -> Spec:
    made = tuple(Node(name=f"n{i}", kind=k, cpus=c, memory_bytes=m) for i, (k, c, m) in enumerate(parts))
    lans = tuple(Lan(name=f"l{i}", members=(Member(node=f"n{i}", interface="eth1", mac=f"02:00:00:00:{i:02x}:01"),
                                            Member(node=f"n{i + 1}", interface="eth0", mac=f"02:00:00:00:{i:02x}:02")))
                 for i in range(len(made) - 1))
    return Spec(nodes=made, lans=lans)


def _rooms(limits: list[tuple]) -> list[Room]:
    return [Room(host_id=f"h-{i}", name=f"host{i}", nodes=n, cpus=c, memory_bytes=m) for i, (n, c, m) in enumerate(limits)]


@given(nodes, rooms)
def test_everything_is_placed_within_capacities_or_nothing_is(parts: list[tuple], limits: list[tuple]) -> None:
    spec, hosts = _spec(parts), _rooms(limits)
    try:
        placed = allocate(spec, hosts)
    except HostProblem:
        assert spec.nodes
        return
    assert set(placed) == {node.name for node in spec.nodes}
    for room in hosts:
        here = [demand(node) for node in spec.nodes if placed[node.name] == room.host_id]
        assert room.nodes is None or len(here) <= room.nodes
        assert room.cpus is None or sum(cpus for cpus, _ in here) <= room.cpus
        assert room.memory_bytes is None or sum(memory for _, memory in here) <= room.memory_bytes
    assert allocate(spec, hosts) == placed


@given(nodes, rooms)
def test_one_host_that_can_carry_all_is_enough(parts: list[tuple], limits: list[tuple]) -> None:
    hosts = [*_rooms(limits), Room(host_id="h-big", name="big")]
    assert len(set(allocate(_spec(parts), hosts).values())) <= 1


def test_a_chain_is_cut_once_per_host() -> None:
    placed = allocate(_spec([("container", None, None)] * 10), [Room(host_id=h, name=h, nodes=5) for h in "ab"])
    assert [placed[f"n{i}"] for i in range(10)] == ["a"] * 5 + ["b"] * 5


def test_what_is_placed_stays() -> None:
    placed = allocate(_spec([("container", None, None)] * 3), [Room(host_id="a", name="a")], fixed={"n1": "b"})
    assert placed == {"n0": "a", "n1": "b", "n2": "a"}


def test_no_room_says_who_asks_for_how_much() -> None:
    with pytest.raises(HostProblem, match="no room for 1 of 2 nodes .n1 is the first., which ask for 1 CPUs and 256 MiB"):
        allocate(_spec([("vm", None, None)] * 2), [Room(host_id="a", name="small", cpus=1)])
