"""What a template is made of: its source, and its datastore, put into the store before any row speaks of it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlmodel import col, select

from languages.evaluate import Evaluation, Source
from models.database import reading
from models.errors import InvalidInput, NotFound
from models.manifest import TreePolicy
from models.spec import Parameter
from models.tables import Project, Template
from storage.roots import RootKind
from storage.store import Store
from swapbed.checkout import MARKER

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

    def fields(self) -> dict[str, Any]:
        return dict(vars(self))


def stored_content(project: Project, source: Source, evaluation: Evaluation, directory: Path | None) -> Content:
    """Its datastore, the files in that directory, is pinned when this returns.

    Only names, contents, executable bits and symbolic links count; links are kept as they are and never followed, hard links become
    files of their own. Raises InvalidInput for sockets, devices and the like, HostProblem for what cannot be read.
    """
    parameters = tuple(parameter.model_copy(update={"value": parameter.default or ""}) for parameter in evaluation.spec.parameters)
    return Content(source.language, source.text, Path(source.name).name, parameters,
                   _pinned_tree(project, directory) if directory else None, _name_of(directory, source) if directory else None)


def datastore_of(source: Source, evaluation: Evaluation) -> Path | None:
    """As the source says, else the directory `datastore` next to it, if there is one."""
    if evaluation.datastore is not None:
        return evaluation.datastore
    usual = source.directory / USUAL_DATASTORE if source.directory else None
    return usual if usual is not None and usual.is_dir() else None


def _pinned_tree(project: Project, directory: Path) -> str:
    """One root for each datastore, named by its hash, whatever templates have it."""
    if not directory.exists():
        raise NotFound("the datastore is not there", where=str(directory), next="The template's source names this directory")
    if not directory.is_dir():
        raise InvalidInput("the datastore is no directory", where=str(directory))
    store = Store.of(project.name)
    stored = store.store_tree(directory, TreePolicy.portable(MARKER))
    if not _is_pinned(project, stored.hash):
        store.pin(RootKind.TEMPLATE, stored.hash, stored.manifest)
    return stored.hash


def _is_pinned(project: Project, datastore: str) -> bool:
    with reading() as session:
        living = select(Template.id).where(Template.project_id == project.id, Template.datastore == datastore)
        return session.exec(living.where(col(Template.expunged_at).is_(None))).first() is not None


def _name_of(directory: Path, source: Source) -> str:
    """Relative to the source; one that lies elsewhere gets the usual name."""
    if source.directory is None:
        return USUAL_DATASTORE
    relative = os.path.relpath(directory.resolve(), source.directory.resolve())
    return USUAL_DATASTORE if relative.startswith("..") else relative
