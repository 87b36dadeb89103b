"""System calls that Python lacks: namespaces, mounts, and opening paths that a node's root must not lead astray.

Each raises OSError with the path it was about.
"""

from __future__ import annotations

import ctypes
import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

CLONE_NEWNS, CLONE_NEWNET = 0x00020000, 0x40000000
MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_BIND, MS_REC, MS_PRIVATE = 1, 2, 4, 8, 1 << 12, 1 << 14, 1 << 18
SYS_OPENAT2 = 437  # the same number on every architecture (5.6 and newer)
RESOLVE_IN_ROOT = 0x10
PR_SET_TIMERSLACK = 29

_libc = ctypes.CDLL(None, use_errno=True)


def _check(result: int, about: str) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), about)
    return result


def unshare(namespaces: int) -> None:
    """The calling thread gets namespaces of its own."""
    _check(_libc.unshare(ctypes.c_int(namespaces)), "unshare")


def setns(namespace: int, kind: int = 0) -> None:
    """The calling thread enters the namespace open as that fd."""
    _check(_libc.setns(ctypes.c_int(namespace), ctypes.c_int(kind)), f"setns, fd {namespace}")


def mount(source: str, target: Path, kind: str | None, flags: int = 0, options: str = "") -> None:
    _check(_libc.mount(source.encode(), os.fsencode(target), kind.encode() if kind else None, ctypes.c_ulong(flags),
                       os.fsencode(options)), str(target))


def file_system_of(directory: Path) -> str:
    """Of the innermost mount that holds it, as this thread sees it."""
    path, found = directory.resolve(), ("", "unknown")
    for line in Path("/proc/thread-self/mountinfo").read_text().splitlines():
        before, _, after = line.partition(" - ")
        point = before.split()[4]
        if path.is_relative_to(point) and len(point) >= len(found[0]):
            found = point, after.split()[0]
    return found[1]


@contextmanager
def private_mounts() -> Iterator[None]:
    """Within, what this thread mounts is seen by it and the children it starts alone; when the last of them is gone, so are the mounts."""
    home = os.open("/proc/thread-self/ns/mnt", os.O_RDONLY | os.O_CLOEXEC)
    directory = os.open(".", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        unshare(CLONE_NEWNS)
        try:
            mount("none", Path("/"), None, MS_REC | MS_PRIVATE)
            yield
        finally:
            setns(home, CLONE_NEWNS)
            os.fchdir(directory)
    finally:
        os.close(directory)
        os.close(home)


def open_in_root(root: int, path: str, flags: int = os.O_RDONLY) -> int:
    """Open a path as a process whose root directory is `root` would: neither `..` nor a symlink leads outside (openat2(2))."""
    how = struct.pack("=QQQ", flags | os.O_CLOEXEC, 0, RESOLVE_IN_ROOT)
    return _check(_libc.syscall(ctypes.c_long(SYS_OPENAT2), ctypes.c_int(root), os.fsencode(path), how, ctypes.c_size_t(len(how))), path)


@contextmanager
def network_namespace(namespace: int) -> Iterator[None]:
    """Within, this thread is in the network namespace open as that fd."""
    home = open_own_network_namespace()
    try:
        setns(namespace, CLONE_NEWNET)
        try:
            yield
        finally:
            setns(home, CLONE_NEWNET)
    finally:
        os.close(home)


def open_own_network_namespace() -> int:
    return os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)


def set_timer_slack(slack_ns: int) -> None:
    """How late the kernel may wake this thread from a timed wait so as to wake others with it; 50 µs unless told (prctl(2))."""
    _check(_libc.prctl(ctypes.c_int(PR_SET_TIMERSLACK), ctypes.c_ulong(slack_ns)), "prctl, timer slack")
