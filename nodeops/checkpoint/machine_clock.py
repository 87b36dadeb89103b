"""A VM's clock, which keeps its distance to virtual time over any number of checkpoints.

QEMU stops and starts it a little after it was asked to, how much the host's load decides. What it read while it stood still is among the
saved devices: so at each cut it is known how late it was let go the last time, and it is let go sooner by that the next time.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable

from nodeops.checkpoint.spool import Spool
from nodeops.layout import InstanceLayout
from nodeops.vm import machines
from nodeops.vm.machine import MachineFiles
from nodeops.whole_file import write_whole

TIMERS = b"\x05timer" + struct.pack(">II", 0, 2)  # of QEMU's migration stream: a section's id, instance and version (cpu-timers.c)
CLOCK_AT = 16  # behind the ticks' offset and eight unused bytes: what the virtual clock reads while it stands still
MOST_NS = 1_000_000_000  # beyond that somebody else has stopped the machine, and what it has lost is lost


def date(layout: InstanceLayout, spool: Spool, nodes: Iterable[str], virtual_ns: int) -> dict[str, int]:
    """Once the devices of these VMs are saved: node → how long after time goes on it is to be let go; written into its manifest.

    virtual_ns: of the cut.
    """
    later_ns = {}
    for node in nodes:
        manifest, machine = spool.node(node).read(), machines.machine_of(layout.node(node))
        reads_ns, asked_ns = clock_ns(spool.node(node).devices.read_bytes()), virtual_ns + manifest.frozen_after_ns
        if manifest.machine is not None and reads_ns is not None:
            ahead_ns = machine.ahead_ns
            if ahead_ns is None or abs(reads_ns - ahead_ns - asked_ns) > MOST_NS:
                ahead_ns = reads_ns - asked_ns
                write_whole(MachineFiles(layout.node(node).root).machine,
                            machine.model_copy(update={"ahead_ns": ahead_ns}).model_dump_json().encode())
            manifest = manifest.model_copy(update={"frozen_after_ns": max(0, reads_ns - ahead_ns - virtual_ns),
                                                   "machine": manifest.machine.model_copy(update={"ahead_ns": ahead_ns})})
            spool.node(node).manifest.write_text(manifest.model_dump_json(indent=1))
        later_ns[node] = manifest.frozen_after_ns
    return later_ns


def clock_ns(devices: bytes) -> int | None:
    """What the clock of a machine that stands still reads; pure. None: this QEMU writes it down in another way."""
    at = devices.find(TIMERS)
    return None if at < 0 else struct.unpack_from(">q", devices, at + len(TIMERS) + CLOCK_AT)[0]
