"""Images that a spec's VMs name, on this host: out of the store once, and then there for all instances."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from models.settings import settings
from models.spec import Spec
from models.tables.columns import new_id
from storage.roots import RootKind
from storage.store import Store


def images_of(project: str, spec: Spec) -> dict[str, str]:
    """Name → directory, for those that the project's store has. What it has not, the host knows itself, or refuses."""
    trees = image_trees(project, spec)
    return {name: str(_directory(Store.of(project), tree)) for name, tree in trees.items()}


def image_trees(project: str, spec: Spec) -> dict[str, str]:
    """The same as hashes of trees."""
    wanted = {node.image for node in spec.nodes if node.kind == "vm" and not node.image.startswith("/")}
    if not wanted:
        return {}
    return {root.name: root.manifest.hash for root in Store.of(project).roots(RootKind.IMAGE) if root.name in wanted}


def _directory(store: Store, tree: str) -> Path:
    """Where the tree of that hash is, whole. Any number of processes may ask at once."""
    place = settings().state_dir / "images" / tree
    if not place.is_dir():
        place.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        draft = place.with_name(f"{tree}.{new_id('new')}")
        try:
            store.restore_tree(tree, draft)
            try:
                draft.rename(place)
            except OSError:
                if not place.is_dir():  # else somebody was faster
                    raise
        finally:
            shutil.rmtree(draft, ignore_errors=True)
    os.utime(place)
    return place
