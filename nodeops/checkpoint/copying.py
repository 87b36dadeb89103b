"""Copies of nodes' upper layers, with all that overlayfs keeps in them."""

from __future__ import annotations

import errno
import fcntl
import subprocess
import tempfile
from pathlib import Path

from models.errors import HostProblem

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
    return f"{how} ({_file_system(directory)})"


def _file_system(directory: Path) -> str:
    """Of the innermost mount that holds it."""
    path, found = directory.resolve(), ("", "unknown")
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        before, _, after = line.partition(" - ")
        point = before.split()[4]
        if path.is_relative_to(point) and len(point) >= len(found[0]):
            found = point, after.split()[0]
    return found[1]
