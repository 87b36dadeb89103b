"""A whole manifest as one file, from one store to another: every chunk it reaches, once, nodes before what they refer to.

    "SBx1", then for each chunk: its kind (1 byte), its length (4 bytes, little-endian), its bytes

The same manifest gives the same bytes. Names are not written: they are the hashes, so that whoever takes it in need not trust it.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import BinaryIO

from models.errors import Corrupt
from models.manifest import ManifestRef
from storage.channel import ChunkSink, ChunkSource, Node
from storage.direct import node_of
from storage.ingest import Ingest
from storage.nodes import Kind, children
from storage.reading import Reader

MAGIC = b"SBx1"
HEAD = struct.Struct("<BI")
CHUNK_LIMIT_BYTES = 64 << 20
BATCH_BYTES = 4 << 20


def write_manifest(source: ChunkSource, manifest: ManifestRef, out: BinaryIO) -> None:
    """Raises Corrupt if anything that it reaches cannot be had."""
    out.write(MAGIC)
    root = node_of(manifest)
    seen = {root[1]}
    with Reader(source) as reader:
        ahead: list[tuple[Node, bytes]] = [(root, reader.node(*root))]
        out.write(_framed(root[0], ahead[0][1]))
        while ahead:
            parent, node = ahead.pop()
            below = [child for child in dict.fromkeys(children(parent[0], node)) if child[1] not in seen]
            seen.update(name for _, name in below)
            found = dict(reader.chunks([parent], {name for _, name in below})) if below else {}
            for kind, name in below:
                out.write(_framed(kind, found[name]))
            ahead += [(child, found[child[1]]) for child in reversed(below) if child[0] != Kind.DATA]


def take_manifest(sink: ChunkSink, manifest: ManifestRef, given: BinaryIO, where: str) -> None:
    """Store and commit it. Raises Corrupt where what is given is not all of that manifest, or is cut off."""
    if given.read(len(MAGIC)) != MAGIC:
        raise Corrupt("this is no manifest with its chunks", where=where)
    with Ingest(sink) as ingest:
        batch: list[bytes] = []
        for kind, data in _frames(given, where):
            if kind != Kind.DATA:
                ingest.node(kind, data)
                continue
            batch.append(data)
            if sum(map(len, batch)) >= BATCH_BYTES:
                ingest.submit(batch)
                batch = []
        if batch:
            ingest.submit(batch)
        ingest.finish()
    sink.commit(manifest)


def _framed(kind: Kind, data: bytes) -> bytes:
    return HEAD.pack(kind, len(data)) + data


def _frames(given: BinaryIO, where: str) -> Iterator[tuple[Kind, bytes]]:
    while head := given.read(HEAD.size):
        kind, length = HEAD.unpack(head) if len(head) == HEAD.size else (Kind.DATA, CHUNK_LIMIT_BYTES + 1)
        data = given.read(length) if length <= CHUNK_LIMIT_BYTES else b""
        if len(data) != length or kind not in list(Kind):
            raise Corrupt("it is cut off, or damaged", where=where, next="Export it again, and copy it whole")
        yield Kind(kind), data
