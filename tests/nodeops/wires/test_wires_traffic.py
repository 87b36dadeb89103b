"""Frames between real network namespaces: who gets them, when, and cut into which."""

from __future__ import annotations

import pytest

from benchmarks.bare_network import BareNetwork, link
from models.spec import Queue, Shaping
from tests.nodeops.wires.probes import pipe_of, round_trip_ms, transfer


def test_frames_meet_the_shaping_of_both_halves(network):
    """Two halves of 10 ms each way, and one transmission of 98 bytes at 10 Mbit/s each way, not two."""
    assert round_trip_ms(network, "a", "10.9.1.2") < 10
    assert 40.156 <= round_trip_ms(network, "a", "10.9.2.2") < 48
    assert 2 <= round_trip_ms(network, "a", "10.9.3.3") < 8
    shown = pipe_of(network, "link2", "a", "uplink")
    assert (shown.tally.out_frames, shown.tally.out_bytes) == (3, 3 * 98)
    assert shown.late_p50_ns < 5_000_000


def test_a_broadcast_reaches_every_other_member_and_a_unicast_one(network):
    def delivered() -> dict[str, int]:
        with network.client() as wires:
            return {p.node: p.tally.out_frames for p in wires.show("lan3") if p.direction == "downlink"}

    start = delivered()
    network.run("a", "ping", "-b", "-c", "1", "-W", "0.2", "10.9.3.255")
    heard = delivered()
    assert {node: heard[node] - start[node] for node in heard} == {"a": 0, "b": 1, "c": 1}
    network.run("a", "ping", "-c", "2", "-i", "0.05", "10.9.3.2")
    after = delivered()
    assert {node: after[node] - heard[node] for node in heard} == {"a": 2, "b": 2, "c": 0}


def test_addresses_that_nodes_make_themselves_are_learned(network, tmp_path):
    """A macvlan in b: once it has spoken, frames for it no longer flood to c."""
    for command in ("ip link add own link lan3 type macvlan mode bridge", "ip addr add 10.9.3.77/24 dev own", "ip link set own up"):
        assert network.run("b", *command.split()).returncode == 0
    assert network.run("b", "ping", "-c", "1", "-I", "own", "10.9.3.1").returncode == 0
    with network.client() as wires:
        number = wires.capture_start("lan3", tmp_path / "c.pcapng", member="c", expression="icmp")
        assert network.run("a", "ping", "-c", "3", "-i", "0.05", "10.9.3.77").returncode == 0
        assert wires.capture_stop(number).frames == 0


@pytest.mark.parametrize("receiver, address, lan", [("b", "10.9.1.2", "link1"), ("c", "10.9.2.2", "link2")])
def test_bulk_tcp_arrives_whole_or_cut_and_counts_as_real_frames(network, receiver, address, lan):
    assert transfer(network, "a", receiver, address, 2_000_000) == 2_000_000
    tally = pipe_of(network, lan, receiver, "downlink").tally
    assert tally.out_frames >= 2_000_000 // 1460
    assert tally.out_bytes >= 2_000_000 + tally.out_frames * 54


def test_the_rate_of_a_busy_link_is_the_one_asked_for(network):
    transfer(network, "a", "c", "10.9.2.2", 2_000_000)
    assert pipe_of(network, "link2", "a", "uplink").achieved_bps == pytest.approx(10_000_000, rel=0.02)


def test_a_super_frame_loses_only_the_frames_that_find_no_room(tmp_path):
    pipe = Shaping(bandwidth_bps=600_000_000, queue=Queue(limit=20))
    with BareNetwork(tmp_path / "i-test", [link(1, "a", "b", pipe, pipe)]) as network:
        assert transfer(network, "a", "b", "10.9.1.2", 3_000_000) == 3_000_000
        tally = pipe_of(network, "link1", "a", "uplink").tally
        assert 0 < tally.dropped_queue < tally.in_frames / 2


def test_a_slow_member_of_a_fast_lan_gets_real_frames(network):
    """lan3's downlinks delay only; with loss on one, whatever goes there must be treated frame by frame."""
    from models.events import Arguments

    with network.client() as wires:
        wires.change("lan3", Arguments(member="c", direction="downlink", loss=0.01))
    assert transfer(network, "a", "c", "10.9.3.3", 2_000_000) == 2_000_000
    assert transfer(network, "a", "b", "10.9.3.2", 2_000_000) == 2_000_000
    lossy = pipe_of(network, "lan3", "c", "downlink").tally
    assert 0 < lossy.dropped_loss < lossy.in_frames / 10
