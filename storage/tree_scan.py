"""Looking at a directory's names without following anything: each becomes an entry of its directory's node.

Everything is reached through directory descriptors with O_NOFOLLOW, because the directory may belong to a living node, whose programs
could otherwise lead us elsewhere by replacing a directory with a symbolic link at the right moment.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from functools import partial

from models.errors import HostProblem, InvalidInput
from models.manifest import TreePolicy
from storage.nodes import NO_TIME, Entry, FileType

DIRECTORY_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
FILE_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY
EXECUTABLE = 0o111
TYPES = {stat.S_IFREG: FileType.FILE, stat.S_IFDIR: FileType.DIRECTORY, stat.S_IFLNK: FileType.SYMLINK, stat.S_IFIFO: FileType.FIFO,
         stat.S_IFSOCK: FileType.SOCKET, stat.S_IFCHR: FileType.CHARACTER, stat.S_IFBLK: FileType.BLOCK}
SPECIAL = frozenset({FileType.FIFO, FileType.SOCKET, FileType.CHARACTER, FileType.BLOCK, FileType.WHITEOUT})


def names_in(fd: int) -> Iterator[bytes]:
    """In order of their bytes."""
    return iter(sorted(os.fsencode(name) for name in os.listdir(fd)))


def describe(fd: int, name: bytes, status: os.stat_result, policy: TreePolicy, where: str) -> Entry:
    """The entry of one name in the directory fd, all but its content. Raises InvalidInput for what the policy refuses."""
    kind = TYPES[stat.S_IFMT(status.st_mode)]
    if kind == FileType.CHARACTER and status.st_rdev == 0:
        kind = FileType.WHITEOUT  # as overlayfs marks a deleted name
    if kind in SPECIAL and policy.special == "refuse":
        raise InvalidInput(f"a {kind.name.lower()} cannot be kept here", where=where, next="Remove it, or exclude its directory")
    try:
        return Entry(
            name, kind, _mode(status.st_mode, kind, policy), *((status.st_uid, status.st_gid) if policy.owners else (0, 0)),
            status.st_mtime_ns if policy.times else NO_TIME,
            target=os.readlink(name, dir_fd=fd) if kind == FileType.SYMLINK else b"",
            device=status.st_rdev if kind in (FileType.CHARACTER, FileType.BLOCK) else 0,
            xattrs=xattrs_of(fd, name, kind) if policy.xattrs else ())
    except PermissionError as error:
        raise unreadable(error, where) from error


def describe_root(fd: int, policy: TreePolicy) -> Entry:
    status = os.fstat(fd)
    return Entry(b"", FileType.DIRECTORY, _mode(status.st_mode, FileType.DIRECTORY, policy),
                 *((status.st_uid, status.st_gid) if policy.owners else (0, 0)), status.st_mtime_ns if policy.times else NO_TIME,
                 xattrs=_xattrs(fd) if policy.xattrs else ())


def open_directory(name: bytes, parent: int | None, where: str) -> int:
    try:
        return os.open(name, DIRECTORY_FLAGS, dir_fd=parent)
    except PermissionError as error:
        raise unreadable(error, where) from error
    except OSError as error:
        if error.errno in (24, 23):  # EMFILE, ENFILE
            raise HostProblem("too many directories lie inside each other for the limit of open files", where=where) from error
        raise


def open_file(name: bytes, parent: int, where: str) -> int:
    """Without changing its access time, where we may."""
    try:
        return os.open(name, FILE_FLAGS | os.O_NOATIME, dir_fd=parent)
    except PermissionError:
        try:
            return os.open(name, FILE_FLAGS, dir_fd=parent)
        except PermissionError as error:
            raise unreadable(error, where) from error


def unreadable(error: OSError, where: str) -> HostProblem:
    return HostProblem(f"it cannot be read ({error.strerror})", where=where, next="Let it be read, remove it, or exclude its directory")


def reopener(root: bytes, path: bytes):
    """Opens a file below root a second time."""
    return partial(os.open, os.path.join(root, path), FILE_FLAGS)


def xattrs_of(fd: int, name: bytes, kind: FileType) -> tuple[tuple[bytes, bytes], ...]:
    if kind == FileType.WHITEOUT:
        return ()
    return _xattrs(b"/proc/self/fd/%d/%s" % (fd, name))


def _xattrs(of: int | bytes) -> tuple[tuple[bytes, bytes], ...]:
    follow = {} if isinstance(of, int) else {"follow_symlinks": False}
    try:
        names = os.listxattr(of, **follow)
    except OSError:
        return ()  # this file system has none
    found = []
    for name in sorted(names):
        try:
            found.append((os.fsencode(name), os.getxattr(of, name, **follow)))
        except OSError:
            continue  # removed since, or not for us to read, as trusted.* without CAP_SYS_ADMIN
    return tuple(found)


def _mode(mode: int, kind: FileType, policy: TreePolicy) -> int:
    if kind == FileType.SYMLINK:
        return 0o777
    if policy.owners:
        return stat.S_IMODE(mode)
    if kind == FileType.DIRECTORY:
        return 0o755
    return 0o755 if mode & EXECUTABLE else 0o644
