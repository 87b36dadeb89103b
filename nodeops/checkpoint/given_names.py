"""Names that CRIU gives, while it dumps, to files which programs hold open and have removed by the name under which they opened them.

One that was killed leaves them in the node, and the next dump would fail on them. They are in its images, once it has dumped: as
`link_remap.N` where N is the number of that image (criu/files-reg.c, images/regfile.proto).
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

from models.errors import Conflict, NotFound
from nodeops.checkpoint.images import messages, numbers, part
from nodeops.checkpoint.spool import NodeSpool
from nodeops.layout import NodeLayout
from nodeops.linux import open_in_root
from nodeops.reach import opened_root

REGULAR, ID, NAME = 3, 1, 6


def take_away(node: NodeLayout, spool: NodeSpool) -> None:
    """What cannot be removed stays: that is no reason for the node not to go on."""
    image = spool.images / "files.img"
    if not image.exists() or not (given := list(given_in(image.read_bytes()))):
        return
    with suppress(OSError), ExitStack() as opened:
        root = _root(node, opened)
        for path in given:
            with suppress(OSError):
                _unlink(root, path)


def given_in(files: bytes) -> Iterator[Path]:
    """Of an image that may end anywhere, as CRIU had come when it was killed; pure."""
    with suppress(ValueError, KeyError):
        for message in messages(files):
            if (entry := part(message, REGULAR)) is None:
                continue
            path = Path(os.fsdecode(part(entry, NAME) or b""))
            if path.name == f"link_remap.{numbers(entry)[ID]}":
                yield path


def _root(node: NodeLayout, opened: ExitStack) -> int:
    """With all its mounts; of a node that has died its layer, on which nothing is mounted any more."""
    try:
        return opened.enter_context(opened_root(node))
    except (Conflict, NotFound):
        root = os.open(node.upper, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        opened.callback(os.close, root)
        return root


def _unlink(root: int, path: Path) -> None:
    directory = open_in_root(root, str(path.parent), os.O_PATH | os.O_DIRECTORY)
    try:
        os.unlink(path.name, dir_fd=directory)
    finally:
        os.close(directory)
