"""The catalog from the store alone: for a database that is lost, or comes from a backup that is older than the packs."""

from __future__ import annotations

from collections.abc import Callable

from pydantic import Field
from sqlalchemy import Engine, delete, insert, select, update

from models.database import reading, writing
from models.database_clock import DatabaseNow
from models.errors import Corrupt, NotFound
from models.leases import held
from models.manifest import ManifestRef
from models.protocol.control import Message
from models.states import PackState, Subject, TransferState
from models.tables import SCHEMA
from storage import roots, store_mark, transfers
from storage.catalog import Catalog
from storage.catalog_sql import insert_chunks
from storage.completeness import require_complete
from storage.direct import MANIFESTS, DirectSource, node_of
from storage.nodes import Kind
from storage.objects import ObjectInfo, ObjectStore
from storage.pack import PREFIX, pack_key
from storage.roots import PinnedRoot, RootKind
from storage.transfer_service import read_stored_index
from storage.verification import Damage, verify_packs

PACK, CHUNK, ROOT, PROJECT, TRANSFER = (SCHEMA.tables[name] for name in ("pack", "chunk", "root", "project", "transfer"))
UNTRUSTED = "(rebuild)"  # a writer that is no instance: nobody relies on these packs before they are verified


class Rebuilt(Message):
    """unreadable: objects that are no packs. incomplete: roots that lack something, and are pinned all the same."""

    packs: int = 0
    chunks: int = 0
    roots: int = 0
    recovered: int = Field(default=0, description="manifests pinned as 'recovered', because the store has no roots of their project")
    damaged: tuple[Damage, ...] = ()
    unreadable: tuple[str, ...] = ()
    incomplete: tuple[str, ...] = ()


def rebuild(on: Engine, objects: ObjectStore, *, holder: str = "rebuild", is_dead: Callable[[str], bool] | None = None,
            progress: Callable[[int, int], None] = lambda done, total: None) -> Rebuilt:
    """Forget what the catalog says of packs, chunks and roots, and read it from the store. Every byte is read and verified.

    All transfers are over with it. progress: packs read, of all. Killed half-way, it is begun anew. is_dead: see `models.leases.acquire`.
    """
    with held(Subject.STORE, "store", holder=holder, purpose="rebuild the catalog", is_dead=is_dead, on=on):
        _forget(on)
        store_mark.adopt(on, objects)
        found = sorted((info for info in objects.listing(PREFIX)), key=lambda info: info.modified_s)
        packs = chunks = 0
        unreadable = []
        for number, info in enumerate(found):
            try:
                chunks += _take(on, objects, info)
                packs += 1
            except (Corrupt, NotFound) as error:
                unreadable.append(f"{info.key}: {error.what}")
            progress(number, len(found))
        projects = sorted({info.key.split("/")[1] for info in found} | {key.split("/")[1] for key in _root_keys(objects)})
        damaged = [damage for project in projects for damage in verify_packs(Catalog(on, project), objects).damaged]
        pinned, incomplete = _pin_roots(on, objects)
        recovered = sum(_recover(Catalog(on, project), objects) for project in projects)
        progress(len(found), len(found))
    return Rebuilt(packs=packs, chunks=chunks, roots=pinned, recovered=recovered, damaged=tuple(damaged), unreadable=tuple(unreadable),
                   incomplete=tuple(incomplete))


def _forget(on: Engine) -> None:
    with writing(on) as session:
        for table in (CHUNK, PACK, ROOT):
            session.connection().execute(delete(table))
        session.connection().execute(update(TRANSFER).where(TRANSFER.c.state.in_([TransferState.OPEN, TransferState.ISSUED])).values(
            state=TransferState.ABORTED))
        transfers.epoch(session)


def _take(on: Engine, objects: ObjectStore, info: ObjectInfo) -> int:
    _, project, _, name = info.key.split("/") if info.key.count("/") == 3 else ("", "", "", "")
    if not name or pack_key(project, name) != info.key:
        raise Corrupt("this is not where packs lie", where=info.key)
    index = read_stored_index(objects, project, name, info.size_bytes)
    catalog = Catalog(on, project)
    with writing(on) as session:
        pack_id = session.connection().execute(insert(PACK).values(
            project_id=catalog.project_id, name=name, state=PackState.CLAIMED, writer=UNTRUSTED, size_bytes=info.size_bytes,
            chunks=len(index.chunks), writable_until_s=0, created_s=DatabaseNow()).returning(PACK.c.id)).scalar_one()
        insert_chunks(session.connection(), [(c.hash, pack_id, c.offset, c.stored_bytes, c.raw_bytes, int(c.kind), False, False)
                                             for c in index.chunks])
    return len(index.chunks)


def _root_keys(objects: ObjectStore) -> list[str]:
    return [info.key for info in objects.listing(roots.PREFIX)]


def _pin_roots(on: Engine, objects: ObjectStore) -> tuple[int, list[str]]:
    """From the objects that mirror them. One that lacks something is pinned, too: what there is of it must not be collected."""
    incomplete = []
    found = sorted((PinnedRoot.model_validate_json(objects.get(key)) for key in _root_keys(objects)), key=lambda root: root.created_at)
    for root in found:
        catalog = Catalog(on, root.project)
        try:
            require_complete(DirectSource(catalog, objects), node_of(root.manifest))
        except Corrupt as error:
            incomplete.append(f"{root.kind} {root.name}: {error.what}")
        with writing(on) as session:
            roots.insert_root(session, catalog.project_id, root)
    return len(found), incomplete


def _recover(catalog: Catalog, objects: ObjectStore) -> int:
    """Where a project has no roots left: pin every manifest that nothing refers to and that is whole, so that the next collection
    does not take it for garbage."""
    if roots.list_roots(catalog):
        return 0
    chosen = select(CHUNK.c.hash, CHUNK.c.kind).distinct().join(PACK, PACK.c.id == CHUNK.c.pack_id).where(
        PACK.c.project_id == catalog.project_id, PACK.c.state == PackState.VERIFIED, CHUNK.c.kind != int(Kind.DATA))
    with reading(catalog.on) as session:
        nodes = [(Kind(kind), bytes(name)) for name, kind in session.connection().execute(chosen)]
    source = DirectSource(catalog, objects)
    referred = {name for node in nodes if node[0] != Kind.SEGMENT for _, name in source.children([node])}
    recovered = 0
    for kind, name in nodes:
        if kind in MANIFESTS and name not in referred:
            manifest = ManifestRef(kind=MANIFESTS[kind], hash=name.hex(), size_bytes=0, files=0)
            try:
                roots.pin(catalog, objects, RootKind.RECOVERED, name.hex(), manifest)
                recovered += 1
            except Corrupt:
                continue  # it had been collected in part: garbage, certainly
    return recovered
