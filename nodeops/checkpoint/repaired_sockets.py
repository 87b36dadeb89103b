"""TCP sockets that a CRIU which was killed has left in repair mode, in which they neither send nor take anything (tcp(7), TCP_REPAIR)."""

from __future__ import annotations

import socket
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from nodeops import cgroups
from nodeops.checkpoint.foreign_sockets import tcp_sockets
from nodeops.layout import InstanceLayout

TCP_REPAIR = 19
ON, OFF, OFF_WITHOUT_PROBE = 1, 0, -1  # leaving it, the kernel asks the peer for its window; the last since 4.19


def heal(layout: InstanceLayout, nodes: Iterable[str]) -> None:
    """Before nodes go on that somebody was about to dump."""
    for node in nodes:
        cgroup = cgroups.node_cgroup(layout.root.name, node)
        if cgroup.exists():
            leave_repair_mode(cgroup)


def leave_repair_mode(cgroup: Path) -> int:
    """Of all processes in the cgroup, frozen or not, whom nobody dumps any more; returns how many sockets were in it."""
    pids = map(int, (cgroup / "cgroup.procs").read_text().split())
    return sum(_leave(one) for pid in pids for _, one in tcp_sockets(pid))


def _leave(one: socket.socket) -> bool:
    with suppress(OSError):  # not connected
        if one.getsockopt(socket.IPPROTO_TCP, TCP_REPAIR):
            one.setsockopt(socket.IPPROTO_TCP, TCP_REPAIR, OFF)
            return True
    return False
