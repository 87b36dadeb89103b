"""The format of manifests: nodes that name chunks and other nodes by hash. docs/storage.md describes it for other programs.

A node is a chunk like any other: four bytes that tell its kind, then MessagePack of arrays, integers and byte strings in their shortest
form, so that the same content is always the same bytes and the same hash.

    TREE        one entry without a name: the root directory itself
    DIRECTORY   its entries by name; or, if they are many, further DIRECTORY nodes that hold them in order
    FLAT        an image's or a long file's size, and its SEGMENT nodes; if it is short, its chunks
    SEGMENT     chunks
    COLLECTION  a note, and manifests by name

Chunks and segments are listed as 40-byte records: hash, and how many bytes it stands for; a hash of zeros is a hole.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from enum import IntEnum
from struct import Struct
from typing import Any, NamedTuple

import msgpack
from pydantic import TypeAdapter, ValidationError

from models.errors import Corrupt
from storage.chunking import HASH_BYTES

RECORD = Struct(f"<{HASH_BYTES}sQ")
HOLE = bytes(HASH_BYTES)
INLINE_RECORDS = 64  # of a file's content within its entry; longer content has a FLAT node of its own
SEGMENT_BYTES = 16 << 20  # of an image in one SEGMENT
SEGMENT_RECORDS_MAX = 1024  # of a file's SEGMENT, which ends earlier where a record's hash says so
SEGMENT_MASK = 0xFF
DIRECTORY_ENTRIES_MAX = 1024  # above, a directory's node is split after names whose hash says so
DIRECTORY_MASK = 0x1FF
NAME_LIMIT = 255
NO_TIME = -(1 << 63)  # a modification time that was not recorded


class Kind(IntEnum):
    """What a chunk is. Written in packs' indexes and in the catalog: never renumber."""

    DATA, SEGMENT, FLAT, DIRECTORY, TREE, COLLECTION = 0, 1, 2, 3, 4, 5


MAGIC = {Kind.SEGMENT: b"SBs1", Kind.FLAT: b"SBf1", Kind.DIRECTORY: b"SBd1", Kind.TREE: b"SBt1", Kind.COLLECTION: b"SBc1"}


class FileType(IntEnum):
    FILE, DIRECTORY, SYMLINK, FIFO, SOCKET, CHARACTER, BLOCK, WHITEOUT = 1, 2, 3, 4, 5, 6, 7, 8


class Entry(NamedTuple):
    """One name in a directory. size, files of a directory: of all regular files below it. What a type has no use for is 0 or empty."""

    name: bytes
    type: int
    mode: int  # permission bits with setuid, setgid, sticky
    uid: int = 0
    gid: int = 0
    mtime_ns: int = 0
    size: int = 0
    files: int = 0
    records: bytes = b""  # a short file's content
    node: bytes = b""  # a directory's DIRECTORY, a long file's FLAT
    target: bytes = b""  # of a symbolic link
    device: int = 0
    link: bytes = b""  # the same for all names of one file with hard links in this tree
    xattrs: tuple[tuple[bytes, bytes], ...] = ()


class Record(NamedTuple):
    hash: bytes
    size: int


class Member(NamedTuple):
    """One manifest of a collection; kind is that of its node (FLAT, TREE or COLLECTION)."""

    name: str
    kind: int
    hash: bytes
    size: int
    files: int


ENTRIES = TypeAdapter(tuple[Entry, ...])
MEMBERS = TypeAdapter(tuple[Member, ...])


def pack_records(records: Iterable[tuple[bytes, int]]) -> bytes:
    return b"".join([RECORD.pack(*record) for record in records])


def unpack_records(data: bytes) -> list[Record]:
    if len(data) % RECORD.size:
        raise Corrupt(f"a list of chunks has {len(data)} bytes, which is no multiple of {RECORD.size}")
    return [Record._make(fields) for fields in RECORD.iter_unpack(data)]


def encode_segment(records: bytes) -> bytes:
    return MAGIC[Kind.SEGMENT] + msgpack.packb([records])


def encode_flat(size: int, records: bytes, segmented: bool) -> bytes:
    return MAGIC[Kind.FLAT] + msgpack.packb([size, int(segmented), records])


def encode_directory(entries: Sequence[Entry], parts: bytes = b"") -> bytes:
    return MAGIC[Kind.DIRECTORY] + msgpack.packb([entries, parts])


def encode_tree(root: Entry) -> bytes:
    return MAGIC[Kind.TREE] + msgpack.packb(root)


def encode_collection(note: bytes, members: Sequence[Member]) -> bytes:
    return MAGIC[Kind.COLLECTION] + msgpack.packb([note, sorted(members)])


class Flat(NamedTuple):
    size: int
    segmented: bool
    records: list[Record]


class Directory(NamedTuple):
    entries: tuple[Entry, ...]
    parts: list[Record]


class Collection(NamedTuple):
    note: bytes
    members: tuple[Member, ...]


def decode_segment(node: bytes) -> list[Record]:
    (records,) = _unpack(Kind.SEGMENT, node, 1)
    return unpack_records(_typed(records, bytes))


def decode_flat(node: bytes) -> Flat:
    size, segmented, records = _unpack(Kind.FLAT, node, 3)
    flat = Flat(_typed(size, int), bool(segmented), unpack_records(_typed(records, bytes)))
    if sum(record.size for record in flat.records) != flat.size:
        raise Corrupt(f"a flat manifest's pieces are not its {flat.size} bytes")
    return flat


def decode_directory(node: bytes) -> Directory:
    entries, parts = _unpack(Kind.DIRECTORY, node, 2)
    found = _validated(ENTRIES, entries)
    previous = b""
    for entry in found:
        check_name(entry.name)
        if entry.name <= previous:
            raise Corrupt(f"names of a directory are not in order: {previous!r}, {entry.name!r}")
        previous = entry.name
    return Directory(found, unpack_records(_typed(parts, bytes)))


def decode_tree(node: bytes) -> Entry:
    fields = _unpack(Kind.TREE, node, len(Entry._fields))
    root = _validated(ENTRIES, [fields])[0]
    if root.name or root.type != FileType.DIRECTORY:
        raise Corrupt("a tree's root is not a nameless directory")
    return root


def decode_collection(node: bytes) -> Collection:
    note, members = _unpack(Kind.COLLECTION, node, 2)
    return Collection(_typed(note, bytes), _validated(MEMBERS, members))


def check_name(name: bytes) -> None:
    """Raise Corrupt for what is no name of a file in a directory: a manifest must not be able to reach out of its tree."""
    if not name or name in (b".", b"..") or b"/" in name or b"\0" in name or len(name) > NAME_LIMIT:
        raise Corrupt(f"{name[:80]!r} is not a file name")


def children(kind: Kind, node: bytes) -> Iterator[tuple[Kind, bytes]]:
    """All that a node refers to directly, without holes; something may be named more than once."""
    if kind == Kind.SEGMENT:
        yield from ((Kind.DATA, record.hash) for record in decode_segment(node) if record.hash != HOLE)
    elif kind == Kind.FLAT:
        flat = decode_flat(node)
        below = Kind.SEGMENT if flat.segmented else Kind.DATA
        yield from ((below, record.hash) for record in flat.records if record.hash != HOLE)
    elif kind == Kind.DIRECTORY:
        directory = decode_directory(node)
        yield from ((Kind.DIRECTORY, record.hash) for record in directory.parts)
        for entry in directory.entries:
            yield from entry_children(entry)
    elif kind == Kind.TREE:
        yield from entry_children(decode_tree(node))
    elif kind == Kind.COLLECTION:
        yield from ((Kind(member.kind), member.hash) for member in decode_collection(node).members)


def entry_children(entry: Entry) -> Iterator[tuple[Kind, bytes]]:
    if entry.node:
        yield (Kind.DIRECTORY if entry.type == FileType.DIRECTORY else Kind.FLAT), entry.node
    yield from ((Kind.DATA, record.hash) for record in unpack_records(entry.records) if record.hash != HOLE)


def _unpack(kind: Kind, node: bytes, fields: int) -> list:
    if node[:4] != MAGIC[kind]:
        raise Corrupt(f"not a node of kind {kind.name.lower()} (it begins with {node[:4]!r})")
    try:
        found = msgpack.unpackb(node[4:], use_list=False)
    except (ValueError, msgpack.UnpackException) as error:
        raise Corrupt(f"a node of kind {kind.name.lower()} cannot be read ({error})") from error
    if not isinstance(found, tuple) or len(found) != fields:
        raise Corrupt(f"a node of kind {kind.name.lower()} does not have {fields} fields")
    return list(found)


def _typed(value: object, kind: type) -> Any:
    if not isinstance(value, kind):
        raise Corrupt(f"a node has {type(value).__name__} where {kind.__name__} belongs")
    return value


def _validated(adapter: TypeAdapter, value: object) -> Any:
    try:
        return adapter.validate_python(value, strict=False)
    except ValidationError as error:
        raise Corrupt(f"a node cannot be read: {error.errors()[0]['msg']} at {error.errors()[0]['loc']}") from error
