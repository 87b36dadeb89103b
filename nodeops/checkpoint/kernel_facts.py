"""What CRIU finds out about the kernel, kept from one call of it to the next."""

from __future__ import annotations

import os
import stat
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from models.settings import settings
from nodeops.linux import MS_BIND, file_system_of, mount, private_mounts

RUN, KEPT = Path("/run"), Path("/dev/shm/swapbed-criu")
FOUND = "criu.kdat"
FORGETTING = "tmpfs"  # at the next boot, which may be of another kernel


@contextmanager
def kept() -> Iterator[None]:
    """CRIU tries out for some 45 ms what the kernel can do, unless it finds the answer in a tmpfs at /run (criu(8), `criu.kdat`).

    Within, where /run is none, what this thread starts sees one there that has an answer.
    """
    if file_system_of(RUN) == FORGETTING:
        _find_out()
        yield
    elif settings().state_dir.is_relative_to(RUN) or not _ours(KEPT):
        yield
    else:
        with private_mounts():
            mount(str(KEPT), RUN, None, MS_BIND)
            _find_out()
            yield


def _find_out() -> None:
    """In this host's network, for CRIU connects to itself; in a node's, a program may have made that impossible."""
    if not (RUN / FOUND).exists():
        subprocess.run([settings().criu, "check"], stdin=subprocess.DEVNULL, capture_output=True, cwd="/")


def _ours(directory: Path) -> bool:
    """Anybody may make files beside it: it must be one that nobody else can write."""
    if file_system_of(directory.parent) != FORGETTING:
        return False
    directory.mkdir(mode=0o700, exist_ok=True)
    found = directory.lstat()
    return stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid() and not found.st_mode & 0o022
