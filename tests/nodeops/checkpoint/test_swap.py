"""Real nodes, swapped out and in again: what runs in them, and what is between them, notices nothing."""

from __future__ import annotations

import json
import shutil
import time
from pathlib import Path

import pytest

from models.errors import Conflict, Corrupt, HostProblem
from models.protocol.checkpoint import Life
from models.protocol.conductor import StartRun
from models.protocol.host import Create
from models.spec import Lan, ProgramAgent, Shaping, Spec, TimedEvent
from nodeops.checkpoint.capture import capture, go_on_in_place
from nodeops.checkpoint.node_clock import offset_ns
from nodeops.checkpoint.restore import ATTEMPTS, Restored, restore
from nodeops.checkpoint.spool import Spool
from nodeops.clock import ClockState, VirtualClock
from nodeops.conductor.client import ConductorClient
from nodeops.destroy import destroy
from nodeops.instance import holding
from nodeops.layer import PROGRAMS
from nodeops.layout import InstanceLayout
from nodeops.reach import read_inits
from tests.nodeops.instances import Make, assert_nothing_left, lan_spec, run, wait_until

SERVER = """
import os, socket, struct
listener = socket.create_server(('', 5000)); peer, _ = listener.accept(); expected, rest = 0, b''
while data := peer.recv(65536):
    rest += data; whole = len(rest) // 8 * 8
    for (value,) in struct.iter_unpack('<Q', rest[:whole]):
        if value != expected: open('/corrupt', 'w').write(f'{value} instead of {expected}')
        expected = value + 1
    rest = rest[whole:]; open('/received.new', 'w').write(str(expected)); os.rename('/received.new', '/received')
"""
STALL_S = 0.15
"""Of a program that sleeps 5 ms at a time: the machine itself stood still, and TCP's timers ring after 0.2 s."""
CLIENT = """
import json, os, socket, struct, time
while True:
    try: peer = socket.create_connection(('b', 5000)); break
    except OSError: time.sleep(.05)
known = open('/proc/sys/net/ipv4/tcp_available_congestion_control').read().split()
chosen = sorted(set(known) - {'reno', open('/proc/sys/net/ipv4/tcp_congestion_control').read().strip()} or known)[0]
peer.setsockopt(6, 13, chosen.encode())
number = 0; steps = []
while True:
    peer.sendall(struct.pack('<100Q', *range(number, number + 100))); number += 100; before = time.monotonic()
    time.sleep(.005); now = time.monotonic(); steps.append(now - before)
    if len(steps) % 20 == 0:
        info = struct.unpack('8B24I', peer.getsockopt(6, 11, 104))
        congestion = [chosen, peer.getsockopt(6, 13, 16).split(b'\\0')[0].decode()]
        json.dump({'congestion': congestion, 'worst_s': max(steps), 'sent': number, 'retransmitted': info[31], 'monotonic_s': now},
                  open('/told.new', 'w'))
        os.rename('/told.new', '/told'); steps = steps[-400:]
"""


def quiet(_text: str, _done: int, _total: int) -> None:
    pass


def start(layout: InstanceLayout, node: str, program: str) -> None:
    run(layout, node, "trap '' HUP; cat > /program.py; python3 -S /program.py > /out 2>&1 < /dev/null &", stdin=program.encode())


def number_in(layout: InstanceLayout, node: str, name: str) -> int:
    path = layout.node(node).upper / name
    return int(path.read_text()) if path.exists() else 0


def told(layout: InstanceLayout) -> dict[str, float]:
    return json.loads((layout.node("a").upper / "told").read_text())


def delayed_spec(delay_s: float) -> Spec:
    spec = lan_spec("a", "b")
    lan = spec.lans[0]
    members = tuple(member.model_copy(update={"uplink": Shaping(delay_s=delay_s / 2), "downlink": Shaping(delay_s=delay_s / 2)})
                    for member in lan.members)
    return spec.model_copy(update={"lans": (Lan.model_validate(lan.model_dump() | {"members": members}),)})


@pytest.fixture
def spool(state_dir: Path) -> Spool:
    return Spool(state_dir / "spool" / "c-1")


def swap_out(layout: InstanceLayout, spool: Spool, epoch: int = 0) -> None:
    with holding(layout, 1):
        capture(layout, spool, Life(incarnation="test", epoch=epoch), quiet)
    destroy(layout, 1)


def swap_in(layout: InstanceLayout, spool: Spool) -> Restored:
    wanted = Create(instance=layout.root.name, name="test", fence=1, spec=spool.read_spec())
    return restore(spool, wanted, quiet)


def flow(layout: InstanceLayout) -> None:
    start(layout, "b", SERVER)
    start(layout, "a", CLIENT)
    wait_until(lambda: number_in(layout, "b", "received") > 10_000)


def assert_flows_on(layout: InstanceLayout) -> None:
    before = number_in(layout, "b", "received")
    wait_until(lambda: number_in(layout, "b", "received") > before + 10_000)
    assert not (layout.node("b").upper / "corrupt").exists()


@pytest.mark.timeout(90)
def test_a_flow_over_a_delayed_link_notices_nothing_three_times(make: Make, spool: Spool) -> None:
    """The clock's step is looked at from outside, since the machine that tests run on makes programs wait at any time; where it did so for
    long, what TCP has sent again says nothing."""
    layout = make(delayed_spec(0.05), daemons=("wires", "conductor"))
    flow(layout)
    skew_ns = None
    for epoch in range(3):
        swap_out(layout, spool, epoch)
        assert not layout.root.exists()
        restored = swap_in(layout, spool)
        saved = {node: spool.node(node).read() for node in ("a", "b")}
        origin_ns = VirtualClock(ClockState.model_validate_json(layout.clock.read_bytes())).state.origin_ns
        ahead_ns = {node: offset_ns(identity.pid)[0] + origin_ns for node, identity in read_inits(layout).items()}
        for node, at in saved.items():
            assert at.monotonic_ns == ahead_ns[node] + spool.read().virtual_ns + at.frozen_after_ns
        assert skew_ns in (None, ahead_ns["a"] - ahead_ns["b"]), "two nodes' clocks have come apart"
        skew_ns = ahead_ns["a"] - ahead_ns["b"]
        assert restored.late_ns < 5_000_000 or restored.attempts == ATTEMPTS
        assert_flows_on(layout)
        assert len(set(told(layout)["congestion"])) == 1, "the connection has another congestion control than it chose"
        if restored.waited_ns < 900_000_000 and told(layout)["worst_s"] < STALL_S:
            assert told(layout)["retransmitted"] == 0, (restored, told(layout), run(layout, "a", "cat /proc/net/netstat").stdout)
        shutil.rmtree(spool.root)


@pytest.mark.timeout(60)
def test_a_frame_in_flight_arrives_after_its_remaining_delay(make: Make, spool: Spool) -> None:
    layout = make(delayed_spec(1.6), daemons=("wires", "conductor"))
    start(layout, "b", "import os, socket, time\ns = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.bind(('', 7))\n"
                       "open('/bound', 'w').close(); s.recv(9); open('/came.new', 'w').write(str(time.monotonic_ns()))\n"
                       "os.rename('/came.new', '/came')")
    wait_until(lambda: (layout.node("b").upper / "bound").exists())
    sent = run(layout, "a", "python3 -S -", stdin=b"import socket, time\ns = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n"
                                                  b"print(time.monotonic_ns()); s.sendto(b'x', ('b', 7))")
    swap_out(layout, spool)
    assert spool.read().frames >= 1
    time.sleep(1)
    restored = swap_in(layout, spool)
    wait_until(lambda: (layout.node("b").upper / "came").exists())
    took_ns = number_in(layout, "b", "came") - int(sent.stdout)
    assert 1_600_000_000 <= took_ns < 1_700_000_000 + restored.late_ns


@pytest.mark.timeout(60)
def test_events_and_their_programs_keep_their_virtual_times(make: Make, spool: Spool) -> None:
    """One program is running at the cut, one is still to come."""
    spec = delayed_spec(0.01)
    agents = ProgramAgent(name="now", node="a", command="sleep 1; echo done"), ProgramAgent(name="later", node="b", command="echo on")
    events = TimedEvent(target="now", verb="start"), TimedEvent(at_s=2, target="later", verb="start")
    layout = make(Spec.model_validate(spec.model_dump() | {"agents": agents, "events": events}), daemons=("wires", "conductor"))
    with ConductorClient(layout) as conductor:
        began_ns = conductor.start_run(StartRun(number=1)).began_ns
        wait_until(lambda: any(line.kind == "started" for line in conductor.events()))
    swap_out(layout, spool)
    restored = swap_in(layout, spool)
    with ConductorClient(layout) as conductor:
        conductor.wait("idle", timeout_s=20)
        ended = {line.target: line for line in conductor.events() if line.kind == "exited"}
        fired = next(line for line in conductor.events() if line.kind == "fired" and line.target == "later")
    assert spool.read().virtual_ns < began_ns + 1_000_000_000, "the cut came too late for this test to prove anything"
    assert fired.planned_ns == began_ns + 2_000_000_000 and 0 <= fired.actual_ns - fired.planned_ns < 100_000_000 + restored.late_ns
    assert {name: line.detail["code"] for name, line in ended.items()} == {"now": 0, "later": 0}
    assert "done\n" in [path.read_text() for path in (layout.node("a").logs / "now").iterdir() if path.is_file()]


@pytest.mark.timeout(60)
def test_what_cannot_be_dumped_is_refused_by_name_and_goes_on(make: Make, spool: Spool) -> None:
    layout = make(lan_spec("a", "b"), daemons=("wires", "conductor"))
    flow(layout)
    start(layout, "b", "import time\nholder = open('/dev/net/tun', 'r+b', buffering=0)\nopen('/held', 'w').close()\ntime.sleep(1000)")
    wait_until(lambda: (layout.node("b").upper / "held").exists())
    with holding(layout, 1), pytest.raises(Conflict, match=r"b: python3 \(\d+\) has /dev/net/tun open"):
        capture(layout, spool, Life(incarnation="test", epoch=0), quiet)
    assert not spool.root.exists()
    assert_flows_on(layout)


@pytest.mark.timeout(60)
def test_a_process_that_waits_for_its_child_to_execute_something(make: Make, spool: Spool) -> None:
    """Nothing can stop one within vfork(2), so its node stands still when that is over."""
    layout = make(lan_spec("a", "b"), daemons=("wires", "conductor"))
    flow(layout)
    clone, as_vfork = 56, 0x4011  # CLONE_VFORK | SIGCHLD
    start(layout, "b", f"import ctypes, os, time\nos.setsid()\nif ctypes.CDLL(None).syscall({clone}, {as_vfork}, 0, 0, 0, 0) == 0:\n"
                       "    open('/within', 'w').close(); time.sleep(0.7); os._exit(0)\ntime.sleep(1000)")
    wait_until(lambda: (layout.node("b").upper / "within").exists())
    swap_out(layout, spool)
    assert [one.name for one in spool.node("b").read().processes].count("python3") >= 2
    swap_in(layout, spool)
    assert_flows_on(layout)


@pytest.mark.timeout(60)
def test_a_capture_that_fails_half_way_leaves_a_running_instance(make: Make, spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    layout = make(lan_spec("a", "b"), daemons=("wires", "conductor"))
    flow(layout)

    def full(_source: Path, _target: Path, **_: bool) -> None:
        raise HostProblem("no space left on device")

    with monkeypatch.context() as patch, holding(layout, 1):
        patch.setattr("nodeops.checkpoint.capture.copy_tree", full)
        with pytest.raises(HostProblem, match="no space"):
            capture(layout, spool, Life(incarnation="test", epoch=0), quiet)
    assert not spool.root.exists()
    assert_flows_on(layout)
    with holding(layout, 1):
        capture(layout, spool, Life(incarnation="test", epoch=1), quiet)
        go_on_in_place(layout, spool)
    assert_flows_on(layout)


@pytest.mark.timeout(60)
def test_a_restore_that_fails_leaves_nothing_and_the_checkpoint_as_it_was(make: Make, spool: Spool) -> None:
    layout = make(lan_spec("a", "b"), daemons=("wires", "conductor"))
    flow(layout)
    swap_out(layout, spool)
    lost = next(spool.node("b").images.glob("pagemap-*.img"))
    kept = lost.rename(spool.root / "kept")
    with pytest.raises(HostProblem, match="CRIU failed"):
        swap_in(layout, spool)
    assert_nothing_left(layout)
    kept.rename(lost)
    swap_in(layout, spool)
    assert_flows_on(layout)


@pytest.mark.timeout(30)
def test_another_base_or_kernel_is_refused_before_anything_is_made(make: Make, spool: Spool) -> None:
    layout = make(lan_spec("a", "b"), daemons=("wires", "conductor"))
    swap_out(layout, spool)
    for change in ({"bases": {"host": "another"}}, {"kernel": "2.4"}, {"cpu_features": ("telepathy",)}, {"init": 0}):
        manifest = spool.read()
        spool.manifest.write_text(manifest.model_copy(update={
            "requirements": manifest.requirements.model_copy(update=change)}).model_dump_json())
        with pytest.raises(HostProblem, match="base 'host'|another kernel|telepathy|another protocol"):
            swap_in(layout, spool)
        assert not layout.root.exists()
        spool.manifest.write_text(manifest.model_dump_json())


@pytest.mark.timeout(60)
def test_nodes_come_back_with_the_programs_they_had_whatever_is_built_here(make: Make, spool: Spool, tmp_path: Path,
                                                                          monkeypatch: pytest.MonkeyPatch) -> None:
    """As after an upgrade of Swapbed: files of another size, which CRIU would not take for those that are mapped."""
    layout = make(lan_spec("a", "b"), daemons=("wires", "conductor"))
    flow(layout)
    here = dict(PROGRAMS)
    before = {name: built.read_bytes() for name, built in here.items()}
    for name, content in before.items():
        (tmp_path / Path(name).name).write_bytes(content + b"another release")
        monkeypatch.setitem(PROGRAMS, name, tmp_path / Path(name).name)
    for epoch in range(2):
        swap_out(layout, spool, epoch)
        assert len(list(spool.programs.iterdir())) == len(PROGRAMS), "once for all nodes"
        swap_in(layout, spool)
        assert_flows_on(layout)
        for name, content in before.items():
            assert Path(f"/proc/{read_inits(layout)['a'].pid}/root/{name}").read_bytes() == content
        last = spool.root.rename(spool.root.with_name(f"c-{epoch}-done"))
    destroy(layout, 1)
    program = next(Spool(last).programs.iterdir())
    for content in (program.read_bytes() + b"x", None):
        program.unlink() if content is None else program.write_bytes(content)
        with pytest.raises(Corrupt, match="lacks this program" if content is None else "has changed"):
            swap_in(layout, Spool(last))
        assert_nothing_left(layout)
    for node in ("a", "b"):  # as of a checkpoint from before they were carried
        manifest = Spool(last).node(node).read()
        Spool(last).node(node).manifest.write_text(manifest.model_dump_json(exclude={"programs"}))
    with pytest.raises(HostProblem, match="bad size"):
        swap_in(layout, Spool(last))
    for name, built in here.items():
        monkeypatch.setitem(PROGRAMS, name, built)
    swap_in(layout, Spool(last))
    assert_flows_on(layout)
