"""What a node keeps in memory as files: its tmpfs at /swapbed/run, of which /dev/shm is a part.

It is saved and made by us, and CRIU told that it comes from outside: tar and gzip, which it would start for each node, take 5 ms of a
processor where there is nothing, half a minute where there is a gigabyte, and make bytes of which no two checkpoints have any in common.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from nodeops.checkpoint.copying import copy_content
from nodeops.checkpoint.spool import NodeSpool
from nodeops.layout import NodeLayout
from nodeops.linux import MS_NODEV, MS_NOEXEC, MS_NOSUID, mount, open_in_root
from nodeops.reach import opened_root

AT, KEY = "/swapbed/run", "run"  # as `nodeops/init/launch.c` has it; a name for CRIU
SOCKET, SHARED = "init.sock", "shm"  # what is there from the beginning; a socket's name comes back with the socket
MODE, SHARED_MODE = 0o755, 0o1777
TO_DUMP = ("--external", f"mnt[{AT}]:{KEY}")


def to_restore(path: Path) -> tuple[str, str]:
    """What CRIU is told of the tmpfs mounted at that path."""
    return "--external", f"mnt[{KEY}]:{path}"


def is_criu_s(spool: NodeSpool) -> bool:
    """A checkpoint from before it was ours (November 2026): CRIU brings it back by itself."""
    return any(spool.images.glob("tmpfs-*"))


@contextmanager
def kept(nodes: Iterable[NodeLayout]) -> Iterator[dict[str, Path]]:
    """Of nodes that stand still: node → where its tmpfs can be copied from, within, if it holds more than from the beginning.

    Raises Conflict for one that is dead, NotFound.
    """
    with ExitStack() as opened:
        found = {node.name: _open(node, opened) for node in nodes}
        yield {node: Path(f"/proc/{os.getpid()}/fd/{directory}") for node, directory in found.items() if not _is_fresh(directory)}


def used_bytes(node: NodeLayout) -> int:
    with ExitStack() as opened:
        space = os.fstatvfs(_open(node, opened))
        return (space.f_blocks - space.f_bfree) * space.f_frsize


def bring_back(spool: NodeSpool, mount_point: Path, join: Sequence[Path]) -> None:
    """A tmpfs there, as the node had it. join: the node's cgroups, in which it counts. Raises HostProblem, OSError."""
    mount_point.mkdir(parents=True)
    mount("swapbed", mount_point, "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, f"mode={MODE:04o}")
    if spool.memory.exists():
        copy_content(spool.memory, mount_point, join)
    else:
        (mount_point / SHARED).mkdir()
        (mount_point / SHARED).chmod(SHARED_MODE)


def _open(node: NodeLayout, opened: ExitStack) -> int:
    with opened_root(node) as root:
        directory = open_in_root(root, AT, os.O_RDONLY | os.O_DIRECTORY)
    opened.callback(os.close, directory)
    return directory


def _is_fresh(directory: int) -> bool:
    if set(os.listdir(directory)) != {SOCKET, SHARED} or not _is_directory(os.fstat(directory), MODE):
        return False
    if not stat.S_ISSOCK(os.stat(SOCKET, dir_fd=directory, follow_symlinks=False).st_mode):
        return False
    try:
        shared = os.open(SHARED, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=directory)
    except NotADirectoryError:
        return False
    try:
        return _is_directory(os.fstat(shared), SHARED_MODE) and not os.listdir(shared)
    finally:
        os.close(shared)


def _is_directory(found: os.stat_result, mode: int) -> bool:
    return found.st_mode == stat.S_IFDIR | mode and found.st_uid == found.st_gid == 0
