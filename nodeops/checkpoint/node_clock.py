"""A node's CLOCK_MONOTONIC and CLOCK_BOOTTIME: the offsets of its time namespace (time_namespaces(7)), and a process that keeps one ready.

CRIU puts restored processes into the namespaces that a keeper holds: the network, and a time namespace whose offset was computed
beforehand for the very instant at which the node will be let go.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from nodeops import cgroups
from nodeops.identity import ProcessIdentity
from nodeops.linux import CLONE_NEWNET, setns, unshare

CLONE_NEWTIME = 0x80
SECOND = 10**9


def offset_ns(pid: int) -> tuple[int, int]:
    """How far the process's CLOCK_MONOTONIC and CLOCK_BOOTTIME are ahead of this host's."""
    lines = (line.split() for line in Path(f"/proc/{pid}/timens_offsets").read_text().splitlines())
    offsets = {clock: int(seconds) * SECOND + int(nanoseconds) for clock, seconds, nanoseconds in lines}
    return offsets["monotonic"], offsets["boottime"]


class Keeper:
    """A process in the instance's helpers cgroup that is in a given network namespace and has a time namespace of those offsets."""

    def __init__(self, instance: str, network: int, monotonic_ns: int, boottime_ns: int):
        text = "".join(f"{clock} {value // SECOND} {value % SECOND}\n" for clock, value in
                       (("monotonic", monotonic_ns), ("boottime", boottime_ns)))
        with cgroups.joining(cgroups.daemon_cgroup(instance, cgroups.HELPERS)) as join:
            def before() -> None:
                join()
                setns(network, CLONE_NEWNET)
                unshare(CLONE_NEWTIME)
                offsets = os.open("/proc/self/timens_offsets", os.O_WRONLY)
                os.write(offsets, text.encode())
                os.close(offsets)

            self._process = subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, cwd="/", start_new_session=True,
                                             preexec_fn=before)
        self.identity = ProcessIdentity.of(self._process.pid)

    @property
    def time_namespace(self) -> str:
        return f"/proc/{self._process.pid}/ns/time_for_children"

    def end(self) -> None:
        self._process.kill()
        self._process.wait()
        if self._process.stdin:
            self._process.stdin.close()
