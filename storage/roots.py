"""Roots: what is pinned, and so never collected. Each has a small object beside the packs that mirrors its row, for a rebuild."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum

from pydantic import AwareDatetime
from sqlalchemy import delete, insert, select
from sqlmodel import Session

from models.database import reading, writing
from models.errors import NotFound
from models.manifest import ManifestKind, ManifestRef
from models.protocol.control import Message
from models.tables import SCHEMA
from models.tables.columns import new_id, now
from storage import transfers
from storage.catalog import Catalog
from storage.completeness import require_complete
from storage.direct import DirectSource, node_of
from storage.objects import ObjectStore

ROOT = SCHEMA.tables["root"]
PREFIX = "roots/"


class RootKind(StrEnum):
    """recovered: a manifest that a rebuild found and that no root names."""

    TEMPLATE, RECORD, CHECKPOINT, IMAGE, RECOVERED = "template", "record", "checkpoint", "image", "recovered"


class PinnedRoot(Message):
    """One root, as its object says it."""

    id: str
    project: str
    kind: RootKind
    name: str
    manifest: ManifestRef
    created_at: AwareDatetime


def root_key(project: str, root_id: str) -> str:
    return f"{PREFIX}{project}/{root_id}.json"


def pin(catalog: Catalog, objects: ObjectStore, kind: RootKind, name: str, manifest: ManifestRef, ends: Iterable[str] = (),
        trusting: str = "") -> PinnedRoot:
    """Keep everything that the manifest reaches, until `unpin`. In place of what the root of that kind and name pinned before, if any.

    ends: the transfers that brought it, which are over with this. trusting: an instance whose hosts' packs count although nobody has
    verified them yet; a root of that instance then hangs on them being good. Raises Corrupt if anything is missing; nothing is pinned then.
    The object is written before the row: a root without a row is found and removed by the next collection.
    """
    own = transfers.open_transfer(catalog.on, catalog.project_id, "store")
    try:
        require_complete(DirectSource(catalog, objects), node_of(manifest), trusting)
        root = PinnedRoot(id=new_id("root"), project=catalog.project, kind=kind, name=name, manifest=manifest, created_at=now())
        objects.put(root_key(catalog.project, root.id), root.model_dump_json().encode())
        with writing(catalog.on) as session:
            transfers.renew(session, own)
            before = insert_root(session, catalog.project_id, root)
            transfers.end(session, [own, *ends])
    except BaseException:
        with writing(catalog.on) as session:
            transfers.end(session, [own])
        raise
    objects.delete(root_key(catalog.project, root_id) for root_id in before)
    return root


def unpin(catalog: Catalog, objects: ObjectStore, kind: RootKind, name: str) -> None:
    """Let it go: the next collections free what nothing else reaches. Unpinning what is not pinned is no error."""
    with writing(catalog.on) as session:
        before = _remove(session, catalog.project_id, kind, name)
    objects.delete(root_key(catalog.project, root_id) for root_id in before)


def find_root(catalog: Catalog, kind: RootKind, name: str) -> PinnedRoot:
    """NotFound if there is none."""
    for root in list_roots(catalog, kind):
        if root.name == name:
            return root
    raise NotFound(f"no {kind} of this name is pinned", where=name)


def list_roots(catalog: Catalog, kind: RootKind | None = None) -> list[PinnedRoot]:
    """All roots of the project, oldest first."""
    chosen = select(ROOT).where(ROOT.c.project_id == catalog.project_id).order_by(ROOT.c.created_at, ROOT.c.id)
    if kind is not None:
        chosen = chosen.where(ROOT.c.kind == kind)
    with reading(catalog.on) as session:
        return [PinnedRoot(
            id=row.id, project=catalog.project, kind=RootKind(row.kind), name=row.name, created_at=row.created_at,
            manifest=ManifestRef(kind=ManifestKind(row.manifest_kind), hash=row.manifest, size_bytes=row.size_bytes, files=row.files))
            for row in session.connection().execute(chosen)]


def insert_root(session: Session, project_id: str, root: PinnedRoot) -> list[str]:
    """In place of that of its kind and name; returns the ids of those that are gone."""
    before = _remove(session, project_id, root.kind, root.name)
    session.connection().execute(insert(ROOT).values(
        id=root.id, project_id=project_id, kind=root.kind, name=root.name, manifest=root.manifest.hash,
        manifest_kind=root.manifest.kind, size_bytes=root.manifest.size_bytes, files=root.manifest.files, created_at=root.created_at))
    return before


def _remove(session: Session, project_id: str, kind: RootKind, name: str) -> list[str]:
    chosen = (ROOT.c.project_id == project_id, ROOT.c.kind == kind, ROOT.c.name == name)
    before = list(session.connection().execute(select(ROOT.c.id).where(*chosen)).scalars())
    session.connection().execute(delete(ROOT).where(*chosen))
    return before
