"""What a template is made of: its source, and its datastore, put into the store before any row speaks of it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from languages.evaluate import Evaluation, Source
from models.errors import InvalidInput, NotFound
from models.manifest import ManifestRef, TreePolicy
from models.spec import Parameter
from models.tables import Project, Template
from storage.roots import RootKind
from storage.store import Store
from swapbed.sources.checkout import MARKER
from swapbed.sources.external_files import Pins, merged

USUAL_DATASTORE = "datastore"


@dataclass(frozen=True)
class Content:
    """As `models.templates.add_template` takes it."""

    language: str
    source: str
    source_name: str
    parameters: tuple[Parameter, ...]
    datastore: str | None
    datastore_name: str | None
    externals: tuple[dict[str, Any], ...] = ()

    def fields(self) -> dict[str, Any]:
        return dict(vars(self))


def stored_content(project: Project, source: Source, evaluation: Evaluation, directory: Path | None,
                   before: Template | None = None) -> Content:
    """Its datastore, the files in that directory and those from elsewhere, is pinned when this returns.

    before: the template whose files from elsewhere stay as they are, where the source still names the same; None: all are fetched.

    Only names, contents, executable bits and symbolic links count; links are kept as they are and never followed, hard links become
    files of their own. Raises InvalidInput for sockets, devices and the like, HostProblem for what cannot be read.
    """
    parameters = tuple(parameter.model_copy(update={"value": parameter.default or ""}) for parameter in evaluation.spec.parameters)
    pins: tuple[dict[str, Any], ...] = ()
    with Store.of(project.name) as store:
        tree = _own_tree(store, directory) if directory else None
        if evaluation.externals:
            found = merged(store, evaluation.externals, tree, source.directory, Pins.of(project.name, before))
            tree, pins = found.tree, found.pins
        if tree is not None:
            store.pin(RootKind.TEMPLATE, tree.hash, tree)  # one root for each datastore, whatever templates have it; it ends its transfers
    name = _name_of(directory, source) if directory else USUAL_DATASTORE if pins else None
    return Content(source.language, source.text, Path(source.name).name, parameters, tree.hash if tree else None, name, pins)


def datastore_of(source: Source, evaluation: Evaluation) -> Path | None:
    """As the source says, else the directory `datastore` next to it, if there is one."""
    if evaluation.datastore is not None:
        return evaluation.datastore
    usual = source.directory / USUAL_DATASTORE if source.directory else None
    return usual if usual is not None and usual.is_dir() else None


def _own_tree(store: Store, directory: Path) -> ManifestRef:
    if not directory.exists():
        raise NotFound("the datastore is not there", where=str(directory), next="The template's source names this directory")
    if not directory.is_dir():
        raise InvalidInput("the datastore is no directory", where=str(directory))
    return store.store_tree(directory, TreePolicy.portable(MARKER)).manifest


def _name_of(directory: Path, source: Source) -> str:
    """Relative to the source; one that lies elsewhere gets the usual name."""
    if source.directory is None:
        return USUAL_DATASTORE
    relative = os.path.relpath(directory.resolve(), source.directory.resolve())
    return USUAL_DATASTORE if relative.startswith("..") else relative
