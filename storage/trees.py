"""Trees in the store: store a directory, restore it, list it, read one file of it. On a host or beside the database alike."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence

from models.errors import InvalidInput, NotFound
from models.manifest import Counts, FileKind, ListedFile, ManifestKind, ManifestRef, Stored, TreePolicy
from storage.channel import ChunkSink, ChunkSource, Node
from storage.chunking import name_of
from storage.compression import LEVEL
from storage.image_restoring import windows
from storage.ingest import Ingest, Progress
from storage.nodes import HOLE, NO_TIME, Entry, FileType, Kind, decode_directory, decode_flat, decode_tree, unpack_records
from storage.reading import Reader
from storage.tree_restoring import TreeRestorer
from storage.tree_writing import Account, TreeWriter, Unchanged

DIRECTORIES_AT_ONCE = 64
EVERYTHING = TreePolicy()


def store_tree(sink: ChunkSink, directory: str | os.PathLike, policy: TreePolicy = EVERYTHING, *, level: int = LEVEL,
               unchanged: Unchanged | None = None, account: Account | None = None,
               progress: Callable[[Progress], None] | None = None) -> Stored:
    """Store a directory and commit its manifest: it can be pinned now. The same tree has the same hash."""
    with Ingest(sink, level=level, progress=progress) as ingest:
        writer = TreeWriter(ingest, directory, policy, unchanged, account)
        manifest = writer.write()
        counts: Counts = ingest.finish()
    sink.commit(manifest)
    return Stored(manifest=manifest, counts=counts, vanished=tuple(writer.vanished), accounts=ingest.accounts)


def restore_tree(source: ChunkSource, tree: ManifestRef, directory: str | os.PathLike,
                 progress: Callable[[int], None] | None = None) -> None:
    """Make the tree below directory, which must be empty or not be there. progress: bytes of content written."""
    TreeRestorer(source, progress).restore(tree, directory)


class TreeReader:
    """Looks into one tree; use as a context manager."""

    def __init__(self, source: ChunkSource, tree: ManifestRef):
        if tree.kind != ManifestKind.TREE:
            raise InvalidInput(f"this is a {tree.kind} manifest, not a tree", where=tree.hash)
        self.tree = tree
        self._reader = Reader(source)

    def __enter__(self) -> TreeReader:
        return self

    def __exit__(self, *_: object) -> None:
        self._reader.__exit__()

    def root(self) -> tuple[Entry, Node]:
        """The root directory's entry, and the node that has it."""
        node: Node = (Kind.TREE, bytes.fromhex(self.tree.hash))
        return decode_tree(self._reader.node(*node)), node

    def directory(self, entry: Entry, parent: Node) -> list[tuple[Entry, Node]]:
        """What is in a directory, by name: entries, each with the node that has it."""
        return self.directories([(entry, parent)])[0]

    def directories(self, wanted: Sequence[tuple[Entry, Node]]) -> list[list[tuple[Entry, Node]]]:
        """The same for several at once."""
        nodes = dict(self._reader.chunks(list({parent: None for _, parent in wanted}), {entry.node for entry, _ in wanted}))
        return [self._entries(entry.node, nodes[entry.node]) for entry, _ in wanted]

    def _entries(self, name: bytes, node: bytes) -> list[tuple[Entry, Node]]:
        directory = decode_directory(node)
        found: list[tuple[Entry, Node]] = [(entry, (Kind.DIRECTORY, name)) for entry in directory.entries]
        if directory.parts:
            parts = dict(self._reader.chunks([(Kind.DIRECTORY, name)], {part.hash for part in directory.parts}))
            for part in directory.parts:
                found += ((entry, (Kind.DIRECTORY, part.hash)) for entry in decode_directory(parts[part.hash]).entries)
        return found

    def walk(self) -> Iterator[ListedFile]:
        """Everything in the tree, parents before children, names in order within a directory."""
        ahead: list[tuple[bytes, Entry, Node]] = [(b"", *self.root())]
        while ahead:
            batch, ahead = ahead[-DIRECTORIES_AT_ONCE:], ahead[:-DIRECTORIES_AT_ONCE]
            for (path, *_), entries in zip(batch, self.directories([(entry, parent) for _, entry, parent in batch]), strict=True):
                for entry, parent in entries:
                    below = os.path.join(path, entry.name)
                    yield listed(below, entry)
                    if entry.type == FileType.DIRECTORY:
                        ahead.append((below, entry, parent))

    def find(self, path: str) -> tuple[Entry, Node]:
        """The entry at a path of the tree. NotFound if there is none."""
        entry, parent = self.root()
        for name in os.fsencode(path).strip(b"/").split(b"/") if path.strip("/") else ():
            if entry.type != FileType.DIRECTORY:
                raise NotFound(f"'{path}' is not in this tree", where=self.tree.hash)
            for below, node in self.directory(entry, parent):
                if below.name == name:
                    entry, parent = below, node
                    break
            else:
                raise NotFound(f"'{path}' is not in this tree", where=self.tree.hash)
        return entry, parent

    def read(self, path: str) -> Iterator[bytes]:
        """The content of one file, in order, in pieces that fit memory."""
        entry, parent = self.find(path)
        if entry.type != FileType.FILE:
            raise InvalidInput(f"'{path}' is a {FileType(entry.type).name.lower()}, not a file", where=self.tree.hash)
        if entry.node:
            yield from self._read_long(entry.node, parent)
        else:
            yield self._assemble([parent], _offsets(entry), 0, entry.size)

    def _read_long(self, name: bytes, parent: Node) -> Iterator[bytes]:
        flat = decode_flat(self._reader.node(Kind.FLAT, name, [parent]))
        at = 0
        for parents, wanted in windows(self._reader, name, flat):
            start = min((offset for offsets in wanted.values() for offset in offsets), default=at)
            data = dict(self._reader.chunks(parents, wanted.keys()))
            end = max((offset + len(data[chunk]) for chunk, offsets in wanted.items() for offset in offsets), default=at)
            yield from _zeros(start - at)
            piece = bytearray(end - start)
            for chunk, offsets in wanted.items():
                for offset in offsets:
                    piece[offset - start:offset - start + len(data[chunk])] = data[chunk]
            yield bytes(piece)
            at = end
        yield from _zeros(flat.size - at)

    def _assemble(self, parents: list[Node], wanted: dict[bytes, list[int]], start: int, size: int) -> bytes:
        piece = bytearray(size)
        if wanted:
            for chunk, data in self._reader.chunks(parents, wanted.keys()):
                for offset in wanted[chunk]:
                    piece[offset - start:offset - start + len(data)] = data
        return bytes(piece)


def listed(path: bytes, entry: Entry) -> ListedFile:
    kind = FileKind(FileType(entry.type).name.lower())
    content = name_of(entry.records + entry.node).hex()[:16] if entry.type == FileType.FILE else entry.node.hex()[:16]
    return ListedFile(path=os.fsdecode(path), kind=kind, mode=entry.mode, owner=entry.uid, group=entry.gid,
                      modified_ns=0 if entry.mtime_ns == NO_TIME else entry.mtime_ns, size_bytes=entry.size,
                      target=os.fsdecode(entry.target), content=content)


def _offsets(entry: Entry) -> dict[bytes, list[int]]:
    found: dict[bytes, list[int]] = {}
    offset = 0
    for record in unpack_records(entry.records):
        if record.hash != HOLE:
            found.setdefault(record.hash, []).append(offset)
        offset += record.size
    return found


def _zeros(size: int) -> Iterator[bytes]:
    while size > 0:
        step = min(size, 1 << 20)
        yield bytes(step)
        size -= step
