"""An instance's directories on its host, and the few files that Swapbed writes for every node."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from models.routes import Routing
from models.settings import settings
from models.spec import Node, Spec
from nodeops.layout import InstanceLayout
from nodeops.outside import resolver

NO_RESOLVER = b"# No resolver: this node has no way outside. Names of the experiment's nodes are in /etc/hosts.\n"


def make_directories(layout: InstanceLayout, nodes: Sequence[Node], datastore: str | None) -> None:
    """datastore: what the instance gets a copy of; hard links, if it lies in the state directory, where nobody changes it.

    A node's upper layer stays empty until the node changes something.
    """
    layout.layer.mkdir()
    layout.datastore.mkdir(parents=True)
    if datastore is not None:
        ours = Path(datastore).is_relative_to(settings().state_dir)
        shutil.copytree(datastore, layout.datastore, symlinks=True, dirs_exist_ok=True, copy_function=os.link if ours else shutil.copy2)
    for node in (node for node in nodes if node.kind == "container"):
        for directory in (layout.node(node.name).upper, layout.node(node.name).work):
            directory.parent.mkdir(exist_ok=True)
            directory.mkdir()


def files_of(spec: Spec, routing: Routing, nodes: Sequence[Node]) -> dict[str, dict[str, bytes]]:
    """Node → path relative to `/` → content; pure."""
    return {node.name: {"etc/hosts": routing.hosts(node.name).encode(), "etc/hostname": f"{node.name}\n".encode(),
                        "etc/resolv.conf": f"nameserver {resolver(spec)}\n".encode() if node.outside else NO_RESOLVER} for node in nodes}
