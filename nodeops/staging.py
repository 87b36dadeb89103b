"""Putting a directory of a node aside: by hard links where nobody writes any more, by copies where somebody may.

The directory may belong to a living node whose programs replace names while we look, so everything is reached through directory
descriptors and nothing is followed. Copies share blocks on file systems that can (copy_file_range(2)), and keep holes.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
NO_FILE = "neither file nor directory nor symbolic link"
DEPTH_LIMIT = 200  # a descriptor on either side for each


@dataclass
class Staged:
    """removed: names of the base that overlayfs marks as deleted."""

    files: int = 0
    copied_bytes: int = 0
    left_out: list[str] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)


Choose = Callable[[str, os.stat_result], bool]
"""Of a path relative to the directory and its status: yes or no."""


def everything(path: str, info: os.stat_result) -> bool:
    return True


@dataclass
class Staging:
    """copy: whether a file must be copied. take: which files at all; directories that hold none of them are not made."""

    copy: Choose = everything
    take: Choose = everything
    staged: Staged = field(default_factory=Staged)

    def stage(self, source: Path, target: Path) -> None:
        """What is in source becomes the content of target, which is made. Nothing, if there is no such directory."""
        try:
            there = os.open(source, DIRECTORY)
        except (FileNotFoundError, NotADirectoryError):
            return
        try:
            self._directory(there, target, "", 0)
        finally:
            os.close(there)

    def _directory(self, there: int, target: Path, path: str, depth: int) -> None:
        for name in sorted(os.listdir(there)):
            below = f"{path}/{name}" if path else name
            try:
                self._entry(there, target, name, below, depth)
            except OSError as error:
                if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EIO):
                    raise
                if error.errno != errno.ENOENT:  # gone meanwhile
                    self.staged.left_out.append(f"{below}: {error.strerror}")

    def _entry(self, there: int, target: Path, name: str, path: str, depth: int) -> None:
        info = os.stat(name, dir_fd=there, follow_symlinks=False)
        if stat.S_ISDIR(info.st_mode):
            if depth >= DEPTH_LIMIT:
                self.staged.left_out.append(f"{path}: too deep")
                return
            below = os.open(name, DIRECTORY, dir_fd=there)
            try:
                if self.take is everything:
                    (target / name).mkdir(parents=True, exist_ok=True)
                self._directory(below, target / name, path, depth + 1)
            finally:
                os.close(below)
        elif stat.S_ISREG(info.st_mode) or stat.S_ISLNK(info.st_mode):
            if self.take(path, info):
                target.mkdir(parents=True, exist_ok=True)
                self._file(there, target, name, path, info)
        elif stat.S_ISCHR(info.st_mode) and info.st_rdev == 0:
            self.staged.removed.append(path)
        else:
            self.staged.left_out.append(f"{path}: {NO_FILE}")

    def _file(self, there: int, target: Path, name: str, path: str, info: os.stat_result) -> None:
        if stat.S_ISLNK(info.st_mode):
            os.symlink(os.readlink(name, dir_fd=there), target / name)
        elif self.copy(path, info):
            self.staged.copied_bytes += _copy(there, name, target / name, info)
            self.staged.files += 1
        else:
            os.link(name, target / name, src_dir_fd=there, follow_symlinks=False)
            self.staged.files += 1


def _copy(there: int, name: str, target: Path, info: os.stat_result) -> int:
    """As long as the file is now; what is appended meanwhile is not in it. Returns bytes of data."""
    source = os.open(name, READ, dir_fd=there)
    try:
        if not stat.S_ISREG(os.fstat(source).st_mode):
            raise OSError(errno.ENOENT, "replaced meanwhile")
        made = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            copied = _copy_data(source, made, info.st_size)
            os.ftruncate(made, info.st_size)
            os.fchmod(made, stat.S_IMODE(info.st_mode))
        finally:
            os.close(made)
    finally:
        os.close(source)
    return copied


def copied_from_layer(layer: Path, path: str, size_bytes: int, mtime_ns: int, made: int) -> bool:
    """Copy the file of that path in an overlay's upper layer to the descriptor, if it is the one that a node sees with that size and time.
    What is not copied may be in a layer below, behind a link or a mount of the node, or just being written."""
    parts = [part for part in path.split("/") if part]
    if ".." in parts:
        return False
    with ExitStack() as stack:
        try:
            there = _opened(stack, layer, DIRECTORY)
            for part in parts[:-1]:
                there = _opened(stack, part, DIRECTORY, there)
            source = _opened(stack, parts[-1], READ, there)
            info = os.fstat(source)
            if not stat.S_ISREG(info.st_mode) or (info.st_size, info.st_mtime_ns) != (size_bytes, mtime_ns):
                return False
        except OSError:
            return False
        _copy_data(source, made, size_bytes)
        os.ftruncate(made, size_bytes)
        return True


def _opened(stack: ExitStack, name: str | Path, flags: int, there: int | None = None) -> int:
    descriptor = os.open(name, flags, dir_fd=there)
    stack.callback(os.close, descriptor)
    return descriptor


def _copy_data(source: int, made: int, size: int) -> int:
    copied, at = 0, 0
    while at < size:
        try:
            at = os.lseek(source, at, os.SEEK_DATA)
        except OSError as error:
            if error.errno == errno.ENXIO:  # a hole up to the end
                break
            raise
        end = min(os.lseek(source, at, os.SEEK_HOLE), size)
        while at < end:
            step = os.copy_file_range(source, made, end - at, at, at)
            if step == 0:  # it has become shorter
                return copied
            copied, at = copied + step, at + step
    return copied
