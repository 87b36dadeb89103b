"""The store of one project, for whatever runs beside the database: commands, flows and tasks. Hosts have `storage.transfer` instead.

    store = Store.of()
    stored = store.store_tree(directory, TreePolicy.portable())
    store.pin(RootKind.TEMPLATE, template_id, stored.manifest)      # what is not pinned within an hour may be collected
    store.restore_tree(stored.hash, elsewhere)
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import BinaryIO, TypeVar

from sqlalchemy import Engine

from models.database import engine, writing
from models.errors import NotFound
from models.manifest import Difference, ListedFile, ManifestKind, ManifestRef, Stored, TreePolicy
from models.settings import settings
from models.states import TransferState
from storage import transfers
from storage.carrying import take_manifest, write_manifest
from storage.catalog import Catalog
from storage.collections import Collection, read_collection, store_collection
from storage.compression import LEVEL
from storage.direct import DirectSink, DirectSource
from storage.images import Previous, restore_image, store_image
from storage.ingest import Progress
from storage.object_url import open_objects
from storage.objects import ObjectStore
from storage.roots import PinnedRoot, RootKind, find_root, list_roots, pin, unpin
from storage.tree_diff import diff_trees
from storage.tree_editing import Part, edit_tree
from storage.tree_writing import Account
from storage.trees import EVERYTHING, TreeReader, restore_tree, store_tree

Result = TypeVar("Result")
Advance = Callable[[Progress], None]


class Store:
    """All of it raises SwapbedErrors only: Corrupt for what is bad or missing, StoreProblem for a store that refuses."""

    def __init__(self, on: Engine, objects: ObjectStore, project: str, level: int = LEVEL, trusting: str = ""):
        self.catalog, self.objects, self.level, self.trusting = Catalog(on, project), objects, level, trusting
        self._unpinned: dict[str, set[str]] = {}  # transfers that keep what was stored from being collected, by manifest

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *_: object) -> None:
        """What has been stored by this object and is not pinned by now never will be: no collection has to wait for it."""
        with writing(self.catalog.on) as session:
            transfers.end(session, set[str]().union(*self._unpinned.values()), TransferState.ABORTED)
        self._unpinned.clear()

    @staticmethod
    def of(project: str | None = None, trusting: str = "") -> Store:
        """The store that the settings name. trusting: see `storage.direct.DirectSink`; for what an instance's hosts have just stored."""
        return Store(engine(), open_objects(settings()), project or settings().project, trusting=trusting)

    def store_tree(self, directory: str | os.PathLike, policy: TreePolicy = EVERYTHING, progress: Advance | None = None,
                   account: Account | None = None) -> Stored:
        """See `storage.trees.store_tree`. Pin it within the hour."""
        with self._storing() as sink:
            stored = store_tree(sink, directory, policy, level=self.level, account=account, progress=progress)
        return self._keep(stored, stored.manifest, sink)

    def store_image(self, path: str | os.PathLike, previous: Previous | None = None, progress: Advance | None = None) -> Stored:
        """See `storage.images.store_image`. Pin it within the hour."""
        with self._storing() as sink:
            stored = store_image(sink, path, level=self.level, previous=previous, progress=progress)
        return self._keep(stored, stored.manifest, sink)

    def restore_tree(self, tree: str | ManifestRef, directory: str | os.PathLike, progress: Callable[[int], None] | None = None) -> None:
        manifest = _ref(tree, ManifestKind.TREE)
        restore_tree(self.source(manifest), manifest, directory, progress)

    def restore_image(self, image: str | ManifestRef, path: str | os.PathLike, progress: Callable[[int], None] | None = None) -> None:
        manifest = _ref(image, ManifestKind.FLAT)
        restore_image(self.source(manifest), manifest, path, progress)

    def store_collection(self, members: Mapping[str, ManifestRef], note: bytes = b"") -> ManifestRef:
        """Several manifests under one hash, with a note. Pin it within the hour."""
        with self._storing() as sink:
            manifest = store_collection(sink, members, note)
        return self._keep(manifest, manifest, sink, *(one.hash for one in members.values()))

    def read_collection(self, collection: ManifestRef) -> Collection:
        return read_collection(self.source(collection), collection)

    def edit_tree(self, tree: ManifestRef | None, *, put: Mapping[str, Part] | None = None, remove: Iterable[str] = ()) -> ManifestRef:
        """See `storage.tree_editing.edit_tree`. Pin it within the hour."""
        parts = [part for part in (tree, *(put or {}).values()) if isinstance(part, ManifestRef)]
        with self._storing() as sink:
            manifest = edit_tree(sink, self.source(*parts), tree, put=put, remove=list(remove))
        return self._keep(manifest, manifest, sink, *(part.hash for part in parts))

    def write_manifest(self, manifest: ManifestRef, out: BinaryIO) -> None:
        """All of it as one file, for another store; see `storage.carrying`."""
        write_manifest(self.source(manifest), manifest, out)

    def take_manifest(self, manifest: ManifestRef, given: BinaryIO, where: str) -> None:
        """What `write_manifest` wrote. where: what errors call it. Pin it within the hour."""
        with self._storing() as sink:
            take_manifest(sink, manifest, given, where)
        self._keep(manifest, manifest, sink)

    def read_tree(self, tree: str | ManifestRef) -> TreeReader:
        """To be used in a `with` block."""
        manifest = _ref(tree, ManifestKind.TREE)
        return TreeReader(self.source(manifest), manifest)

    def list_tree(self, tree: str | ManifestRef) -> list[ListedFile]:
        with self.read_tree(tree) as reader:
            return sorted(reader.walk(), key=lambda file: file.path)

    def read_file(self, tree: str | ManifestRef, path: str) -> bytes:
        """One file of a tree, all at once; `read_tree(…).read` gives it in pieces."""
        with self.read_tree(tree) as reader:
            return b"".join(reader.read(path))

    def diff_trees(self, before: str | ManifestRef, after: str | ManifestRef) -> Iterator[Difference]:
        with ExitStack() as stack:
            yield from diff_trees(stack.enter_context(self.read_tree(before)), stack.enter_context(self.read_tree(after)))

    def has(self, manifest: str) -> bool:
        """Whether the project has a chunk of that hash: a manifest's own node, not yet all that it reaches."""
        return bool(self.catalog.places([bytes.fromhex(manifest)]))

    def pin(self, kind: RootKind, name: str, manifest: ManifestRef, ends: Iterable[str] = ()) -> PinnedRoot:
        """See `storage.roots.pin`. The transfers by which this object stored it, and its parts, are over with it."""
        root = pin(self.catalog, self.objects, kind, name, manifest, [*ends, *self._unpinned.get(manifest.hash, ())],
                   self.trusting)
        self._unpinned.pop(manifest.hash, None)
        return root

    def unpin(self, kind: RootKind, name: str) -> None:
        unpin(self.catalog, self.objects, kind, name)

    def root(self, kind: RootKind, name: str) -> PinnedRoot:
        return find_root(self.catalog, kind, name)

    def roots(self, kind: RootKind | None = None) -> list[PinnedRoot]:
        return list_roots(self.catalog, kind)

    def source(self, *manifests: ManifestRef) -> DirectSource:
        """For readers of `storage.trees` and `storage.images`. Raises NotFound if a manifest is not in this project's store."""
        for manifest in manifests:
            if not self.has(manifest.hash):
                raise NotFound("this project's store has no such manifest", where=manifest.hash)
        return DirectSource(self.catalog, self.objects, manifests)

    @contextmanager
    def _storing(self) -> Iterator[DirectSink]:
        """A sink whose transfer outlives the block only if all goes well."""
        sink = DirectSink(self.catalog, self.objects, self.trusting)
        try:
            yield sink
        except BaseException:
            sink.close()
            raise

    def _keep(self, result: Result, manifest: ManifestRef, sink: DirectSink, *parts: str) -> Result:
        held = self._unpinned.setdefault(manifest.hash, set())
        held.add(sink.transfer_id)
        for part in parts:
            held |= self._unpinned.get(part, set())
        return result


def _ref(manifest: str | ManifestRef, kind: ManifestKind) -> ManifestRef:
    return manifest if isinstance(manifest, ManifestRef) else ManifestRef(kind=kind, hash=manifest, size_bytes=0, files=0)
