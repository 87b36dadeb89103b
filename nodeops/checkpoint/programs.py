"""What Swapbed has put into containers and runs there, of the build that each node has: it goes into the checkpoint and comes back from it.

CRIU maps no file of another size or build-id, so without these a checkpoint would be of no use to a later release of Swapbed.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Mapping

from blake3 import blake3

from models.errors import Corrupt
from models.protocol.checkpoint import NodeManifest
from nodeops.checkpoint.spool import Spool
from nodeops.layer import PROGRAMS
from nodeops.layout import InstanceLayout
from nodeops.linux import open_in_root
from nodeops.reach import opened_root

LIMIT_BYTES = 64 << 20  # a node may put anything in their place


def save(layout: InstanceLayout, nodes: Iterable[str], spool: Spool) -> dict[str, dict[str, str]]:
    """Node → `NodeManifest.programs`. What a node has removed, or made no file, is in its upper layer. The nodes live."""
    spool.programs.mkdir()
    saved: dict[str, dict[str, str]] = {}
    for node in nodes:
        with opened_root(layout.node(node)) as root:
            found = {name: content for name in PROGRAMS if (content := _content(root, name)) is not None}
        saved[node] = {name: blake3(content).hexdigest() for name, content in found.items()}
        for name, content in found.items():
            if not (target := spool.programs / saved[node][name]).exists():
                target.write_bytes(content)
    return saved


def load(spool: Spool, manifests: Mapping[str, NodeManifest]) -> dict[str, dict[str, bytes]]:
    """Node → path relative to `/` → content. Raises Corrupt for what is missing, or is not what was saved."""
    contents: dict[str, bytes] = {}
    for node, manifest in manifests.items():
        for name, digest in manifest.programs.items():
            if name not in PROGRAMS:
                raise Corrupt(f"Swapbed puts no '{name}' into nodes", where=str(spool.node(node).manifest))
            if digest not in contents:
                contents[digest] = _checked(spool, digest)
    return {node: {name: contents[digest] for name, digest in manifest.programs.items()} for node, manifest in manifests.items()}


def _checked(spool: Spool, digest: str) -> bytes:
    path = spool.programs / digest
    try:
        content = path.read_bytes()
    except OSError as error:
        raise Corrupt("the checkpoint lacks this program of its nodes", where=str(path)) from error
    if blake3(content).hexdigest() != digest:
        raise Corrupt("this program of the checkpoint's nodes has changed", where=str(path))
    return content


def _content(root: int, name: str) -> bytes | None:
    try:
        fd = open_in_root(root, name, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW)
    except OSError:
        return None
    with os.fdopen(fd, "rb") as file:
        about = os.fstat(fd)
        return file.read() if stat.S_ISREG(about.st_mode) and about.st_size <= LIMIT_BYTES else None
