"""A tree from parts: another with some names put in, replaced or taken away. What does not change is neither read nor sent.

So a record is put together from the trees that several hosts stored, and amended later, without anybody having all its files.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from models.errors import InvalidInput
from models.manifest import ManifestKind, ManifestRef
from storage.channel import ChunkSink, ChunkSource, Node
from storage.chunking import cut_file
from storage.content import Batcher, ContentWriter
from storage.ingest import Ingest
from storage.nodes import NO_TIME, Entry, FileType, check_name
from storage.tree_writing import store_root, with_entries
from storage.trees import TreeReader

Part = bytes | ManifestRef
"""The content of a file; a tree, whose root directory is put there with all below it; an image, as a file."""
NEW_DIRECTORY = Entry(b"", FileType.DIRECTORY, 0o755, mtime_ns=NO_TIME)


@dataclass
class _Change:
    """What is to happen at one path and below it."""

    part: Part | None = None
    remove: bool = False
    below: dict[bytes, _Change] = field(default_factory=dict)


def edit_tree(sink: ChunkSink, source: ChunkSource, tree: ManifestRef | None, *, put: Mapping[str, Part] | None = None,
              remove: Collection[str] = ()) -> ManifestRef:
    """Store and commit the changed tree; None: begin with an empty one. Directories on the way are made as needed.

    What is removed need not be there. Raises InvalidInput where a path leads through something that is no directory.
    """
    changes = _Change()
    for path in remove:
        _at(changes, path).remove = True
    for path, part in (put or {}).items():
        _at(changes, path).part = part
    with Ingest(sink) as ingest:
        editor = _Editor(ingest, source)
        root = editor.change(_root(source, tree), changes)
        manifest = store_root(ingest, root)
        ingest.finish()
    sink.commit(manifest)
    return manifest


def _root(source: ChunkSource, tree: ManifestRef | None) -> tuple[Entry, Node | None, TreeReader | None]:
    if tree is None:
        return NEW_DIRECTORY, None, None
    reader = TreeReader(source, tree)
    return *reader.root(), reader


class _Editor:
    def __init__(self, ingest: Ingest, source: ChunkSource):
        self._ingest, self._source, self._batcher = ingest, source, Batcher(ingest)

    def change(self, old: tuple[Entry, Node | None, TreeReader | None], changes: _Change) -> Entry:
        """The directory with the changes made below it."""
        directory, parent, reader = old
        entries: dict[bytes, tuple[Entry, Node | None, TreeReader | None]] = {}
        if parent is not None and reader is not None:
            entries = {entry.name: (entry, node, reader) for entry, node in reader.directory(directory, parent)}
        for name, change in changes.below.items():
            if change.remove:
                entries.pop(name, None)
            if change.part is not None:
                entries[name] = self._part(name, change.part)
            if change.below:
                inside = entries.get(name, (NEW_DIRECTORY._replace(name=name), None, None))
                if inside[0].type != FileType.DIRECTORY:
                    raise InvalidInput("a path leads through it, but it is no directory", where=os.fsdecode(name))
                entries[name] = self.change(inside, change), None, None
        return with_entries(self._ingest, directory, [entries[name][0] for name in sorted(entries)])

    def _part(self, name: bytes, part: Part) -> tuple[Entry, Node | None, TreeReader | None]:
        if isinstance(part, bytes):
            return self._file(name, part), None, None
        if part.kind == ManifestKind.FLAT:
            return Entry(name, FileType.FILE, 0o644, mtime_ns=NO_TIME, size=part.size_bytes, node=bytes.fromhex(part.hash)), None, None
        if part.kind == ManifestKind.TREE:
            reader = TreeReader(self._source, part)
            root, parent = reader.root()
            return root._replace(name=name), parent, reader
        raise InvalidInput("a collection cannot be put into a tree", where=os.fsdecode(name))

    def _file(self, name: bytes, content: bytes) -> Entry:
        writer = ContentWriter(self._batcher)
        offset = 0
        for piece in cut_file(content):
            size = piece.nbytes if isinstance(piece, memoryview) else piece.size
            writer.add(piece, lambda start=offset, length=size: content[start:start + length])  # type: ignore[misc]
            offset += size
        self._batcher.flush()
        found = writer.finish()
        return Entry(name, FileType.FILE, 0o644, mtime_ns=NO_TIME, size=found.size, records=found.records, node=found.node)


def _at(changes: _Change, path: str) -> _Change:
    at = changes
    for name in os.fsencode(path).strip(b"/").split(b"/"):
        check_name(name)
        at = at.below.setdefault(name, _Change())
    return at
