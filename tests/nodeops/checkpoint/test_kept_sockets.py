"""What TCP connections keep across a swap although CRIU does not carry it: the clock of their timestamps goes on as virtual time does."""

from __future__ import annotations

import shutil
import socket
import struct
import subprocess
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from models.errors import Conflict
from nodeops.checkpoint.foreign_sockets import tcp_sockets
from nodeops.checkpoint.preflight import processes
from nodeops.checkpoint.repaired_sockets import OFF_WITHOUT_PROBE, ON, TCP_REPAIR
from nodeops.checkpoint.spool import Spool
from nodeops.checkpoint.tcp_timestamps import TCP_TIMESTAMP, Info, go_on_from, look_at, reading
from nodeops.clock import ClockState
from nodeops.layout import InstanceLayout
from nodeops.linux import CLONE_NEWNET, unshare
from tests.nodeops.checkpoint.test_swap import assert_flows_on, delayed_spec, flow, number_in, start, swap_in, swap_out
from tests.nodeops.instances import Make, lan_spec, wait_until

STANDS_NS = 2_500_000_000  # or a restored connection's timer may come first
LOST_MS = 5  # at most, with what the kernel does not show of both readings
WITHIN = """
import os, socket, struct, time
listener = socket.create_server(('', 6000), family=socket.AF_INET6, dualstack_ipv6=True)
peer = socket.create_connection(('127.0.0.1', 6000)); other, _ = listener.accept()
for one in (peer, other): one.setsockopt(6, socket.TCP_NODELAY, 1)
for number in range(10**9):
    for sender, receiver in ((peer, other), (other, peer)):
        sender.sendall(b'x'); receiver.recv(1)
    again = sum(struct.unpack('8B24I', one.getsockopt(6, 11, 104))[31] for one in (peer, other))
    for name, value in (('within', number), ('again', again)):
        open(f'/{name}.new', 'w').write(str(value)); os.rename(f'/{name}.new', f'/{name}')
    time.sleep(.002)
"""

LISTEN = """
import socket, time
listener = socket.create_server(('', 5000)); open('/listens', 'w').close(); time.sleep({}); peer, _ = listener.accept()
open('/taken', 'w').write(str(len(peer.recv(9))))
"""
CONNECT = """
import socket, time
peer = socket.create_connection(('b', 5000)); peer.sendall(b'hello'); open('/sent', 'w').close(); time.sleep(1000)
"""


@pytest.fixture
def alone() -> Iterator[Callable[..., None]]:
    """alone(function): call it where there is no network but a loopback."""
    def within(function: Callable[[], None]) -> None:
        unshare(CLONE_NEWNET)
        subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
        function()

    with ThreadPoolExecutor(1) as thread:
        yield lambda function: thread.submit(within, function).result()


def connection(address: str) -> tuple[socket.socket, socket.socket]:
    with socket.create_server((address, 0), family=socket.AF_INET6 if ":" in address else socket.AF_INET) as listener:
        client = socket.create_connection(listener.getsockname()[:2])
        return client, listener.accept()[0]


def segments_out(one: socket.socket) -> int:
    return struct.unpack_from("=I", one.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 144), 136)[0]


@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
@pytest.mark.parametrize("microseconds", [False, True])
@pytest.mark.parametrize("before_wrap", [None, 2, 5_000])
def test_the_clock_reads_what_it_is_told_to_at_an_instant(address: str, microseconds: bool, before_wrap: int | None,
                                                          alone: Callable[..., None]) -> None:
    def check() -> None:
        client, server = connection(address)
        with client, server:
            if microseconds:
                client.setsockopt(socket.IPPROTO_TCP, TCP_REPAIR, ON)
                client.setsockopt(socket.IPPROTO_TCP, TCP_TIMESTAMP, 1)
                client.setsockopt(socket.IPPROTO_TCP, TCP_REPAIR, OFF_WITHOUT_PROBE)
                if client.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 6)[5] & 64 == 0:
                    pytest.skip("this kernel's timestamps are in milliseconds")
            client.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            cut_ns = time.monotonic_ns() - 700_000_000
            wanted = reading(client, cut_ns) if before_wrap is None else 2**32 - before_wrap
            assert wanted is not None
            sent = segments_out(client)
            for later_ns in (300_000_000, 900_000_000):
                go_on_from(client, wanted, cut_ns + later_ns)
                now = reading(client, cut_ns + later_ns)
                assert now is not None and (now - wanted) % 2**32 <= (250 if microseconds else 4)
            assert client.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR) == 1
            assert segments_out(client) == sent
            assert client.getsockopt(socket.IPPROTO_TCP, TCP_REPAIR) == 0

    alone(check)


def test_the_clock_does_not_go_back_behind_what_was_sent(alone: Callable[..., None]) -> None:
    """The peer would drop what follows."""
    def check() -> None:
        client, server = connection("127.0.0.1")
        with client, server:
            client.sendall(b"x")
            sent = reading(client, time.monotonic_ns())
            assert sent is not None and server.recv(1) == b"x"
            instant_ns = time.monotonic_ns() + 1_000_000_000
            go_on_from(client, (sent - 5_000) % 2**32, instant_ns)
            now = reading(client, instant_ns)
            assert now is not None and 0 <= ahead(now, sent) < 1_000

    alone(check)


def test_the_timer_is_known() -> None:
    calm = Info(state=1, options=1, rto_us=3_000_000, unacked=0, sent_ms=500, again=0, unsent=0, data=0)
    assert calm.timer_ns is None
    assert calm._replace(unacked=1).timer_ns == calm._replace(unsent=1).timer_ns == 2_400_000_000, "and not a moment later"


def test_the_clock_goes_on_when_the_timer_rings_if_that_comes_first(alone: Callable[..., None], monkeypatch: pytest.MonkeyPatch) -> None:
    """Or never, if it has rung."""
    def check() -> None:
        client, server = connection("127.0.0.1")
        with client, server:
            found = look_at(client)._replace(rto_us=3_000_000, unacked=1, sent_ms=900)
            wanted, began_ns = 1_000_000, time.monotonic_ns()
            monkeypatch.setattr("nodeops.checkpoint.tcp_timestamps.look_at", lambda _one: found)
            go_on_from(client, wanted, began_ns + 60_000_000_000)
            at_timer = reading(client, began_ns + 2_000_000_000)
            assert at_timer is not None and -1_000 < ahead(at_timer, wanted) < 4
            monkeypatch.setattr("nodeops.checkpoint.tcp_timestamps.look_at", lambda _one: found._replace(again=1))
            go_on_from(client, wanted + 500_000, began_ns)
            assert ahead(reading(client, began_ns + 2_000_000_000) or 0, at_timer) in (-1, 0, 1)

    alone(check)


def test_what_has_no_such_clock_is_left_alone(alone: Callable[..., None]) -> None:
    def check() -> None:
        subprocess.run(["sysctl", "-qw", "net.ipv4.tcp_timestamps=0"], check=True)
        client, server = connection("127.0.0.1")
        with client, server, socket.socket() as fresh, socket.create_server(("127.0.0.1", 0)) as listener:
            for one in (client, fresh, listener):
                assert reading(one, time.monotonic_ns()) is None
                go_on_from(one, 0, time.monotonic_ns())
            client.sendall(b"x")
            assert server.recv(1) == b"x"

    alone(check)


def clocks(layout: InstanceLayout, node: str) -> dict[tuple[int, int], int]:
    """Of the node's connections, by process and descriptor: what the clock of their timestamps read when virtual time began."""
    origin_ns = ClockState.model_validate_json(layout.clock.read_bytes()).origin_ns
    read = {(one.inner, fd): reading(held, origin_ns) for one in processes(layout, node) for fd, held in tcp_sockets(one.pid)}
    return {which: at for which, at in read.items() if at is not None}


def ahead(later: int, earlier: int) -> int:
    return (later - earlier + 2**31) % 2**32 - 2**31


@pytest.mark.timeout(90)
def test_round_trip_times_across_a_swap_are_not_longer_by_the_absence(make: Make, state_dir: Path) -> None:
    """They are measured by that clock. Connections within a node, whose ends see each other's clock before its time, lose nothing."""
    layout, spool = make(delayed_spec(0.02), daemons=("wires", "conductor")), Spool(state_dir / "spool" / "c-1")
    flow(layout)
    start(layout, "a", WITHIN)
    wait_until(lambda: number_in(layout, "a", "within") > 10)
    for epoch in range(2):
        before = {node: clocks(layout, node) for node in ("a", "b")}
        assert [len(each) for each in before.values()] == [3, 1]
        swap_out(layout, spool, epoch)
        in_time = swap_in(layout, spool).waited_ns < STANDS_NS
        for node, earlier in before.items():
            kept = [(one.pid, one.fd) for one in spool.node(node).read().sockets if one.timestamp is not None]
            later = clocks(layout, node)
            assert len(kept) == 1 and (not in_time or abs(ahead(later[kept[0]], earlier[kept[0]])) <= LOST_MS)
        assert_flows_on(layout)
        so_far = number_in(layout, "a", "within")
        wait_until(lambda: number_in(layout, "a", "within") > so_far + 10)  # noqa: B023
        assert not in_time or number_in(layout, "a", "again") == 0
        shutil.rmtree(spool.root)


def one_waits(make: Make, seconds: float) -> InstanceLayout:
    """A connection, for so long, for its server to accept it."""
    layout = make(lan_spec("a", "b"), daemons=("wires", "conductor"))
    for node, program, name in (("b", LISTEN.format(seconds), "listens"), ("a", CONNECT, "sent")):
        start(layout, node, program)
        wait_until((layout.node(node).upper / name).exists)
    return layout


@pytest.mark.timeout(60)
def test_a_connection_that_is_about_to_be_accepted_is_waited_for(make: Make, state_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """CRIU would refuse to dump its server."""
    spool = Spool(state_dir / "spool" / "c-1")
    layout = one_waits(make, 0.5)
    monkeypatch.setattr("nodeops.checkpoint.capture.await_accepted", lambda _found: None)  # as if it had come in the last moment
    swap_out(layout, spool)
    swap_in(layout, spool)
    wait_until(lambda: number_in(layout, "b", "taken") == 5)


@pytest.mark.timeout(60)
def test_a_server_that_accepts_nothing_is_refused_before_anybody_is_stopped(make: Make, state_dir: Path,
                                                                           monkeypatch: pytest.MonkeyPatch) -> None:
    spool = Spool(state_dir / "spool" / "c-1")
    layout = one_waits(make, 1000)
    monkeypatch.setattr("nodeops.checkpoint.capture.stand_still", None)
    with pytest.raises(Conflict, match=r"b: python3 \(\d+\) does not accept a connection at port 5000"):
        swap_out(layout, spool)
    assert not spool.root.exists()
