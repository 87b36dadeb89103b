"""TCP sockets that a CRIU which was killed has left in repair mode, in which they neither send nor take anything (tcp(7), TCP_REPAIR)."""

from __future__ import annotations

import ctypes
import os
import socket
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from nodeops import cgroups
from nodeops.layout import InstanceLayout

SYS_PIDFD_GETFD = 438  # the same number on every architecture (5.6 and newer)
TCP_REPAIR, OFF = 19, 0

_libc = ctypes.CDLL(None, use_errno=True)


def heal(layout: InstanceLayout, nodes: Iterable[str]) -> None:
    """Before nodes go on that somebody was about to dump."""
    for node in nodes:
        cgroup = cgroups.node_cgroup(layout.root.name, node)
        if cgroup.exists():
            leave_repair_mode(cgroup)


def leave_repair_mode(cgroup: Path) -> int:
    """Of all processes in the cgroup, frozen or not, whom nobody dumps any more; returns how many sockets were in it.

    Processes that end meanwhile are none of ours any more.
    """
    found = 0
    for pid in map(int, (cgroup / "cgroup.procs").read_text().split()):
        with suppress(ProcessLookupError, FileNotFoundError):
            pidfd = os.pidfd_open(pid)
            try:
                sockets = [int(fd.name) for fd in os.scandir(f"/proc/{pid}/fd") if os.readlink(fd.path).startswith("socket:")]
                found += sum(_leave(pidfd, fd) for fd in sockets)
            finally:
                os.close(pidfd)
    return found


def _leave(pidfd: int, fd: int) -> bool:
    copy = _libc.syscall(ctypes.c_long(SYS_PIDFD_GETFD), ctypes.c_int(pidfd), ctypes.c_int(fd), ctypes.c_uint(0))
    if copy < 0:
        return False  # closed meanwhile
    with socket.socket(fileno=copy) as one:
        if one.family not in (socket.AF_INET, socket.AF_INET6) or one.type != socket.SOCK_STREAM:
            return False
        with suppress(OSError):  # not TCP, or not connected
            if one.getsockopt(socket.IPPROTO_TCP, TCP_REPAIR):
                one.setsockopt(socket.IPPROTO_TCP, TCP_REPAIR, OFF)
                return True
    return False
