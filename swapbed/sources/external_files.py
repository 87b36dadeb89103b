"""Files from elsewhere, put into a template's datastore when the template is made, and pinned by hash.

A template holds them from then on: nothing is fetched when it is deployed, and what changes elsewhere does not change it. A child whose
source names the same place and revision has the same files, until it is told to fetch again.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from models.errors import InvalidInput, NotFound
from models.externals import External, GitSource, pinned, same_source
from models.manifest import ManifestRef, TreePolicy
from models.tables import Template
from storage.store import Store
from swapbed.present.file_names import printable
from swapbed.sources.external_git import fetch_git
from swapbed.sources.external_s3 import fetch_s3
from tasks import datastores

PORTABLE = TreePolicy.portable()


@dataclass(frozen=True)
class Pins:
    """What an earlier template of this tree has of such files: its externals, and the datastore that they are in."""

    project: str
    externals: Sequence[dict[str, Any]]
    datastore: str | None

    @staticmethod
    def of(project: str, template: Template | None) -> Pins | None:
        return Pins(project, template.externals, template.datastore) if template is not None and template.externals else None

    def directory(self, external: External) -> tuple[Path, dict[str, Any]] | None:
        """Of the same place and revision."""
        pin = next((pin for pin in self.externals if same_source(external, pin)), None)
        if pin is None or self.datastore is None:
            return None
        try:
            return datastores.directory_of(self.project, self.datastore) / external.at, pin
        except NotFound:  # expunged meanwhile: it is fetched anew
            return None


@dataclass(frozen=True)
class Merged:
    """tree: the datastore with all of them in it. pins: as the template keeps them."""

    tree: ManifestRef
    pins: tuple[dict[str, Any], ...]


def merged(store: Store, externals: Sequence[External], own: ManifestRef | None, base: Path | None, before: Pins | None) -> Merged:
    """own: the datastore without them. Raises InvalidInput where it has something in their place, and what fetching raises."""
    _refuse_taken_places(store, externals, own)
    parts: dict[str, ManifestRef] = {}
    pins: list[dict[str, Any]] = []
    for external in externals:
        tree, pin = _fetched(store, external, base, before)
        parts[external.at] = tree
        pins.append(pin)
    return Merged(store.edit_tree(own, put=parts), tuple(pins))


def without(directory: Path, pins: Sequence[dict[str, Any]]) -> None:
    """Take them out of a checkout: they are not for editing there, and come back with the commit."""
    for pin in pins:
        place = directory / pin["at"]
        shutil.rmtree(place, ignore_errors=True)
        for parent in place.parents:
            if parent == directory or any(parent.iterdir()):
                break
            parent.rmdir()


def _fetched(store: Store, external: External, base: Path | None, before: Pins | None) -> tuple[ManifestRef, dict[str, Any]]:
    known = before.directory(external) if before is not None else None
    if known is not None:
        return store.store_tree(known[0], PORTABLE).manifest, known[1]
    with tempfile.TemporaryDirectory(prefix="swapbed-external-") as room:
        place = Path(room) / "files"
        found = {"commit": fetch_git(external, base, place)} if isinstance(external, GitSource) else {}
        if not isinstance(external, GitSource):
            fetch_s3(external, place)
        _refuse_links_out(place, external)
        tree = store.store_tree(place, PORTABLE).manifest
    return tree, pinned(external, tree.hash, **found)


def _refuse_taken_places(store: Store, externals: Sequence[External], own: ManifestRef | None) -> None:
    if own is None:
        return
    taken = {file.path for file in store.list_tree(own)}
    for external in externals:
        if external.at in taken:
            raise InvalidInput(f"the datastore has a '{external.at}' of its own, where files from elsewhere are to come", where=external.at,
                               next="Rename one of the two")


def _refuse_links_out(directory: Path, external: External) -> None:
    """They come from somebody else, and lie among the template's own files."""
    for parent, names, files in os.walk(directory):
        for name in (*names, *files):
            path = Path(parent) / name
            if not path.is_symlink():
                continue
            target = os.readlink(path)
            inside = os.path.normpath(os.path.join(path.parent.relative_to(directory), target))
            if os.path.isabs(target) or inside.split("/")[0] == "..":
                raise InvalidInput(f"the symbolic link '{printable(str(path.relative_to(directory)))}' leads out of what was fetched",
                                   where=external.at, next="Name a `path` without it, or another revision")
