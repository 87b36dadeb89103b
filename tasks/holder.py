"""Who holds a lease, written so that a person reads it and another process of the same host can tell whether it is dead."""

from __future__ import annotations

import re
import socket
from pathlib import Path

from nodeops.identity import ProcessIdentity

FORM = re.compile(r"(?P<host>\S+) pid (?P<pid>\d+) \(started (?P<start>\d+), boot (?P<boot>\S+), namespace (?P<namespace>\d+)\)")


def own_name() -> str:
    me = ProcessIdentity.own()
    return f"{socket.gethostname()} pid {me.pid} (started {me.start_ticks}, boot {me.boot}, namespace {_pid_namespace()})"


def is_dead(holder: str) -> bool:
    """True only if it was a process of this host, seen through this pid namespace, and is no more."""
    found = FORM.fullmatch(holder)
    if found is None or found["host"] != socket.gethostname() or int(found["namespace"]) != _pid_namespace():
        return False
    return not ProcessIdentity(pid=int(found["pid"]), start_ticks=int(found["start"]), boot=found["boot"]).alive()


def _pid_namespace() -> int:
    return Path("/proc/self/ns/pid").stat().st_ino
