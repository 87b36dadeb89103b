"""Images that a spec's VMs name, on this host: out of the store once, and then there for all instances."""

from __future__ import annotations

from functools import partial

from models.spec import Spec
from nodeops.image_room import kept
from storage.roots import RootKind
from storage.store import Store


def images_of(project: str, spec: Spec) -> dict[str, str]:
    """Name → directory, for those that the project's store has. What it has not, the host knows itself, or refuses."""
    return {name: str(kept(tree, partial(Store.of(project).restore_tree, tree))) for name, tree in image_trees(project, spec).items()}


def image_trees(project: str, spec: Spec) -> dict[str, str]:
    """The same as hashes of trees."""
    wanted = {node.image for node in spec.nodes if node.kind == "vm" and not node.image.startswith("/")}
    if not wanted:
        return {}
    return {root.name: root.manifest.hash for root in Store.of(project).roots(RootKind.IMAGE) if root.name in wanted}
