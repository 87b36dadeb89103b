"""The clock with which a TCP connection stamps its segments (RFC 7323); the peer echoes the stamps, and their age is a round-trip time.

CRIU sets a restored connection's clock to what it read at the dump, and the kernel's goes on from there at once, while all nodes wait for
their instant: what had been sent before the cut looked older by that, and a flow's first round-trip times were as much too long.

The clock must never go back: the peer would drop what is stamped with less than it has seen (§5). The kernel does not show the lowest bit,
so what is read here is the most that it can have been, and what is set the least that is no less: a few steps are lost, up to 3 ms.
"""

from __future__ import annotations

import socket
import struct
import time

from nodeops.checkpoint.repaired_sockets import OFF_WITHOUT_PROBE, ON, TCP_REPAIR

TCP_TIMESTAMP = 24
OPTIONS_AT, HAS_TIMESTAMPS, IN_MICROSECONDS = 5, 1, 64  # struct tcp_info, TCPI_OPT_…; the last since 6.7, before all are in milliseconds
WRAP = 1 << 32
AT_ONCE_NS = 100_000


def reading(one: socket.socket, instant_ns: int) -> int | None:
    """What it read at that instant of this host's CLOCK_MONOTONIC. None: the connection has none, or it is no connection."""
    step_ns = _step_ns(one)
    if step_ns is None:
        return None
    while True:
        now_ns = time.monotonic_ns()
        most = one.getsockopt(socket.IPPROTO_TCP, TCP_TIMESTAMP) | 1
        if time.monotonic_ns() - now_ns < AT_ONCE_NS:
            break
    return (most - now_ns // step_ns + instant_ns // step_ns) % WRAP


def go_on_from(one: socket.socket, wanted: int, instant_ns: int) -> None:
    """Nobody uses the socket meanwhile. It will read that at that instant, or a step or two more."""
    step_ns = _step_ns(one)
    if step_ns is None:
        return
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


def _step_ns(one: socket.socket) -> int | None:
    options = one.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, OPTIONS_AT + 1)[OPTIONS_AT]
    if not options & HAS_TIMESTAMPS:
        return None
    return 1_000 if options & IN_MICROSECONDS else 1_000_000


def _as_set(value: int, step_ns: int) -> bytes:
    """Newer kernels take the lowest bit for the unit: set for microseconds."""
    value = value | 1 if step_ns == 1_000 else value + 1 & ~1
    return struct.pack("=I", value % WRAP)
