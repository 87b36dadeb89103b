"""Collections: several manifests under one hash, by name, with a note. What a checkpoint of many images and trees is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from models.errors import InvalidInput
from models.manifest import ManifestKind, ManifestRef
from storage.channel import ChunkSink, ChunkSource
from storage.direct import MANIFESTS, node_of
from storage.ingest import Ingest
from storage.nodes import Kind, Member, decode_collection, encode_collection
from storage.reading import Reader


class Collection(NamedTuple):
    """note: bytes of the caller's, part of the hash."""

    note: bytes
    members: dict[str, ManifestRef]


def store_collection(sink: ChunkSink, members: Mapping[str, ManifestRef], note: bytes = b"") -> ManifestRef:
    """Store and commit it. Raises Corrupt if anything that a member reaches is not in the project's store."""
    packed = [Member(name, *node_of(one), one.size_bytes, one.files) for name, one in members.items()]
    with Ingest(sink) as ingest:
        name = ingest.node(Kind.COLLECTION, encode_collection(note, packed))
        ingest.finish()
    manifest = ManifestRef(kind=ManifestKind.COLLECTION, hash=name.hex(), size_bytes=sum(one.size_bytes for one in members.values()),
                           files=sum(one.files for one in members.values()))
    sink.commit(manifest)
    return manifest


def read_collection(source: ChunkSource, collection: ManifestRef) -> Collection:
    """Its note and members; the source lets these be read, too."""
    if collection.kind != ManifestKind.COLLECTION:
        raise InvalidInput(f"this is a {collection.kind} manifest, not a collection", where=collection.hash)
    with Reader(source) as reader:
        found = decode_collection(reader.node(Kind.COLLECTION, bytes.fromhex(collection.hash)))
    return Collection(found.note, {
        member.name: ManifestRef(kind=MANIFESTS[Kind(member.kind)], hash=member.hash.hex(), size_bytes=member.size, files=member.files)
        for member in found.members})
