"""The wall clock of container nodes, which goes on across swaps: how far it is ahead of this host's, and what shows it to programs.

All nodes of an instance on a host have one such shift: they stand still and are let go side by side. `wall.c` is preloaded into programs
and reads it from a file of the instance's layer, which is written before a program of the node runs, and never changed.
"""

from __future__ import annotations

import struct
import time
from pathlib import Path

LIBRARY = Path(__file__).parent / "wall.so"
PAGE_BYTES, READINGS = 4096, 5


def file_of(shift_ns: int) -> bytes:
    """Of this form for ever: nodes that are restored have the `wall.so` of their checkpoint. And of one size: CRIU restores no mapping of a
    file whose size is another one."""
    return struct.pack("=q", shift_ns).ljust(PAGE_BYTES, b"\0")


def host_wall_ns(monotonic_ns: int) -> int:
    """What this host's CLOCK_REALTIME reads at an instant of its CLOCK_MONOTONIC, as the two are to each other now.

    The reading that took the least time is nearest to the truth.
    """
    readings = []
    for _ in range(READINGS):
        before_ns, wall_ns, after_ns = time.monotonic_ns(), time.time_ns(), time.monotonic_ns()
        readings.append((after_ns - before_ns, wall_ns - (before_ns + after_ns) // 2))
    return monotonic_ns + min(readings)[1]
