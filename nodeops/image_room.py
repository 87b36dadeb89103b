"""Images of virtual machines on this host, named by the hash of their tree: fetched once, and then there for all instances."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

from models.settings import settings


def kept(tree: str, restore: Callable[[Path], None]) -> Path:
    """Where the tree of that hash is, whole. restore: makes a directory of it, if it is not here yet. Any number of processes may ask at
    once."""
    place = settings().state_dir / "images" / tree
    if not place.is_dir():
        place.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        draft = place.with_name(f"{tree}.{os.urandom(6).hex()}")
        try:
            restore(draft)
            try:
                draft.rename(place)
            except OSError:
                if not place.is_dir():  # else somebody was faster
                    raise
        finally:
            shutil.rmtree(draft, ignore_errors=True)
    os.utime(place)
    return place
