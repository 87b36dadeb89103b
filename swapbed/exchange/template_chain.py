"""A template with all its ancestors, as it goes from one installation to another: checked by hashes, and made the same there."""

from __future__ import annotations

import socket
from datetime import datetime
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict
from sqlmodel import Session, col, select

from models.database import reading
from models.errors import Conflict, Corrupt, InvalidInput, NotFound
from models.manifest import TreePolicy
from models.spec import Parameter
from models.tables import Project, Template
from models.templates import add_template, template_digest
from storage.roots import RootKind
from storage.store import Store
from swapbed.sources.checkout import MARKER


class Exported(BaseModel):
    """One template of the chain."""

    model_config = ConfigDict(extra="forbid")

    digest: str
    language: str
    source: str
    source_name: str
    datastore: str | None
    datastore_name: str | None
    externals: list[dict[str, Any]]
    parameters: list[Parameter]
    created_at: datetime
    created_by: str


class Chain(BaseModel):
    """Root first."""

    model_config = ConfigDict(extra="forbid")

    format: int = 1
    name: str
    installation: str
    templates: list[Exported]

    @property
    def datastores(self) -> list[str]:
        return sorted({one.datastore for one in self.templates if one.datastore})


def chain_of(row: Template) -> Chain:
    """Raises NotFound if one of them was expunged: its descendants' hashes could not be checked."""
    found = lineage(row)
    for one in found:
        if one.source is None:
            raise NotFound("this template was expunged, so what came of it cannot be exported with its history",
                           where=f"{one.name}@{one.number}", next="Check the template out and create a new tree from it")
    return Chain(name=row.name, installation=socket.gethostname(),
                 templates=[Exported.model_validate(one.model_dump(include=set(Exported.model_fields))) for one in found])


def lineage(row: Template) -> list[Template]:
    """The template and its ancestors, root first."""
    found = [row]
    with reading() as session:
        while (parent := found[-1].parent_id) is not None:
            found.append(session.get_one(Template, parent))
    return found[::-1]


def check_name(session: Session, mine: Project, chain: Chain, name: str | None) -> None:
    """Raises Conflict where another tree has the name; before anything is stored, and again when it is added."""
    if chain.templates:
        _refuse_another_tree(session, mine.id, name or chain.name, chain.templates[0].digest)


def check_chain(chain: Chain, where: str) -> None:
    """Raises Corrupt where a template is not what its digest says."""
    parent: str | None = None
    for one in chain.templates:
        if template_digest(one.language, one.source, one.datastore, one.externals, parent) != one.digest:
            raise Corrupt("a template in this file does not match its hash", where=f"{where}: {one.digest}", next="Export it again")
        parent = one.digest
    if parent is None:
        raise InvalidInput("there is no template in it", where=where)


def take_datastores(store: Store, chain: Chain, directory: Path) -> None:
    """Into the store, pinned, from directory/HASH. Raises Corrupt where files are not what the hash says."""
    for datastore in chain.datastores:
        place = directory / datastore
        place.mkdir(parents=True, exist_ok=True)  # of no files at all, an archive holds nothing
        stored = store.store_tree(place, TreePolicy.portable(MARKER))
        if stored.hash != datastore:
            raise Corrupt("a datastore in this file does not match its hash", where=datastore, next="Export it again")
        store.pin(RootKind.TEMPLATE, datastore, stored.manifest)


def add_chain(session: Session, mine: Project, chain: Chain, name: str | None = None) -> list[Template]:
    """Its templates here; what of them is here already stays as it is. name: for the tree, if it is a new one."""
    check_name(session, mine, chain, name)
    made: list[Template] = []
    for one in chain.templates:
        fields = {field: getattr(one, field) for field in Exported.model_fields if field != "digest"}
        made.append(add_template(session, mine, name=name or chain.name, parent=made[-1] if made else None,
                                 imported_from=chain.installation, **fields))
    return made


def missing(session: Session, mine: Project, chain: Chain) -> set[str]:
    """Digests of those that are not here, or were deleted here."""
    digests = {one.digest for one in chain.templates}
    mine_too = select(Template.digest).where(Template.project_id == mine.id, col(Template.expunged_at).is_(None))
    here: set[str] = set(session.exec(mine_too.where(col(Template.digest).in_(digests))))
    return digests - here


def _refuse_another_tree(session: Session, project_id: str, name: str, root: str) -> None:
    """A name is one tree's; a tree that is here already has its name."""
    if session.exec(select(Template.id).where(Template.project_id == project_id, Template.digest == root,
                                              col(Template.expunged_at).is_(None))).first() is not None:
        return
    living = select(Template).where(Template.project_id == project_id, Template.name == name, col(Template.parent_id).is_(None),
                                    col(Template.expunged_at).is_(None))
    if session.exec(living).first() is not None:
        raise Conflict(f"there is another tree of templates named '{name}'", where=name, next="Give this one another --name")
