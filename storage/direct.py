"""The store as seen by a process that has its credentials and the database: no token between it and the chunks.

What it writes is trusted at once. It still opens a `Transfer`, so that a garbage collection knows that it is at work.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Collection, Iterable, Sequence

from models.database import writing
from models.errors import Corrupt
from models.manifest import ManifestKind, ManifestRef
from models.states import PackState
from storage import transfers
from storage.catalog import Catalog, Place
from storage.channel import Answer, Node, Run, plan_runs
from storage.completeness import require_complete
from storage.nodes import Kind, children
from storage.objects import ObjectStore
from storage.pack import Pack, pack_key, read_frame
from storage.reading import Reader
from storage.retry import with_retries

NODE_CACHE_BYTES = 64 << 20
GAP_BYTES = 256 << 10  # is read in less time than another request takes, from any S3 server
OF_KIND = {ManifestKind.FLAT: Kind.FLAT, ManifestKind.TREE: Kind.TREE, ManifestKind.COLLECTION: Kind.COLLECTION}
MANIFESTS = {kind: manifest for manifest, kind in OF_KIND.items()}


class DirectSource:
    """`ChunkSource` on catalog and objects. Any node of the project may be a parent."""

    def __init__(self, catalog: Catalog, objects: ObjectStore, manifests: Iterable[ManifestRef] = ()):
        self.catalog, self.objects, self.manifests = catalog, objects, tuple(manifests)
        self._nodes: OrderedDict[bytes, bytes] = OrderedDict()
        self._cached_bytes = 0
        self._lock = threading.Lock()

    def open(self, parents: Sequence[Node], only: Collection[bytes] | None = None, avoid: Collection[str] = ()) -> list[Run]:
        wanted = {name for _, name in self.children(parents)}
        return plan_runs(self.choose(wanted if only is None else wanted & set(only), avoid), GAP_BYTES)

    def children(self, parents: Sequence[Node]) -> list[Node]:
        if not parents:
            return [node_of(manifest) for manifest in self.manifests]
        nodes = self.nodes(parents)
        return [child for kind, name in parents for child in children(kind, nodes[name])]

    def choose(self, wanted: Collection[bytes], avoid: Collection[str]) -> list[Place]:
        """The best place of each."""
        places = self.catalog.places(list(wanted))
        usable = ([place for place in found if place.pack not in avoid] for found in places.values())
        return [found[0] for found in usable if found]

    def fetch(self, run: Run) -> bytes:
        data = self.objects.get(pack_key(self.catalog.project, run.pack), run.start, run.end)
        if len(data) != run.end - run.start:
            raise Corrupt(f"the pack ends before byte {run.end}", where=f"pack {run.pack}")
        return data

    def nodes(self, wanted: Sequence[Node]) -> dict[bytes, bytes]:
        """The bytes of these nodes, verified; from a cache of NODE_CACHE_BYTES where they are in it."""
        with self._lock:
            found = {name: self._nodes[name] for _, name in wanted if name in self._nodes}
            for name in found:
                self._nodes.move_to_end(name)
        absent = {name for _, name in wanted if name not in found}
        if absent:
            with Reader(_ByHash(self)) as reader:
                fresh = dict(reader.chunks((), absent))
            self.remember(fresh)
            found.update(fresh)
        return found

    def remember(self, fresh: dict[bytes, bytes]) -> None:
        """Verified nodes, which need not be fetched for a while."""
        with self._lock:
            for name, data in fresh.items():
                if name not in self._nodes:
                    self._nodes[name] = data
                    self._cached_bytes += len(data)
            while self._cached_bytes > NODE_CACHE_BYTES and self._nodes:
                self._cached_bytes -= len(self._nodes.popitem(last=False)[1])


class _ByHash:
    """The same places and bytes, asked for by hash alone."""

    def __init__(self, source: DirectSource):
        self._source = source

    def open(self, parents: Sequence[Node], only: Collection[bytes] | None = None, avoid: Collection[str] = ()) -> list[Run]:
        return plan_runs(self._source.choose(only or (), avoid), GAP_BYTES)

    def fetch(self, run: Run) -> bytes:
        return self._source.fetch(run)


def node_of(manifest: ManifestRef) -> Node:
    return OF_KIND[manifest.kind], bytes.fromhex(manifest.hash)


def nodes_of(pack: Pack) -> dict[bytes, bytes]:
    """The nodes in it, by name, verified."""
    data, where = memoryview(pack.data), f"pack {pack.name.hex()}"
    return {chunk.hash: read_frame(data[chunk.offset:chunk.offset + chunk.stored_bytes], chunk.hash, chunk.raw_bytes, where)
            for chunk in pack.chunks if chunk.kind != Kind.DATA}


class DirectSink:
    """`ChunkSink` on catalog and objects: one transfer, from construction to `close` (or a `with` block's end).

    trusting: an instance whose hosts' packs count although nobody has verified them yet: for putting together what they stored.
    """

    def __init__(self, catalog: Catalog, objects: ObjectStore, trusting: str = ""):
        self.trusting = trusting
        self.catalog, self.objects, self.project = catalog, objects, catalog.project
        self.source = DirectSource(catalog, objects)
        self.transfer_id = transfers.open_transfer(catalog.on, catalog.project_id, "store")

    def __enter__(self) -> DirectSink:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        with writing(self.catalog.on) as session:
            transfers.end(session, [self.transfer_id])

    def ask(self, hashes: Sequence[bytes], final: bool = False) -> Answer:
        return Answer(set(hashes) - self.catalog.known(hashes, self.trusting).keys(), set())

    def send(self, pack: Pack) -> None:
        name = pack.name.hex()
        with writing(self.catalog.on) as session:
            transfers.renew(session, self.transfer_id)
            self.catalog.expect(session, name, len(pack.data), self.transfer_id, "", 0)
        with_retries(lambda: self.objects.put(pack_key(self.project, name), pack.data))
        with writing(self.catalog.on) as session:
            transfers.renew(session, self.transfer_id)
            self.catalog.claim(session, name, pack.chunks, PackState.VERIFIED)
        self.source.remember(nodes_of(pack))  # `commit` looks at them

    def commit(self, manifest: ManifestRef) -> None:
        with writing(self.catalog.on) as session:
            transfers.renew(session, self.transfer_id)  # if it is over, that is to be said, not what was collected since
        require_complete(self.source, node_of(manifest), self.trusting)
        with writing(self.catalog.on) as session:
            transfers.hold(session, self.transfer_id, manifest)
