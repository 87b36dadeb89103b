"""What a host makes nodes from: directories of this machine, or, beyond SSH, permission to fetch the same from the store."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from models.errors import HostProblem
from models.manifest import ManifestKind, ManifestRef
from models.protocol.host import Create, FromStore, StoredTree
from tasks.datastores import directory_of
from tasks.sessions import HostReference
from tasks.store_access import Door, gate
from tasks.vm_images import image_trees, images_of


@contextmanager
def provisioned(create: Create, host: HostReference, datastore: str | None = None) -> Iterator[Create]:
    """The same with the images of its spec. datastore: hash of the tree of its template's; None: as create says, or empty."""
    if host.address is None:
        directory = str(directory_of(create.project, datastore)) if datastore else create.datastore
        yield create.model_copy(update={"images": images_of(create.project, create.spec), "datastore": directory})
        return
    if create.datastore is not None:
        raise HostProblem("its datastore is a directory of another machine", where=host.name, next="Deploy its template anew")
    images = image_trees(create.project, create.spec)
    if not images and datastore is None:
        yield create
        return
    with gate() as door:
        tree = None if datastore is None else stored_tree(door, host, create.project, create.instance, datastore)
        yield create.model_copy(update={"from_store": FromStore(datastore=tree, images={
            name: stored_tree(door, host, create.project, create.instance, image) for name, image in images.items()})})


def stored_tree(door: Door, host: HostReference, project: str, instance_id: str, tree: str) -> StoredTree:
    """The tree of that hash, for that host and instance."""
    manifest = ManifestRef(kind=ManifestKind.TREE, hash=tree, size_bytes=0)
    return StoredTree(tree=manifest, access=door.to_fetch(host, project, instance_id, [manifest]))
