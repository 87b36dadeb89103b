"""In what two trees differ. Directories with the same node are not looked into, so it costs what the difference is large."""

from __future__ import annotations

import os
from collections.abc import Iterator

from models.manifest import Difference
from storage.channel import Node
from storage.nodes import Entry, FileType
from storage.trees import TreeReader

ASPECTS = {"content": ("records", "node", "size"), "mode": ("mode",), "owner": ("uid", "gid"), "times": ("mtime_ns",),
           "xattrs": ("xattrs",), "target": ("target", "device"), "links": ("link",)}


def diff_trees(before: TreeReader, after: TreeReader) -> Iterator[Difference]:
    """By path. A directory that was added or removed is told with all that is in it; one that remains, by its own attributes only."""
    yield from _diff(b"", before.root(), after.root(), before, after)


def _diff(path: bytes, old: tuple[Entry, Node], new: tuple[Entry, Node], before: TreeReader, after: TreeReader) -> Iterator[Difference]:
    ahead = [(path, old, new)]
    while ahead:
        path, old, new = ahead.pop()
        if old[0].node == new[0].node:
            continue
        sides = {entry.name: (entry, node) for entry, node in before.directory(*old)}, {e.name: (e, n) for e, n in after.directory(*new)}
        for name in sorted(sides[0].keys() | sides[1].keys()):
            below = os.path.join(path, name)
            left, right = sides[0].get(name), sides[1].get(name)
            if left and right and left[0].type == right[0].type:
                if what := _aspects(left[0], right[0]):
                    yield Difference(path=os.fsdecode(below), change="changed", what=what,
                                     size_before=left[0].size, size_after=right[0].size)
                if left[0].type == FileType.DIRECTORY:
                    ahead.append((below, left, right))
            else:
                if left:
                    yield from _whole("removed", below, left, before)
                if right:
                    yield from _whole("added", below, right, after)


def _aspects(old: Entry, new: Entry) -> tuple[str, ...]:
    ignored = {"content"} if old.type == FileType.DIRECTORY else set()
    return tuple(name for name, fields in ASPECTS.items()
                 if name not in ignored and any(getattr(old, field) != getattr(new, field) for field in fields))


def _whole(change: str, path: bytes, top: tuple[Entry, Node], reader: TreeReader) -> Iterator[Difference]:
    ahead = [(path, top)]
    while ahead:
        path, (entry, node) = ahead.pop()
        sizes = {"size_before" if change == "removed" else "size_after": entry.size}
        yield Difference.model_validate({"path": os.fsdecode(path), "change": change, **sizes})
        if entry.type == FileType.DIRECTORY:
            ahead += reversed([(os.path.join(path, below.name), (below, parent)) for below, parent in reader.directory(entry, node)])
