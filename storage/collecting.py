"""Garbage collection: frees what no root reaches, while others store and fetch. docs/storage.md proves that it is safe.

Two collections free a chunk: the first finds that no root reaches it and condemns it; the second, once every transfer that might have been
told of it before is over, finds again that no root reaches it, and deletes it. Whoever asks for a condemned chunk in between is told that
it is there, and it is condemned no more. Each step may be killed at any point; the next collection goes on from what it finds.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from pydantic import Field
from sqlalchemy import Connection, Engine, RowMapping, delete, exists, func, select, update
from sqlmodel import Session

from models.database import READ_ONLY, reading, writing
from models.database_clock import DatabaseNow
from models.leases import Lease, held
from models.protocol.control import Message
from models.states import PackState, Subject, TransferState
from models.tables import SCHEMA
from storage import roots, store_mark, transfers
from storage.catalog import Catalog
from storage.catalog_sql import batches
from storage.chunking import HASH_BYTES
from storage.local_objects import LocalObjects
from storage.marking import Marks
from storage.objects import ObjectStore
from storage.pack import TARGET_BYTES, pack_key
from storage.repacking import Candidate, group, repack

PACK, CHUNK, PROJECT, TRANSFER, STORE, ROOT = (SCHEMA.tables[name] for name in ("pack", "chunk", "project", "transfer", "store", "root"))
LIVE_FRACTION = 0.6  # a pack of which less is alive is rewritten
OVERHEAD_BYTES = 4096  # of a pack beside its frames that is no reason to rewrite it
SMALL_BYTES = TARGET_BYTES // 8
SMALL_PACKS = 8  # so many small ones are made into one
GRACE_S = 3600.0  # for what a killed process left: announced packs, unfinished files, roots' objects
FORGET_TRANSFERS_S = 86400.0
OBJECTS_AT_ONCE = 500
CHUNKS_AT_ONCE = 20_000  # looked at in one transaction, about: others write to the database in between
UNMARKED = """NOT EXISTS (SELECT 1 FROM marked m JOIN pack p ON p.project_id = m.project_id
    WHERE m.hash = chunk.hash AND p.id = chunk.pack_id)"""


class Collected(Message):
    """What one collection did; with dry_run, what the next ones would do."""

    dry_run: bool = False
    roots: int = 0
    condemned_chunks: int = Field(default=0, description="found unreachable: the next collection may free them")
    condemned_bytes: int = 0
    freed_chunks: int = 0
    freed_bytes: int = Field(default=0, description="of chunks; space comes back with the packs")
    deleted_packs: int = 0
    deleted_bytes: int = 0
    rewritten_packs: int = 0
    waiting_for: tuple[str, ...] = Field(default=(), description="transfers that keep condemned chunks from being freed")
    problems: tuple[str, ...] = ()


def collect(on: Engine, objects: ObjectStore, *, holder: str, dry_run: bool = False, everything: bool = False,
            step: Callable[[str], None] = lambda name: None, is_dead: Callable[[str], bool] | None = None) -> Collected:
    """One collection. everything: rewrite every pack that has a dead byte, as expunging needs it. step: told each step's name before it.
    is_dead: see `models.leases.acquire`; with it nobody waits for a collector that was killed.

    Raises Conflict while another collection is at work, Corrupt if a root has a hole or the catalog is older than the store.
    """
    store_mark.require_current(on, objects)
    collecting = held(Subject.STORE, "store", holder=holder, purpose="collect garbage", is_dead=is_dead, on=on)
    with collecting as lease, on.connect() as connection:
        return _Collection(on, objects, lease, connection, step).run(dry_run, everything)


class _Usage(NamedTuple):
    project: str
    verified: bool
    pack: Candidate


class _Collection:
    def __init__(self, on: Engine, objects: ObjectStore, lease: Lease, connection: Connection, step: Callable[[str], None]):
        self.on, self.objects, self.lease, self.connection, self.step = on, objects, lease, connection, step
        self.found = {name: 0 for name, field in Collected.model_fields.items() if field.annotation is int}
        self.problems: list[str] = []

    def run(self, dry_run: bool, everything: bool) -> Collected:
        waiting_for = self.obstacles()
        self.step("mark")
        marks = Marks(self.connection, self.on, self.objects)
        self.found["roots"] = marks.mark_roots()
        if dry_run:
            self.count()
            return Collected.model_validate({"dry_run": True, "waiting_for": waiting_for, **self.found})
        self.step("pardon")
        self.pardon()
        if not waiting_for:
            self.step("free")
            store_mark.advance(self.on, self.objects)
            self.free()
        self.step("retire")
        usage = self.usage()
        self.retire(pack_id for pack_id, one in usage.items() if not one.pack.chunks)
        self.step("rewrite")
        self.rewrite(usage, everything)
        self.step("delete")
        self.delete_packs()
        self.step("condemn")
        self.condemn()
        self.step("tidy")
        self.tidy()
        return Collected.model_validate({"waiting_for": waiting_for, "problems": self.problems, **self.found})

    def obstacles(self) -> list[str]:
        """Living transfers that may have been told of a chunk before it was condemned. Must be looked for before marking: what they
        have pinned is then among the roots."""
        early = select(TRANSFER.c.id).where(
            TRANSFER.c.state == TransferState.OPEN, TRANSFER.c.expires_s > DatabaseNow(),
            TRANSFER.c.epoch < select(STORE.c.condemned_epoch).where(STORE.c.id == 1).scalar_subquery())
        with writing(self.on) as session:
            transfers.epoch(session)
            return list(session.connection().execute(early).scalars())

    def count(self) -> None:
        """For a dry run: what is condemned and would be freed, what would be condemned."""
        for name, condition in (("freed", "condemned"), ("condemned", "NOT condemned")):
            with self.transaction(read_only=True):
                row = self.connection.exec_driver_sql(
                    f"SELECT COUNT(*), COALESCE(SUM(stored_bytes), 0) FROM chunk WHERE {condition} AND {UNMARKED}").one()
            self.found[f"{name}_chunks"], self.found[f"{name}_bytes"] = int(row[0]), int(row[1])

    def pardon(self) -> None:
        """What a root reaches is condemned no more; whether it is complete has to be found out again."""
        for _ in self.by_range(f"UPDATE chunk SET condemned = false, complete = false WHERE condemned AND NOT {UNMARKED} AND {{range}}"):
            pass

    def free(self) -> None:
        """Nothing reaches what is still condemned, and nobody counts on it."""
        for row in self.by_range("DELETE FROM chunk WHERE condemned AND {range} RETURNING stored_bytes"):
            self.found["freed_chunks"] += 1
            self.found["freed_bytes"] += row["stored_bytes"]

    def usage(self) -> dict[int, _Usage]:
        """Of every pack that somebody put: what lies in it. Packs are asked for first: what arrives meanwhile is not among them."""
        put = select(PACK.c.id, PACK.c.name, PACK.c.size_bytes, PACK.c.state, PROJECT.c.name.label("project")).join(
            PROJECT, PACK.c.project_id == PROJECT.c.id).where(PACK.c.state.in_([PackState.CLAIMED, PackState.VERIFIED, PackState.DAMAGED]))
        with reading(self.on) as session:
            packs = session.connection().execute(put).all()
        lying = select(CHUNK.c.pack_id, func.count(), func.sum(CHUNK.c.stored_bytes), func.max(CHUNK.c.kind)).group_by(CHUNK.c.pack_id)
        with reading(self.on) as session:
            found = {pack_id: (count, size, kind) for pack_id, count, size, kind in session.connection().execute(lying)}
        return {pack.id: _Usage(pack.project, pack.state == PackState.VERIFIED, Candidate(
            pack.id, pack.name, pack.size_bytes, *_none_if_empty(found.get(pack.id)))) for pack in packs}

    def retire(self, packs: Iterable[int]) -> None:
        """Nothing lies in these packs any more, and nothing ever will again: chunks are put into the catalog with their pack, once."""
        for batch in batches(packs, OBJECTS_AT_ONCE):
            with self.guarded() as session:
                session.connection().execute(update(PACK).where(PACK.c.id.in_(batch)).values(
                    state=PackState.RETIRED, retired_s=DatabaseNow()))

    def rewrite(self, usage: dict[int, _Usage], everything: bool) -> None:
        """Packs with much dead space, and small ones, if there are many."""
        by_project: dict[str, list[Candidate]] = {}
        small: dict[str, list[Candidate]] = {}
        for one in usage.values():
            if one.verified and one.pack.chunks:
                dead = one.pack.live_bytes < one.pack.size_bytes * LIVE_FRACTION - OVERHEAD_BYTES
                if dead or (everything and one.pack.live_bytes + one.pack.overhead_bytes(one.project) < one.pack.size_bytes):
                    by_project.setdefault(one.project, []).append(one.pack)
                elif one.pack.size_bytes < SMALL_BYTES:
                    small.setdefault(one.project, []).append(one.pack)
        for project, packs in small.items():
            if len(packs) >= SMALL_PACKS:
                by_project.setdefault(project, []).extend(packs)
        for project, packs in by_project.items():
            catalog = Catalog(self.on, project)
            transfer = transfers.open_transfer(self.on, catalog.project_id, "store")
            try:
                for together in group(packs):
                    emptied, problems = repack(catalog, self.objects, together, transfer, self.lease.check)
                    self.retire(emptied)
                    self.found["rewritten_packs"] += len(emptied)
                    self.problems += map(str, problems)
            finally:
                with writing(self.on) as session:
                    transfers.end(session, [transfer])

    def delete_packs(self) -> None:
        """Objects first: a retired pack whose row is left is deleted again; one whose object were left would be lost space."""
        retired = select(PACK.c.id, PACK.c.name, PACK.c.size_bytes, PROJECT.c.name.label("project")).join(
            PROJECT, PACK.c.project_id == PROJECT.c.id).where(PACK.c.state == PackState.RETIRED)
        with reading(self.on) as session:
            rows = session.connection().execute(retired).all()
        for batch in batches(rows, OBJECTS_AT_ONCE):
            with self.guarded():
                pass
            self.objects.delete(pack_key(row.project, row.name) for row in batch)
            with self.guarded() as session:
                session.connection().execute(delete(PACK).where(PACK.c.id.in_([row.id for row in batch])))
            self.found["deleted_packs"] += len(batch)
            self.found["deleted_bytes"] += sum(row.size_bytes for row in batch)

    def condemn(self) -> None:
        """What no root reached when we marked. While the epoch is odd nobody finds complete, or believes complete, what may be falling
        apart. What it will be afterwards is written down first: should we die half-way, every transfer of before is waited for."""
        with self.guarded() as session:
            odd = transfers.epoch(session) | 1
            session.connection().execute(update(STORE).where(STORE.c.id == 1).values(epoch=odd, condemned_epoch=odd + 1))
        condemning = f"UPDATE chunk SET condemned = true WHERE NOT condemned AND {UNMARKED} AND {{range}} RETURNING stored_bytes"
        for row in self.by_range(condemning):
            self.found["condemned_chunks"] += 1
            self.found["condemned_bytes"] += row["stored_bytes"]
        with self.guarded() as session:
            session.connection().execute(update(STORE).where(STORE.c.id == 1).values(epoch=odd + 1))

    def tidy(self) -> None:
        """What killed processes left behind, once it is old enough that none can still be at work on it."""
        late = DatabaseNow() - GRACE_S
        over = ~exists().where(TRANSFER.c.id == PACK.c.transfer_id, TRANSFER.c.state == TransferState.OPEN,
                               TRANSFER.c.expires_s > DatabaseNow())
        with self.guarded() as session:
            session.connection().execute(update(PACK).where(
                PACK.c.state == PackState.GRANTED, PACK.c.created_s < late, PACK.c.writable_until_s < late, over).values(
                    state=PackState.RETIRED, retired_s=DatabaseNow()))
            session.connection().execute(delete(TRANSFER).where(
                TRANSFER.c.expires_s < DatabaseNow() - FORGET_TRANSFERS_S))
        self.delete_packs()
        known = set()
        old = time.time() - GRACE_S
        objects = [info.key for info in self.objects.listing(roots.PREFIX) if info.modified_s < old]
        with reading(self.on) as session:
            for project, root_id in session.connection().execute(
                    select(PROJECT.c.name, ROOT.c.id).join(PROJECT, ROOT.c.project_id == PROJECT.c.id)):
                known.add(roots.root_key(project, root_id))
        self.objects.delete(key for key in objects if key not in known)
        if isinstance(self.objects, LocalObjects):
            for path in self.objects.unfinished(old):
                Path(path).unlink(missing_ok=True)

    def by_range(self, statement: str) -> Iterator[RowMapping]:
        """Run it once for each range of hashes, each in a short transaction on the connection that has the marks, under our lease."""
        marker = "%s" if self.connection.dialect.name == "postgresql" else "?"
        sql = statement.format(range=f"hash >= {marker} AND hash < {marker}")
        with self.transaction(read_only=True):
            chunks = self.connection.execute(select(func.coalesce(func.sum(PACK.c.chunks), 0))).scalar_one()
        for low, high in ranges(int(chunks)):
            with self.transaction():
                self.lease.check(Session(bind=self.connection))
                result = self.connection.exec_driver_sql(sql, (low, high))
                if result.returns_rows:
                    yield from result.mappings().all()

    @contextmanager
    def transaction(self, read_only: bool = False) -> Iterator[None]:
        self.connection.execution_options(**{READ_ONLY: read_only})
        with self.connection.begin():
            yield

    @contextmanager
    def guarded(self) -> Iterator[Session]:
        """A transaction in which we certainly are the collector."""
        with writing(self.on) as session:
            self.lease.check(session)
            yield session


def ranges(chunks: int) -> list[tuple[bytes, bytes]]:
    """Ranges of hashes, together all of them, each with about CHUNKS_AT_ONCE of so many: hashes are evenly spread."""
    pieces = min(max(chunks // CHUNKS_AT_ONCE, 1), 1 << 15)
    borders = [((1 << 16) * number // pieces).to_bytes(2, "big") for number in range(pieces)]
    return list(zip(borders, [*borders[1:], b"\xff" * (HASH_BYTES + 1)], strict=True))


def _none_if_empty(found: tuple[int, int, int] | None) -> tuple[int, bool, int]:
    count, size, kind = found or (0, 0, 0)
    return int(size), bool(kind), count
