"""Is the store whole? Fast: does everything the catalog says have its place. Deep: does every byte have its hash. And repair what can be.

A chunk that has another good copy is repaired by forgetting the bad one. One that has none is forgotten, too, if repair is asked for:
whoever still has its source stores that again, and it is sent, because nobody believes any more that it is there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Literal, NamedTuple

from pydantic import Field
from sqlalchemy import Engine, delete, select, update
from sqlmodel import Session

from models.database import reading, writing
from models.errors import Conflict, Corrupt
from models.leases import held
from models.protocol.control import Message
from models.states import PackState, Subject
from models.tables import SCHEMA
from storage.catalog import Catalog
from storage.catalog_sql import delete_chunks
from storage.channel import Node
from storage.direct import DirectSource, node_of
from storage.nodes import Kind
from storage.objects import ObjectStore
from storage.pack import PREFIX, pack_key
from storage.roots import PinnedRoot, list_roots
from storage.store_mark import require_current
from storage.verification import inspect_pack

PACK, CHUNK, PROJECT = SCHEMA.tables["pack"], SCHEMA.tables["chunk"], SCHEMA.tables["project"]
NODES_AT_ONCE = 64
PRESENT = (PackState.CLAIMED, PackState.VERIFIED, PackState.DAMAGED)


class Finding(Message):
    """One thing that is wrong. needed_by: roots that cannot be restored because of it; empty: nothing is lost (yet)."""

    kind: Literal["older-catalog", "missing-pack", "damaged-pack", "unknown-pack", "lost-chunk"]
    what: str
    where: str
    needed_by: tuple[str, ...] = ()


class Checked(Message):
    """packs: of the catalog. bytes: read and compared with their hashes (deep)."""

    deep: bool
    packs: int = 0
    bytes: int = 0
    roots: int = 0
    findings: tuple[Finding, ...] = ()
    repaired: int = Field(default=0, description="bad places of chunks that were forgotten")

    @property
    def whole(self) -> bool:
        """Whether every root can be restored."""
        return not any(finding.needed_by or finding.kind == "older-catalog" for finding in self.findings)


class _Row(NamedTuple):
    id: int
    name: str
    size_bytes: int
    project: str


def check(on: Engine, objects: ObjectStore, *, deep: bool = False, repair: bool = False, holder: str = "check",
          is_dead: Callable[[str], bool] | None = None, progress: Callable[[int, int], None] = lambda done, total: None) -> Checked:
    """Look at all projects. progress: packs looked at, of all. Repair excludes collections (is_dead: see `models.leases.acquire`); looking
    alone disturbs nobody."""
    if repair:
        with held(Subject.STORE, "store", holder=holder, purpose="repair the store", is_dead=is_dead, on=on):
            return _check(on, objects, deep, True, progress)
    return _check(on, objects, deep, False, progress)


def _check(on: Engine, objects: ObjectStore, deep: bool, repair: bool, progress: Callable[[int, int], None]) -> Checked:
    findings = _older(on, objects)
    sizes = {info.key: info.size_bytes for info in objects.listing(PREFIX)}
    packs, expected = _packs(on, PRESENT), _packs(on, tuple(PackState))
    bad: dict[_Row, list[bytes] | None] = {}  # chunks that are bad; None: all
    read_bytes = 0
    for number, pack in enumerate(packs):
        found = sizes.get(pack_key(pack.project, pack.name))
        if found != pack.size_bytes:
            what = "it is not in the store" if found is None else f"it has {found} bytes instead of {pack.size_bytes}"
            findings.append(Finding(kind="missing-pack" if found is None else "damaged-pack", what=what, where=f"pack {pack.name}"))
            bad[pack] = None
        elif deep:
            read_bytes += found
            damage = inspect_pack(objects, pack.project, pack.name)
            if damage is not None:
                findings.append(Finding(kind="damaged-pack", what=damage.what, where=f"pack {pack.name}"))
                bad[pack] = [bytes.fromhex(name) for name in damage.chunks] or None
        progress(number + 1, len(packs))
    names = {pack_key(pack.project, pack.name) for pack in expected}
    findings += [Finding(kind="unknown-pack", what="the catalog does not know it", where=key) for key in sorted(sizes.keys() - names)]
    repaired = _forget(on, bad) if repair else 0
    roots, lost = _lost(on, objects, {} if repair else bad)
    return Checked(deep=deep, packs=len(packs), bytes=read_bytes, roots=roots, findings=(*findings, *lost), repaired=repaired)


def _older(on: Engine, objects: ObjectStore) -> list[Finding]:
    try:
        require_current(on, objects)
    except (Corrupt, Conflict) as error:
        return [Finding(kind="older-catalog", what=error.what, where=objects.name)]
    return []


def _packs(on: Engine, states: Iterable[PackState]) -> list[_Row]:
    chosen = select(PACK.c.id, PACK.c.name, PACK.c.size_bytes, PROJECT.c.name.label("project")).join(
        PROJECT, PACK.c.project_id == PROJECT.c.id).where(PACK.c.state.in_(list(states))).order_by(PACK.c.id)
    with reading(on) as session:
        return [_Row(*row) for row in session.connection().execute(chosen)]


def _forget(on: Engine, bad: dict[_Row, list[bytes] | None]) -> int:
    """No node counts as complete any more: one that did may have lost what was below it."""
    forgotten = 0
    for pack, chunks in bad.items():
        with writing(on) as session:
            if chunks is None:
                forgotten += session.connection().execute(delete(CHUNK).where(CHUNK.c.pack_id == pack.id)).rowcount
            else:
                delete_chunks(session.connection(), pack.id, chunks)
                forgotten += len(chunks)
            _trust_nothing(session, pack)
    return forgotten


def _trust_nothing(session: Session, pack: _Row) -> None:
    of_project = select(PACK.c.id).join(PROJECT, PACK.c.project_id == PROJECT.c.id).where(PROJECT.c.name == pack.project)
    session.connection().execute(update(CHUNK).where(CHUNK.c.complete, CHUNK.c.pack_id.in_(of_project)).values(complete=False))
    session.connection().execute(update(PACK).where(PACK.c.id == pack.id).values(state=PackState.DAMAGED))


def _lost(on: Engine, objects: ObjectStore, bad: dict[_Row, list[bytes] | None]) -> tuple[int, list[Finding]]:
    """Chunks that a root needs and that have no good place, each with all roots that need it."""
    needed: dict[tuple[str, bytes, str], list[str]] = {}
    count = 0
    with reading(on) as session:
        projects = list(session.connection().execute(select(PROJECT.c.name).order_by(PROJECT.c.name)).scalars())
    for project in projects:
        source = DirectSource(Catalog(on, project), objects)
        bad_here = {pack.name: None if chunks is None else set(chunks) for pack, chunks in bad.items() if pack.project == project}
        for root in list_roots(source.catalog):
            count += 1
            for kind, name, why in _holes(source, root, bad_here):
                needed.setdefault((f"{kind.name.lower()} chunk {name.hex()}", name, why), []).append(f"{root.kind} {root.name}")
    return count, [Finding(kind="lost-chunk", what=why, where=where, needed_by=tuple(roots)) for (where, _, why), roots in needed.items()]


def _holes(source: DirectSource, root: PinnedRoot, bad: dict[str, set[bytes] | None]) -> Iterable[tuple[Kind, bytes, str]]:
    ahead: list[Node] = [node_of(root.manifest)]
    seen = {ahead[0][1]}
    yield from _without_place(source, ahead, bad)
    while ahead:
        batch, ahead = ahead[-NODES_AT_ONCE:], ahead[:-NODES_AT_ONCE]
        below: set[Node] = set()
        for node in batch:
            try:
                below.update(source.children([node]))
            except Corrupt as error:
                yield node[0], node[1], error.what
        below = {node for node in below if node[1] not in seen}
        seen.update(name for kind, name in below if kind != Kind.DATA)
        yield from _without_place(source, list(below), bad)
        ahead += [node for node in below if node[0] != Kind.DATA]


def _good(pack: str, name: bytes, bad: dict[str, set[bytes] | None]) -> bool:
    chunks = bad.get(pack, set())
    return chunks is not None and name not in chunks


def _without_place(source: DirectSource, nodes: list[Node], bad: dict[str, set[bytes] | None]) -> Iterable[tuple[Kind, bytes, str]]:
    places = source.catalog.places([name for _, name in nodes])
    for kind, name in nodes:
        if not any(_good(place.pack, name, bad) for place in places.get(name, ())):
            yield kind, name, "the catalog knows no place of it" if name not in places else "none of its places is good"
