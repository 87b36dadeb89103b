"""Names that CRIU gives, while it dumps, to files which programs hold open and have removed by the name under which they opened them.

One that was killed leaves them in the node, and the next dump would fail on them.
"""

from __future__ import annotations

import os
import re
from contextlib import suppress
from pathlib import Path

from models.errors import Conflict, NotFound
from nodeops.layout import NodeLayout
from nodeops.linux import open_in_root
from nodeops.reach import open_root

GIVEN = re.compile(r"link_remap\.\d+")


def take_away(node: NodeLayout, since_ns: int) -> None:
    """since_ns: from this instant on, of the wall clock, files were given names; a program's own of such a name is older."""
    given = [path for path in node.upper.rglob("link_remap.*") if GIVEN.fullmatch(path.name) and path.lstat().st_ctime_ns >= since_ns]
    if not given:
        return
    with suppress(Conflict, NotFound):  # the node has died, and begins anew
        root = open_root(node)
        try:
            for path in given:
                _unlink(root, path.relative_to(node.upper))
        finally:
            os.close(root)


def _unlink(root: int, path: Path) -> None:
    """As the node sees it: a layer is not to be changed beneath what is mounted on it."""
    directory = open_in_root(root, str(path.parent), os.O_PATH | os.O_DIRECTORY)
    try:
        with suppress(FileNotFoundError):  # by the node itself, which may be running
            os.unlink(path.name, dir_fd=directory)
    finally:
        os.close(directory)
