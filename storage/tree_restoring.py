"""From a tree manifest to a directory: nodes and content fetched in windows, every chunk verified, nothing followed, nothing overwritten.

Memory: WINDOW_BYTES of content in work, the entries of at most WINDOW_DIRECTORIES directories, and what `Reader` holds.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from models.errors import Conflict, HostProblem
from models.manifest import ManifestKind, ManifestRef
from storage.channel import ChunkSource, Node
from storage.image_restoring import restore_flat
from storage.nodes import HOLE, NO_TIME, Entry, FileType, Kind, decode_directory, decode_tree, unpack_records
from storage.reading import Reader

WINDOW_BYTES = 32 << 20
WINDOW_FILES = 256
WINDOW_DIRECTORIES = 32
DIRECTORIES_OPEN = 256  # with more of them open, one is taken at a time
DEVICES = {FileType.FIFO: stat.S_IFIFO, FileType.SOCKET: stat.S_IFSOCK, FileType.CHARACTER: stat.S_IFCHR, FileType.BLOCK: stat.S_IFBLK,
           FileType.WHITEOUT: stat.S_IFCHR}
OLD_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


@dataclass
class _Directory:
    """needed: reasons to keep its descriptor, and not to set its times yet: itself, and each directory below that is still to be made."""

    entry: Entry
    path: bytes
    parent: _Directory | None
    fd: int = -1
    needed: int = 1


@dataclass
class _File:
    entry: Entry
    directory: _Directory
    fd: int
    missing: int = 0


class TreeRestorer:
    """Restores one tree. Use once: `restore`."""

    def __init__(self, source: ChunkSource, progress: Callable[[int], None] | None = None):
        self._source, self._progress = source, progress
        self._links: dict[bytes, bytes] = {}
        self._fds: set[int] = set()
        self._root_fd = -1
        self._done_bytes = 0

    def restore(self, tree: ManifestRef, directory: str | bytes | os.PathLike) -> None:
        """Make it below directory, which must be empty or not be there. Raises Conflict, HostProblem, Corrupt."""
        assert tree.kind == ManifestKind.TREE
        target = os.fsencode(directory)
        self._root_fd = self._opened(_empty_directory(target))
        try:
            with Reader(self._source) as reader:
                name = bytes.fromhex(tree.hash)
                root = _Directory(decode_tree(reader.node(Kind.TREE, name)), b"", None, self._opened(os.dup(self._root_fd)))
                self._restore(reader, root, (Kind.TREE, name))
        except OSError as error:
            raise _cannot(error, os.fsdecode(target)) from error
        finally:
            for fd in self._fds:
                os.close(fd)

    def _opened(self, fd: int) -> int:
        self._fds.add(fd)
        return fd

    def _close(self, fd: int) -> None:
        self._fds.remove(fd)
        os.close(fd)

    def _restore(self, reader: Reader, root: _Directory, tree: Node) -> None:
        ahead: list[tuple[_Directory, Node]] = [(root, tree)]  # with a node that refers to theirs
        while ahead:
            size = WINDOW_DIRECTORIES if len(self._fds) < DIRECTORIES_OPEN else 1
            window, ahead = ahead[-size:], ahead[:-size]
            nodes = dict(reader.chunks(list({parent: None for _, parent in window}), {d.entry.node for d, _ in window}))
            files: list[tuple[_File, Node]] = []
            for directory, _ in window:
                self._make(directory)
                for entry, parent in self._entries(reader, directory.entry.node, nodes[directory.entry.node]):
                    if entry.type == FileType.DIRECTORY:
                        directory.needed += 1
                        ahead.append((_Directory(entry, _joined(directory.path, entry.name), directory), parent))
                    elif entry.type == FileType.FILE:
                        if not self._link(directory, entry):
                            files.append((self._create(directory, entry), parent))
                            if len(files) >= WINDOW_FILES:
                                self._fill(reader, files)
                                files = []
                    else:
                        self._make_other(directory, entry)
            self._fill(reader, files)
            for directory, _ in window:
                self._release(directory)

    def _entries(self, reader: Reader, name: bytes, node: bytes) -> Iterator[tuple[Entry, Node]]:
        """All entries of a directory, with the node that has them."""
        directory = decode_directory(node)
        yield from ((entry, (Kind.DIRECTORY, name)) for entry in directory.entries)
        for part in directory.parts:
            below = reader.node(Kind.DIRECTORY, part.hash, [(Kind.DIRECTORY, name)])
            yield from ((entry, (Kind.DIRECTORY, part.hash)) for entry in decode_directory(below).entries)

    def _make(self, directory: _Directory) -> None:
        if directory.parent is not None:
            parent = directory.parent
            os.mkdir(directory.entry.name, 0o700, dir_fd=parent.fd)
            directory.fd = self._opened(os.open(directory.entry.name, OLD_DIRECTORY, dir_fd=parent.fd))

    def _release(self, directory: _Directory) -> None:
        """One reason less; with none left its metadata are set, and its parent has one less."""
        directory.needed -= 1
        if not directory.needed:
            self._describe(directory.fd, directory.entry, directory.path)
            self._close(directory.fd)
            if directory.parent is not None:
                self._release(directory.parent)

    def _link(self, directory: _Directory, entry: Entry) -> bool:
        """Whether the file is there already under another name, and now under this one."""
        if not entry.link:
            return False
        path = _joined(directory.path, entry.name)
        first = self._links.setdefault(entry.link, path)
        if first == path:
            return False
        os.link(first, entry.name, src_dir_fd=self._root_fd, dst_dir_fd=directory.fd, follow_symlinks=False)
        return True

    def _create(self, directory: _Directory, entry: Entry) -> _File:
        fd = self._opened(os.open(entry.name, NEW_FILE, 0o600, dir_fd=directory.fd))
        if entry.size:
            os.ftruncate(fd, entry.size)
        return _File(entry, directory, fd)

    def _make_other(self, directory: _Directory, entry: Entry) -> None:
        if entry.type == FileType.SYMLINK:
            os.symlink(entry.target, entry.name, dir_fd=directory.fd)
        else:
            os.mknod(entry.name, DEVICES[FileType(entry.type)] | entry.mode, entry.device, dir_fd=directory.fd)
        self._describe(b"/proc/self/fd/%d/%s" % (directory.fd, entry.name), entry, _joined(directory.path, entry.name))

    def _fill(self, reader: Reader, files: list[tuple[_File, Node]]) -> None:
        """Write the content of these files and close them; several windows if they are long."""
        wanted: dict[bytes, list[tuple[_File, int]]] = {}
        parents: dict[Node, None] = {}
        size = 0
        for file, parent in files:
            if file.entry.node:
                self._advance(restore_flat(reader, file.entry.node, parent, file.fd))
            offset = 0
            for record in unpack_records(file.entry.records):
                if record.hash != HOLE:
                    if record.hash not in wanted:
                        size += record.size
                    wanted.setdefault(record.hash, []).append((file, offset))
                    parents[parent] = None
                offset += record.size
            if size >= WINDOW_BYTES:
                self._fetch(reader, list(parents), wanted)
                wanted, parents, size = {}, {}, 0
        self._fetch(reader, list(parents), wanted)
        for file, _ in files:
            self._describe(file.fd, file.entry, _joined(file.directory.path, file.entry.name))
            self._close(file.fd)

    def _fetch(self, reader: Reader, parents: list[Node], wanted: dict[bytes, list[tuple[_File, int]]]) -> None:
        if wanted:
            for name, data in reader.chunks(parents, wanted.keys()):
                for file, offset in wanted.get(name, ()):
                    os.pwrite(file.fd, data, offset)
                    self._advance(len(data))

    def _describe(self, of: int | bytes, entry: Entry, path: bytes) -> None:
        """Owner, mode, attributes, times: in this order, since each of the former may undo a latter."""
        follow: dict[str, Any] = {} if isinstance(of, int) else {"follow_symlinks": False}
        if (entry.uid, entry.gid) != (os.geteuid(), os.getegid()):
            os.chown(of, entry.uid, entry.gid, **follow)
        if entry.type != FileType.SYMLINK:
            os.chmod(of, entry.mode)
        for name, value in entry.xattrs:
            try:
                os.setxattr(of, name, value, **follow)
            except OSError as error:
                raise HostProblem(f"the attribute {os.fsdecode(name)} cannot be set ({error.strerror})", where=os.fsdecode(path),
                                  next="The file system must support it") from error
        if entry.mtime_ns != NO_TIME:
            os.utime(of, ns=(entry.mtime_ns, entry.mtime_ns), **follow)

    def _advance(self, size: int) -> None:
        self._done_bytes += size
        if self._progress:
            self._progress(self._done_bytes)


def _empty_directory(target: bytes) -> int:
    try:
        os.makedirs(target, mode=0o700, exist_ok=True)
        fd = os.open(target, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except FileExistsError as error:
        raise Conflict("there is a file in its place", where=os.fsdecode(target)) from error
    except OSError as error:
        raise _cannot(error, os.fsdecode(target)) from error
    if os.listdir(fd):
        os.close(fd)
        raise Conflict("the directory is not empty", where=os.fsdecode(target), next="Restore into a new one")
    return fd


def _joined(path: bytes, name: bytes) -> bytes:
    return path + b"/" + name if path else name


def _cannot(error: OSError, where: str) -> HostProblem:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return HostProblem("no space left to restore into", where=where, next="Free space and restore anew; the store still has everything")
    name = f" '{os.fsdecode(error.filename)}'" if error.filename else ""
    return HostProblem(f"it cannot be restored{name} ({error.strerror})", where=where)
