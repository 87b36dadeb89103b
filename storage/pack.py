"""Packs: the objects that carry chunks. Each says itself what is in it, and is named by the BLAKE3 hash of all its bytes.

    header   magic, 16 random bytes
    frames   one per chunk: a codec byte, then the chunk, compressed or not
    index    length of the project's name, the name, a 48-byte record per chunk
    trailer  offset and length of the index, its BLAKE3 hash, magic

The random bytes make every pack's name unique for ever: a pack that was deleted never comes back under its old name, so deleting one
cannot hit a new one. A pack belongs to one project. docs/storage.md has the format for other programs.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from struct import Struct
from struct import error as StructError
from typing import NamedTuple

from models.errors import Corrupt, InvalidInput, SwapbedError
from models.names import LABEL
from storage.chunking import HASH_BYTES, name_of
from storage.compression import decompress
from storage.nodes import Kind

MAGIC_HEAD, MAGIC_TAIL = b"SWBPACK1", b"1KCAPBWS"
SALT_BYTES = 16
HEADER_BYTES = len(MAGIC_HEAD) + SALT_BYTES
INDEX_RECORD = Struct(f"<{HASH_BYTES}sB3xIII")  # hash, kind, offset, stored bytes, raw bytes
TRAILER = Struct(f"<II{HASH_BYTES}s8s")
TARGET_BYTES = 8 << 20  # a pack is closed when it has so many; measured in docs/storage.md
LIMIT_BYTES = 64 << 20  # none is longer: a TARGET and one last chunk, with room for other writers' targets
PREFIX = "packs/"


class Located(NamedTuple):
    """Where in a pack a chunk lies."""

    hash: bytes
    kind: Kind
    offset: int
    stored_bytes: int
    raw_bytes: int


class Pack(NamedTuple):
    """A finished pack in memory."""

    project: str
    name: bytes
    data: bytes
    chunks: tuple[Located, ...]


def pack_key(project: str, name: str) -> str:
    """The key of the object. name: hex."""
    return f"{PREFIX}{check_project(project)}/{name[:2]}/{name}"


def check_project(project: str) -> str:
    if not LABEL.fullmatch(project):
        raise InvalidInput(f"project name '{project}' is not a DNS label")
    return project


class PackBuilder:
    """Collects frames until it is `full`; `seal` makes the pack. Not safe for threads."""

    def __init__(self, project: str):
        self.project = check_project(project)
        self._frames: list[bytes] = [MAGIC_HEAD + os.urandom(SALT_BYTES)]
        self._chunks: list[Located] = []
        self.size_bytes = HEADER_BYTES

    @property
    def full(self) -> bool:
        return self.size_bytes >= TARGET_BYTES

    def __bool__(self) -> bool:
        return bool(self._chunks)

    def add(self, name: bytes, kind: Kind, raw_bytes: int, frame: bytes) -> None:
        self._chunks.append(Located(name, kind, self.size_bytes, len(frame), raw_bytes))
        self._frames.append(frame)
        self.size_bytes += len(frame)

    def seal(self) -> Pack:
        project = self.project.encode()
        index = bytes([len(project)]) + project + b"".join([INDEX_RECORD.pack(*chunk) for chunk in self._chunks])
        trailer = TRAILER.pack(self.size_bytes, len(index), name_of(index), MAGIC_TAIL)
        data = b"".join((*self._frames, index, trailer))
        return Pack(self.project, name_of(data), data, tuple(self._chunks))


class Index(NamedTuple):
    """What a pack says of itself; start: where its frames end."""

    project: str
    start: int
    chunks: tuple[Located, ...]


def index_place(trailer: bytes, size_bytes: int, where: str) -> tuple[int, int]:
    """First and last byte (exclusive) of the index, from the last TRAILER.size bytes of a pack of that size."""
    if len(trailer) != TRAILER.size or size_bytes > LIMIT_BYTES:
        raise Corrupt(f"this is no pack: {size_bytes} bytes long", where=where)
    offset, length, _, magic = TRAILER.unpack(trailer)
    if magic != MAGIC_TAIL or offset + length + TRAILER.size != size_bytes or offset < HEADER_BYTES:
        raise Corrupt("this is no pack, or its end is missing", where=where)
    return offset, offset + length


def parse_index(index: bytes, trailer: bytes, where: str) -> Index:
    """The index, if it has the hash that the trailer names and every frame lies between header and index."""
    start, length, expected, _ = TRAILER.unpack(trailer)
    if len(index) != length or name_of(index) != expected:
        raise Corrupt("the pack's index does not have its hash", where=where)
    try:
        name_end = 1 + index[0]
        project = check_project(index[1:name_end].decode())
        chunks = tuple(Located(name, Kind(kind), *place) for name, kind, *place in INDEX_RECORD.iter_unpack(index[name_end:]))
    except (IndexError, ValueError, StructError, SwapbedError) as error:
        raise Corrupt(f"the pack's index cannot be read ({error})", where=where) from error
    for chunk in chunks:
        if chunk.offset < HEADER_BYTES or chunk.offset + chunk.stored_bytes > start or not chunk.stored_bytes:
            raise Corrupt(f"the pack's index puts chunk {chunk.hash.hex()} outside its frames", where=where)
    return Index(project, start, chunks)


def read_index(data: bytes, where: str) -> Index:
    """The index of a whole pack."""
    start, end = index_place(data[-TRAILER.size:], len(data), where)
    return parse_index(data[start:end], data[-TRAILER.size:], where)


def read_frame(frame: bytes | memoryview, name: bytes, raw_bytes: int, where: str) -> bytes:
    """The chunk, verified. Raises Corrupt if its bytes do not have its name."""
    data = decompress(frame, raw_bytes, where)
    if name_of(data) != name:
        raise Corrupt(f"chunk {name.hex()} does not have its hash", where=where)
    return data


def read_chunks(data: bytes, index: Index, where: str) -> Iterator[tuple[Located, bytes | Corrupt]]:
    """Every chunk of a whole pack, verified; a bad one as the error that says so."""
    view = memoryview(data)
    for chunk in index.chunks:
        try:
            yield chunk, read_frame(view[chunk.offset:chunk.offset + chunk.stored_bytes], chunk.hash, chunk.raw_bytes, where)
        except Corrupt as error:
            yield chunk, error
