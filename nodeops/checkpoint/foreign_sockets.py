"""Sockets of other processes, frozen or not, in hand: pidfd_getfd(2) gives a copy of a descriptor, and both are the same socket."""

from __future__ import annotations

import ctypes
import os
import socket
from collections.abc import Iterator
from contextlib import suppress

SYS_PIDFD_GETFD = 438  # the same number on every architecture (5.6 and newer)

_libc = ctypes.CDLL(None, use_errno=True)


def tcp_sockets(pid: int) -> Iterator[tuple[int, socket.socket]]:
    """(its number in that process, the socket), open until the next is asked for. Who ends meanwhile has none any more."""
    try:
        pidfd = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        for fd in _sockets(pid):
            copy = _libc.syscall(ctypes.c_long(SYS_PIDFD_GETFD), ctypes.c_int(pidfd), ctypes.c_int(fd), ctypes.c_uint(0))
            if copy < 0:
                continue  # closed meanwhile
            with socket.socket(fileno=copy) as one:
                if one.family in (socket.AF_INET, socket.AF_INET6) and one.proto == socket.IPPROTO_TCP:
                    yield fd, one
    finally:
        os.close(pidfd)


def _sockets(pid: int) -> list[int]:
    found = []
    with suppress(ProcessLookupError, FileNotFoundError):
        for fd in os.listdir(f"/proc/{pid}/fd"):
            with suppress(FileNotFoundError):  # closed meanwhile
                if os.readlink(f"/proc/{pid}/fd/{fd}").startswith("socket:"):
                    found.append(int(fd))
    return found
