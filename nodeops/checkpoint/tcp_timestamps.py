"""The clock with which a TCP connection stamps its segments (RFC 7323); the peer echoes the stamps, and their age is a round-trip time.

CRIU sets a restored connection's clock to what it read at the dump, and the kernel's goes on from there at once, while all nodes wait for
their instant: what had been sent before the cut looked older by that, and a flow's first round-trip times were as much too long.

The clock must never go back: the peer would drop what is stamped with less than it has seen (§5). The kernel does not show the lowest bit,
so what is read here is the most that it can have been, and what is set the least that is no less: a few steps are lost, up to 3 ms. And
a connection may send before its instant: what had waited, once CRIU has handed it that, and by its timer.
"""

from __future__ import annotations

import socket
import struct
import time
from typing import NamedTuple

from nodeops.checkpoint.repaired_sockets import OFF_WITHOUT_PROBE, ON, TCP_REPAIR

TCP_TIMESTAMP = 24
INFO = struct.Struct("=B4xBxxI12xI16xI52xI40xI8xI")  # struct tcp_info as far as `Info`
HAS_TIMESTAMPS, IN_MICROSECONDS = 1, 64  # TCPI_OPT_…; the last since 6.7, before all are in milliseconds
LISTENS = 10  # TCP_LISTEN
WRAP = 1 << 32
MS = 1_000_000
AT_ONCE_NS, JIFFY_NS, SURE_NS = 100_000, 10 * MS, 100 * MS


class Info(NamedTuple):
    """rto_us: until its timer sends what is unacked again, or unsent. sent_ms: since data was sent, or it was restored; in whole jiffies.

    again, data: segments sent again, and all with data.
    """

    state: int
    options: int
    rto_us: int
    unacked: int
    sent_ms: int
    again: int
    unsent: int
    data: int

    @property
    def step_ns(self) -> int | None:
        """Of the clock. None: the connection has none, or it is no connection."""
        if not self.options & HAS_TIMESTAMPS:
            return None
        return MS // 1000 if self.options & IN_MICROSECONDS else MS

    @property
    def unaccepted(self) -> int:
        """Connections that wait for a server to take them."""
        return self.unacked if self.state == LISTENS else 0

    @property
    def timer_ns(self) -> int | None:
        """How soon its timer may make it send. None: it has nothing to send."""
        return self.rto_us * 1000 - self.sent_ms * MS - SURE_NS if self.unacked or self.unsent else None


def reading(one: socket.socket, instant_ns: int) -> int | None:
    """What it read at that instant of this host's CLOCK_MONOTONIC. None: there is none."""
    step_ns = look_at(one).step_ns
    return None if step_ns is None else _reading(one, instant_ns, step_ns)


def go_on_from(one: socket.socket, wanted: int, instant_ns: int) -> None:
    """Nobody uses the socket, and nothing reaches it, until that instant. It will read that then, or a step or two more.

    Or at the instant at which its timer makes it send, if that comes first: so what it sends is not stamped with less than what it sent
    before the cut, and it finds out by the clock that nothing was lost (RFC 3522). And never less than what it has sent already is
    stamped with. One whose timer has rung before it could be looked at is left alone.
    """
    info, now_ns = look_at(one), time.monotonic_ns()
    step_ns, timer_ns = info.step_ns, info.timer_ns
    if step_ns is None or info.again:
        return
    if timer_ns is not None:
        instant_ns = min(instant_ns, now_ns + timer_ns)
    if info.data:
        sent = _reading(one, now_ns - info.sent_ms * MS + JIFFY_NS, step_ns)
        wanted += max(0, (sent - wanted + WRAP // 2) % WRAP - WRAP // 2)
    reuse = one.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR)  # repair mode forgets it
    one.setsockopt(socket.IPPROTO_TCP, TCP_REPAIR, ON)
    try:
        while True:
            soon_ns = time.monotonic_ns() + AT_ONCE_NS
            one.setsockopt(socket.IPPROTO_TCP, TCP_TIMESTAMP, _as_set(wanted - instant_ns // step_ns + soon_ns // step_ns, step_ns))
            if time.monotonic_ns() < soon_ns:
                break
    finally:
        one.setsockopt(socket.IPPROTO_TCP, TCP_REPAIR, OFF_WITHOUT_PROBE)
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, reuse)


def look_at(one: socket.socket) -> Info:
    return Info(*INFO.unpack(one.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, INFO.size)))


def _reading(one: socket.socket, instant_ns: int, step_ns: int) -> int:
    while True:
        now_ns = time.monotonic_ns()
        most = one.getsockopt(socket.IPPROTO_TCP, TCP_TIMESTAMP) | 1
        if time.monotonic_ns() - now_ns < AT_ONCE_NS:
            return (most - now_ns // step_ns + instant_ns // step_ns) % WRAP


def _as_set(value: int, step_ns: int) -> bytes:
    """Newer kernels take the lowest bit for the unit: set for microseconds."""
    value = value | 1 if step_ns < MS else value + 1 & ~1
    return struct.pack("=I", value % WRAP)
