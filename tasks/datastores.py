"""A template's datastore on this host: restored from the store once, and then shared by all instances that have it.

An instance's own copy consists of hard links to it: nodes change theirs by copying up, so nobody writes to what is shared.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from models.errors import Conflict
from models.settings import settings
from models.tables.columns import new_id
from storage.store import Store


def directory_of(project: str, datastore: str) -> Path:
    """Where the tree of that hash is, whole; made if it is not there yet. Any number of processes may ask at once."""
    place = cache() / project / datastore
    if place.is_dir():
        os.utime(place)
        return place
    draft = place.with_name(f"{datastore}.{new_id('new')}")
    try:
        Store.of(project).restore_tree(datastore, draft)
        _move(draft, place)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return place


def forget(project: str, datastore: str) -> None:
    """It is to be nowhere on this host. Living instances keep their links."""
    shutil.rmtree(cache() / project / datastore, ignore_errors=True)


def cache() -> Path:
    return settings().state_dir / "datastores"


def _move(draft: Path, place: Path) -> None:
    try:
        draft.rename(place)
    except OSError as error:
        if not place.is_dir():  # else somebody was faster
            raise Conflict(f"the datastore cannot be put in its place ({error.strerror})", where=str(place)) from error
