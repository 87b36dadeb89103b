"""Copies of nodes' upper layers, with all that overlayfs keeps in them."""

from __future__ import annotations

import errno
import fcntl
import subprocess
import tempfile
from pathlib import Path

from models.errors import HostProblem
from nodeops.linux import file_system_of

FICLONE = 0x40049409  # linux/fs.h


def copy_tree(source: Path, target: Path, *, share: bool = False) -> None:
    """target must not be there. Holes, links, whiteouts and attributes stay; blocks are shared where the file system can.

    share: files are hard links, for what nobody changes. Raises HostProblem.
    """
    how = ["-l"] if share else ["--reflink=auto", "--sparse=always"]
    done = subprocess.run(["cp", "-a", *how, source, target], stdin=subprocess.DEVNULL, capture_output=True)
    if done.returncode:
        raise HostProblem(f"cannot copy: {done.stderr.decode(errors='replace').strip()[-500:]}", where=str(source),
                          next="Is the disk full?")


def how_files_are_copied(directory: Path) -> str:
    """`blocks shared (btrfs)` or `bytes copied (ext4)`: found out by trying, since XFS can do it or not as it was made."""
    with tempfile.TemporaryFile(dir=directory) as one, tempfile.TemporaryFile(dir=directory) as other:
        one.write(b"x" * 4096)
        one.flush()
        try:
            fcntl.ioctl(other.fileno(), FICLONE, one.fileno())
            how = "blocks shared"
        except OSError as error:
            if error.errno not in (errno.EOPNOTSUPP, errno.ENOTTY, errno.EINVAL, errno.EXDEV, errno.ENOSYS):
                raise HostProblem(f"a file cannot be copied: {error.strerror}", where=str(directory)) from error
            how = "bytes copied"
    return f"{how} ({file_system_of(directory)})"
