"""Copies of nodes' upper layers, with all that overlayfs keeps in them."""

from __future__ import annotations

import errno
import fcntl
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

from models.errors import HostProblem
from nodeops import cgroups
from nodeops.linux import file_system_of

FICLONE = 0x40049409  # linux/fs.h
COPYING = ("--reflink=auto", "--sparse=always")
SHARING = ("-l",)


def copy_tree(source: Path, target: Path, *, share: bool = False) -> None:
    """target must not be there. Holes, links, whiteouts and attributes stay; blocks are shared where the file system can.

    share: files are hard links, for what nobody changes. Raises HostProblem.
    """
    _cp(source, *(SHARING if share else COPYING), source, target)


def copy_content(source: Path, target: Path, join: Sequence[Path] = ()) -> None:
    """What is in a directory, and its own attributes, into another one, which may be there, and be a file system of its own. join: cgroups
    that the copy's memory counts in."""
    _cp(source, *COPYING, "--no-target-directory", f"{source}/.", target, join=join)


def copy_trees(targets: Mapping[Path, Path]) -> None:
    """The same of many, source → target, all of the targets on one file system: at once, since most are small, and a process for each would
    take longer than its copy."""
    if not targets:
        return
    with tempfile.TemporaryDirectory(dir=next(iter(targets.values())).parent) as directory:
        named, copies = Path(directory) / "named", Path(directory) / "copies"
        named.mkdir()
        copies.mkdir()
        for number, source in enumerate(targets):
            (named / str(number)).symlink_to(source)
        _cp(next(iter(targets)).parent, *COPYING, "-H", *(named / str(number) for number in range(len(targets))), copies)
        for number, target in enumerate(targets.values()):
            (copies / str(number)).rename(target)


def _cp(where: Path, *arguments: str | Path, join: Sequence[Path] = ()) -> None:
    """It dies with this process, which may be killed, for what is copied is then removed. join: cgroups."""
    with ExitStack() as opened:
        joins = [opened.enter_context(cgroups.joining(each)) for each in join]
        done = subprocess.run(["setpriv", "--pdeathsig", "KILL", "cp", "-a", *arguments], stdin=subprocess.DEVNULL, capture_output=True,
                              preexec_fn=(lambda: [each() for each in joins]) if joins else None)
    if done.returncode:
        raise HostProblem(f"cannot copy: {done.stderr.decode(errors='replace').strip()[-500:]}", where=str(where),
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
