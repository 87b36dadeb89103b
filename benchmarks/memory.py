"""A virtual machine gets each page from its host when it is touched for the first time, or again after it was free for a while.

That takes ten times as long as taking one that is there, falls on whoever is measured just then, and is nothing of the system's own.
"""

from __future__ import annotations

import mmap
import os
from contextlib import suppress

PAGE_BYTES = 4096


def had_from_host(size_bytes: int = 2 << 30) -> None:
    """So much memory, or half of what there is, is taken and given back: what comes next gets it."""
    size_bytes = min(size_bytes, os.sysconf("SC_AVPHYS_PAGES") * PAGE_BYTES // 2)
    with mmap.mmap(-1, size_bytes, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS) as memory:
        with suppress(OSError):  # no huge pages: it takes longer
            memory.madvise(mmap.MADV_HUGEPAGE)
        memory[::PAGE_BYTES] = bytes(size_bytes // PAGE_BYTES)
