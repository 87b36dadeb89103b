"""Copies of nodes' upper layers, with all that overlayfs keeps in them."""

from __future__ import annotations

import subprocess
from pathlib import Path

from models.errors import HostProblem


def copy_tree(source: Path, target: Path, *, share: bool = False) -> None:
    """target must not be there. Holes, links, whiteouts and attributes stay; blocks are shared where the file system can.

    share: files are hard links, for what nobody changes. Raises HostProblem.
    """
    how = ["-l"] if share else ["--reflink=auto", "--sparse=always"]
    done = subprocess.run(["cp", "-a", *how, source, target], stdin=subprocess.DEVNULL, capture_output=True)
    if done.returncode:
        raise HostProblem(f"cannot copy: {done.stderr.decode(errors='replace').strip()[-500:]}", where=str(source),
                          next="Is the disk full?")
