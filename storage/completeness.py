"""Is everything there that a manifest reaches? Asked before a manifest may be pinned, so that no root ever has a hole.

A node that was found complete once is not walked again: its chunks cannot go before it does (docs/storage.md, "Why collecting is safe").
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from models.errors import Corrupt
from storage.catalog import Catalog
from storage.channel import Node
from storage.nodes import Kind

NODES_AT_ONCE = 64  # each has at most some thousand children


class Walkable(Protocol):
    """A project's chunks, as its catalog knows them, and what each node refers to."""

    @property
    def catalog(self) -> Catalog: ...

    def children(self, parents: Sequence[Node]) -> list[Node]: ...


def require_complete(source: Walkable, root: Node, writer: str = "") -> None:
    """Raise Corrupt, naming it and what refers to it, if this writer's view of the project lacks anything that root reaches.

    writer: an instance, whose own packs count although nobody has verified them yet; empty: only verified packs count, and the nodes
    that were walked are marked complete.
    """
    epoch = source.catalog.epoch()
    walked = _walk(source, root, writer, trusting=epoch % 2 == 0)
    if walked and not writer:
        source.catalog.mark_complete(walked, epoch)


def _walk(source: Walkable, root: Node, writer: str, trusting: bool) -> list[bytes]:
    """trusting: not while chunks are being condemned: a node that is still marked complete may have lost a child to that."""
    known = source.catalog.known([root[1]], writer)
    _require([root], known, "the commit")
    ahead = [] if known[root[1]] and trusting else [root]
    seen = {root[1]}
    walked: list[bytes] = []
    while ahead:
        batch, ahead = ahead[:NODES_AT_ONCE], ahead[NODES_AT_ONCE:]
        below = list({child[1]: child for child in source.children(batch)}.values())
        known = source.catalog.known([name for _, name in below], writer)
        _require(below, known, ", ".join(f"{kind.name.lower()} {name.hex()[:16]}…" for kind, name in batch[:3]))
        walked += [name for _, name in batch]
        ahead += [(kind, name) for kind, name in below if kind != Kind.DATA and name not in seen and not (known[name] and trusting)]
        seen.update(name for kind, name in below if kind != Kind.DATA)
    return walked


def _require(nodes: list[Node], known: dict[bytes, bool], needed_by: str) -> None:
    missing = [(kind, name) for kind, name in nodes if name not in known]
    if missing:
        kind, name = missing[0]
        more = f" and {len(missing) - 1} others" if len(missing) > 1 else ""
        raise Corrupt(f"{kind.name.lower()} {name.hex()}{more} is not in the store", where=f"needed by {needed_by}",
                      next="Store the source again: what is missing is then sent")
