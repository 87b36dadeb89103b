"""What the control socket does to living wires, and what they survive."""

from __future__ import annotations

import time

import pytest

from benchmarks.bare_network import lan, link
from models.errors import Conflict, InvalidInput, NotFound
from models.events import Arguments
from models.spec import Node, Shaping, Spec
from tests.nodeops.wires.conftest import HALF
from tests.nodeops.wires.probes import round_trip_ms, wait_until


def test_only_named_fields_change_and_reset_brings_the_spec_back(network):
    with network.client() as wires:
        wires.change("link2", Arguments(delay_s=0.1))
        assert 200 <= round_trip_ms(network, "a", "10.9.2.2") < 210
        assert all(p.shaping.bandwidth_bps == 10_000_000 and p.shaping.delay_s == 0.05 for p in wires.show("link2"))
        wires.change("link2", Arguments(member="c", direction="downlink", delay_s=0.0, queue_limit=7, red_weight=0.5))
        changed = next(p for p in wires.show("link2", "c") if p.direction == "downlink")
        assert (changed.shaping.delay_s, changed.shaping.queue.limit, changed.shaping.queue.red.weight) == (0, 7, 0.5)
        assert changed.requested == HALF
        wires.reset("link2")
        assert all(p.shaping == HALF for p in wires.show("link2"))


def test_down_drops_and_up_carries_again(network):
    with network.client() as wires:
        wires.down("lan3", "b")
        assert round_trip_ms(network, "a", "10.9.3.2", 1) is None
        assert round_trip_ms(network, "a", "10.9.3.3", 1) is not None
        assert next(p for p in wires.show("lan3", "b") if p.direction == "downlink").tally.dropped_down == 1
        wires.up("lan3")
        assert round_trip_ms(network, "a", "10.9.3.2", 1) is not None


def test_what_does_not_exist_or_cannot_be_is_named(network):
    with network.client() as wires:
        with pytest.raises(NotFound, match="no link or LAN 'nowhere'.*lan3, link1, link2"):
            wires.down("nowhere")
        with pytest.raises(NotFound, match="'z' is not a member of 'lan3'.*a, b, c"):
            wires.up("lan3", "z")
        with pytest.raises(Conflict, match="running"):
            wires.save(network.layout.root)
        with pytest.raises(InvalidInput, match="5 s"):
            wires.suspend(time.monotonic_ns() + 60 * 10**9)
        assert round_trip_ms(network, "a", "10.9.1.2") < 10


def test_many_callers_come_and_go(network):
    for _ in range(20):
        with network.client() as first, network.client() as second:
            first.measure()
            assert len(second.show()) == 2 * second.hello().members


def test_killed_wires_are_started_again_and_shape_as_before(network):
    with network.client() as wires:
        wires.change("link2", Arguments(delay_s=0.05))
        wires.down("link1")
        assert wires.hello().restarts == 0
    network.stop_wires(kill=True)
    network.start_wires()
    with network.client() as wires:
        assert wires.hello().restarts == 1
        assert 50 <= round_trip_ms(network, "a", "10.9.2.2") * 2 < 2 * 108
        assert round_trip_ms(network, "a", "10.9.1.2", 1) is None
        wires.stop()
    assert network.wires.wait(10) == 0
    assert not network.layout.daemon("wires", "pid").exists()
    network.start_wires()
    with network.client() as wires:
        assert wires.hello().restarts == 0
        assert all(p.shaping == HALF for p in wires.show("link2"))


def test_a_changed_spec_touches_only_what_changed(network):
    with network.client() as wires:
        wires.change("link2", Arguments(delay_s=0.03))
        network.write_spec(Spec(nodes=(*network.spec.nodes, Node(name="d")), lans=(
            link(2, "a", "c", HALF, HALF), lan(3, ["a", "b", "c"], down=Shaping(delay_s=0.004)), link(4, "c", "d"))))
        reloaded = wires.reload()
        assert (reloaded.added, reloaded.removed, reloaded.changed) == (("link4",), ("link1",), ("lan3",))
        assert wires.hello().detached == ("link4:c:link4", "link4:d:link4")
        assert 60 <= round_trip_ms(network, "a", "10.9.2.2") < 68
        assert 8 <= round_trip_ms(network, "a", "10.9.3.2") < 14
        assert round_trip_ms(network, "a", "10.9.1.2", 1) is None


def test_members_come_and_go_while_others_talk(network):
    """d joins lan3: its device is made, the spec written, the wires told."""
    with network.client() as wires:
        network.write_spec(Spec(nodes=(*network.spec.nodes, Node(name="d")),
                                lans=(*network.spec.lans[:2], lan(3, ["a", "b", "c", "d"], down=Shaping(delay_s=0.001)))))
        network.add_nodes(network.spec)
        assert wires.reload().changed == ("lan3",)
        assert wires.hello().detached == ()
        assert round_trip_ms(network, "d", "10.9.3.1") < 10
        network.write_spec(Spec(nodes=network.spec.nodes, lans=(*network.spec.lans[:2], lan(3, ["a", "d"]))))
        wires.reload()
        assert round_trip_ms(network, "a", "10.9.3.2", 1) is None
        assert round_trip_ms(network, "d", "10.9.3.1") < 10


def test_a_node_that_dies_is_told_and_the_others_go_on(network):
    network.nodes["c"].kill()
    network.nodes["c"].wait()
    with network.client() as wires:
        wait_until(lambda: wires.hello().detached == ("link2:c:link2", "lan3:c:lan3"))
        assert round_trip_ms(network, "a", "10.9.3.2") < 8
        assert round_trip_ms(network, "a", "10.9.1.2") < 10
        assert not any(p.attached for p in wires.show("link2", "c"))
    assert "the node has ended" in network.layout.daemon("wires", "log").read_text()
