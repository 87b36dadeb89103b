"""How much is in the store, and what it is good for: sizes and ratios per kind of root, and what some roots alone hold."""

from __future__ import annotations

from collections.abc import Iterable

from pydantic import Field
from sqlalchemy import Connection, Engine, func, select

from models.database import READ_ONLY, reading
from models.protocol.control import Message
from models.states import PackState
from models.tables import SCHEMA
from storage.catalog import Catalog
from storage.direct import DirectSource, node_of
from storage.marking import Marks
from storage.objects import ObjectStore
from storage.roots import PinnedRoot, RootKind, find_root, list_roots

PACK, CHUNK, PROJECT = SCHEMA.tables["pack"], SCHEMA.tables["chunk"], SCHEMA.tables["project"]
DISTINCT = """SELECT COUNT(*), COALESCE(SUM(raw_bytes), 0), COALESCE(SUM(stored_bytes), 0) FROM
    (SELECT chunk.hash, MAX(raw_bytes) AS raw_bytes, MIN(stored_bytes) AS stored_bytes FROM chunk
     JOIN pack ON pack.id = chunk.pack_id JOIN {marks} m ON m.hash = chunk.hash AND m.project_id = pack.project_id {besides}
     GROUP BY chunk.hash, pack.project_id) AS places"""

NOT_OTHERS = "WHERE NOT EXISTS (SELECT 1 FROM others o WHERE o.hash = chunk.hash AND o.project_id = m.project_id)"


class KindUsage(Message):
    """logical: what users see. unique: each chunk once. stored: those, compressed. For all roots of a kind together."""

    kind: RootKind
    roots: int
    logical_bytes: int
    unique_bytes: int
    stored_bytes: int
    chunks: int

    @property
    def ratio(self) -> float:
        """Logical bytes per stored byte."""
        return self.logical_bytes / self.stored_bytes if self.stored_bytes else 0.0


class StoreUsage(Message):
    kinds: tuple[KindUsage, ...]
    logical_bytes: int
    unique_bytes: int
    packs: int
    pack_bytes: int = Field(description="what the object store holds, garbage included")
    garbage_bytes: int = Field(description="of it: what no root reaches, and space in packs where something was")
    chunks: int

    @property
    def ratio(self) -> float:
        return self.logical_bytes / self.pack_bytes if self.pack_bytes else 0.0


class RootUsage(Message):
    """What these roots together reach, and what would be freed with them because no other root reaches it."""

    roots: tuple[PinnedRoot, ...]
    logical_bytes: int
    unique_bytes: int
    stored_bytes: int
    own_bytes: int
    own_stored_bytes: int
    own_chunks: int


def usage_of_store(on: Engine, objects: ObjectStore, project: str) -> StoreUsage:
    """Of one project. Walks all its manifests."""
    catalog = Catalog(on, project)
    roots = list_roots(catalog)
    with on.connect() as connection:
        kinds = []
        for kind in RootKind:
            chosen = [root for root in roots if root.kind == kind]
            if chosen:
                count, unique, stored = _marked(connection, catalog, objects, chosen)
                kinds.append(KindUsage(kind=kind, roots=len(chosen), logical_bytes=_logical(chosen), unique_bytes=unique,
                                       stored_bytes=stored, chunks=count))
        count, unique, stored = _marked(connection, catalog, objects, roots)
    there = select(func.count(), func.coalesce(func.sum(PACK.c.size_bytes), 0)).where(
        PACK.c.project_id == catalog.project_id, PACK.c.state.in_([PackState.CLAIMED, PackState.VERIFIED, PackState.DAMAGED]))
    with reading(on) as session:
        packs, size = session.connection().execute(there).one()
    return StoreUsage(kinds=tuple(kinds), logical_bytes=_logical(roots), unique_bytes=unique, packs=packs, pack_bytes=int(size),
                      garbage_bytes=max(0, int(size) - stored), chunks=count)


def usage_of_roots(on: Engine, objects: ObjectStore, project: str, names: Iterable[tuple[RootKind, str]]) -> RootUsage:
    """NotFound if one of them is not pinned."""
    catalog = Catalog(on, project)
    chosen = [find_root(catalog, kind, name) for kind, name in names]
    ids = {root.id for root in chosen}
    with on.connect() as connection:
        _marked(connection, catalog, objects, [other for other in list_roots(catalog) if other.id not in ids], "others")
        _, unique, stored = _marked(connection, catalog, objects, chosen)
        own = _sum(connection, besides=NOT_OTHERS)
    return RootUsage(roots=tuple(chosen), logical_bytes=_logical(chosen), unique_bytes=unique, stored_bytes=stored, own_chunks=own[0],
                     own_bytes=own[1], own_stored_bytes=own[2])


def _marked(connection: Connection, catalog: Catalog, objects: ObjectStore, roots: Iterable[PinnedRoot],
            table: str = "marked") -> tuple[int, int, int]:
    marks = Marks(connection, catalog.on, objects, table)
    marks.mark(DirectSource(catalog, objects), [node_of(root.manifest) for root in roots], set())
    return _sum(connection, table)


def _sum(connection: Connection, table: str = "marked", besides: str = "") -> tuple[int, int, int]:
    connection.execution_options(**{READ_ONLY: True})
    with connection.begin():
        count, unique, stored = connection.exec_driver_sql(DISTINCT.format(marks=table, besides=besides)).one()
    return int(count), int(unique), int(stored)


def _logical(roots: Iterable[PinnedRoot]) -> int:
    return sum(root.manifest.size_bytes for root in roots)
