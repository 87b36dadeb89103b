"""From a directory to a tree manifest: one pass, depth first, names in order of their bytes.

The same tree always gives the same hash. Directories become nodes when all below them has its names, so that memory grows with what is
in flight, the depth, and the longest directory, not with the tree.
"""

from __future__ import annotations

import os
import stat
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

from models.errors import InvalidInput, NotFound
from models.manifest import ManifestKind, ManifestRef, TreePolicy
from storage.chunking import name_of
from storage.content import Batch, Batcher, Content, ContentWriter
from storage.file_reading import read_file
from storage.ingest import Ingest
from storage.nodes import (
    DIRECTORY_ENTRIES_MAX,
    DIRECTORY_MASK,
    Entry,
    FileType,
    Kind,
    Record,
    encode_directory,
    encode_tree,
    pack_records,
)
from storage.tree_scan import describe, describe_root, names_in, open_directory, open_file, reopener, unreadable

LINK_BYTES = 16
Account = Callable[[str], str]
"""Of a file's path: on which account it is counted, see `Ingest.accounts`."""
Unchanged = Callable[[str, os.stat_result], Content | None]
"""Of a file's path and status: its content, if the caller knows it from before and that it did not change."""


@dataclass
class _File:
    entry: Entry
    content: ContentWriter | Content
    link: bytes


@dataclass
class _Directory:
    fd: int
    path: bytes
    entry: Entry
    names: deque[bytes]
    items: list[Entry | _File | _Directory] = field(default_factory=list)


class TreeWriter:
    """Stores one directory through an ingest. Use once: `write`."""

    def __init__(self, ingest: Ingest, root: str | bytes | os.PathLike, policy: TreePolicy, unchanged: Unchanged | None = None,
                 account: Account | None = None):
        self.policy, self.vanished = policy, []
        self._root = os.fsencode(root)
        self._ingest, self._unchanged, self._account = ingest, unchanged, account
        self._batcher = Batcher(ingest)
        self._excluded = {os.fsencode(path).strip(b"/") for path in policy.exclude}
        self._images = [os.fsencode(glob) for glob in policy.images]
        self._links: dict[tuple[int, int], bytes] = {}
        self._closed: deque[_Directory] = deque()  # read, children before parents; nodes still to be made

    vanished: list[str]

    def write(self) -> ManifestRef:
        """Raises NotFound, InvalidInput or HostProblem, naming the path, for what cannot be stored."""
        try:
            fd = open_directory(self._root, None, os.fsdecode(self._root))
        except FileNotFoundError as error:
            raise NotFound("there is no such directory", where=os.fsdecode(self._root)) from error
        except NotADirectoryError as error:
            raise InvalidInput("this is no directory", where=os.fsdecode(self._root)) from error
        stack = [_Directory(fd, b"", describe_root(fd, self.policy), deque(names_in(fd)))]
        root = stack[0]
        try:
            while stack:
                if stack[-1].names:
                    self._visit(stack, stack[-1].names.popleft())
                else:
                    self._leave(stack)
        finally:
            for directory in stack:
                os.close(directory.fd)
        self._batcher.flush()
        while self._closed:
            self._settle(self._closed.popleft())
        return store_root(self._ingest, root.entry)

    def _visit(self, stack: list[_Directory], name: bytes) -> None:
        directory = stack[-1]
        path = directory.path + b"/" + name if directory.path else name
        if path in self._excluded:
            return
        where = os.fsdecode(os.path.join(self._root, path))
        try:
            status = os.stat(name, dir_fd=directory.fd, follow_symlinks=False)
            entry = describe(directory.fd, name, status, self.policy, where)
            if entry.type == FileType.DIRECTORY:
                fd = open_directory(name, directory.fd, where)
                child = _Directory(fd, path, entry, deque(names_in(fd)))
                directory.items.append(child)
                stack.append(child)
            elif entry.type == FileType.FILE:
                directory.items.append(self._read(directory.fd, path, entry, status, where))
            else:
                directory.items.append(entry)
        except (FileNotFoundError, NotADirectoryError):
            self.vanished.append(os.fsdecode(path))
        except OSError as error:
            if error.errno == 40:  # ELOOP: it has become a symbolic link since
                self.vanished.append(os.fsdecode(path))
            else:
                raise unreadable(error, where) from error

    def _read(self, parent: int, path: bytes, entry: Entry, status: os.stat_result, where: str) -> _File:
        link = b""
        if status.st_nlink > 1 and self.policy.links:
            first = self._links.setdefault((status.st_dev, status.st_ino), path)
            link = name_of(first)[:LINK_BYTES]
        known = self._unchanged(os.fsdecode(path), status) if self._unchanged else None
        if known is not None:
            return _File(entry, known, link)
        if self._account:
            self._batcher.charge(self._account(os.fsdecode(path)))
        writer = ContentWriter(self._batcher, image=any(fnmatchcase(entry.name, glob) for glob in self._images))
        fd = open_file(entry.name, parent, where)
        try:
            found = os.fstat(fd)
            if not stat.S_ISREG(found.st_mode):
                raise FileNotFoundError
            read_file(fd, found.st_size, writer, reopener(self._root, path))
        finally:
            os.close(fd)
        return _File(entry, writer, link)

    def _leave(self, stack: list[_Directory]) -> None:
        directory = stack.pop()
        os.close(directory.fd)
        self._closed.append(directory)
        while self._closed and self._ready(self._closed[0]):
            self._settle(self._closed.popleft())

    @staticmethod
    def _ready(directory: _Directory) -> bool:
        """Whether making its node would wait for nothing."""
        needed: set[Batch] = set()
        for item in directory.items:
            if isinstance(item, _File) and isinstance(item.content, ContentWriter):
                needed |= item.content.batches
        return all(batch.done for batch in needed)

    def _settle(self, directory: _Directory) -> None:
        """Make the directory's node and put it into its entry, which the parent, settled later, takes from there."""
        entries = []
        for item in directory.items:
            if isinstance(item, _File):
                content = item.content.finish() if isinstance(item.content, ContentWriter) else item.content
                entries.append(item.entry._replace(size=content.size, records=content.records, node=content.node, link=item.link))
            else:
                entries.append(item.entry if isinstance(item, _Directory) else item)
        directory.items = []
        directory.entry = with_entries(self._ingest, directory.entry, entries)


def store_root(ingest: Ingest, root: Entry) -> ManifestRef:
    """The TREE node of a root directory that is stored."""
    tree = ingest.node(Kind.TREE, encode_tree(root))
    return ManifestRef(kind=ManifestKind.TREE, hash=tree.hex(), size_bytes=root.size, files=root.files)


def with_entries(ingest: Ingest, directory: Entry, entries: list[Entry]) -> Entry:
    """The directory, having just these, in order: stored as a node, sizes and files added up."""
    files = sum(1 if entry.type == FileType.FILE else entry.files for entry in entries)
    return directory._replace(node=store_directory(ingest, entries), size=sum(entry.size for entry in entries), files=files)


def store_directory(ingest: Ingest, entries: list[Entry]) -> bytes:
    """The DIRECTORY node of these entries, in order; split after names whose hash says so where they are many."""
    if len(entries) <= DIRECTORY_ENTRIES_MAX:
        return ingest.node(Kind.DIRECTORY, encode_directory(entries))
    parts, part = [], []
    for entry in entries:
        part.append(entry)
        if not int.from_bytes(name_of(entry.name)[:2], "little") & DIRECTORY_MASK:
            parts.append(_store_part(ingest, part))
            part = []
    if part:
        parts.append(_store_part(ingest, part))
    return ingest.node(Kind.DIRECTORY, encode_directory((), pack_records(parts)))


def _store_part(ingest: Ingest, entries: list[Entry]) -> Record:
    return Record(ingest.node(Kind.DIRECTORY, encode_directory(entries)), len(entries))
