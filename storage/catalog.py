"""What the database knows of one project's chunks: which are there, where they lie, and which packs have arrived.

Metadata path: runs where the database is, never on a host of nodes. Every method is one transaction.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from sqlalchemy import Engine, insert, select, update
from sqlmodel import Session

from models.database import reading, writing
from models.database_clock import DatabaseNow
from models.errors import Conflict, NotFound
from models.states import PackState
from models.tables import SCHEMA, Project
from storage.catalog_sql import for_hashes, insert_chunks
from storage.nodes import Kind
from storage.pack import Located, check_project
from storage.transfers import epoch, epoch_if_any

PACK, PROJECT, STORE = SCHEMA.tables["pack"], SCHEMA.tables["project"], SCHEMA.tables["store"]
# CROSS JOIN keeps SQLite from beginning with the packs of the project, of which there may be very many.
KNOWN = """SELECT c.hash, c.condemned, c.complete FROM chunk c CROSS JOIN pack p
    WHERE c.hash {hashes} AND p.id = c.pack_id AND p.project_id = ? AND (p.state = 'verified' OR (p.state = 'claimed' AND p.writer = ?))"""
RESCUE = """UPDATE chunk SET condemned = false, complete = false WHERE hash {hashes} AND condemned AND EXISTS
    (SELECT 1 FROM pack p WHERE p.id = chunk.pack_id AND p.project_id = ? AND
    (p.state = 'verified' OR (p.state = 'claimed' AND p.writer = ?))) RETURNING hash"""
COMPLETE = """UPDATE chunk SET complete = true WHERE hash {hashes} AND NOT condemned AND EXISTS
    (SELECT 1 FROM pack p WHERE p.id = chunk.pack_id AND p.project_id = ? AND p.state = 'verified') RETURNING 1"""
PLACES = """SELECT c.hash, p.name, p.state, c.offset, c.stored_bytes, c.raw_bytes, c.kind FROM chunk c CROSS JOIN pack p
    WHERE c.hash {hashes} AND p.id = c.pack_id AND p.project_id = ? AND p.state IN ('verified', 'claimed', 'damaged')"""
TRUST = {"verified": 0, "claimed": 1, "damaged": 2}


class Place(NamedTuple):
    """Where a chunk lies."""

    pack: str
    chunk: Located


class Catalog:
    """One project's part of the catalog. The project's row is made if it is missing."""

    def __init__(self, on: Engine, project: str):
        self.on, self.project = on, check_project(project)
        self.project_id = _project_id(on, project)

    def known(self, hashes: Sequence[bytes], writer: str) -> dict[bytes, bool]:
        """Those of the hashes that this writer need not send, with whether all below them is there too.

        That is: those in verified packs, and in its own. Never one that only another project has. One that was condemned is not any
        more, from now on: the collector deletes only what it still finds condemned.
        """
        known: dict[bytes, bool] = {}
        condemned: set[bytes] = set()
        with reading(self.on) as session:
            for name, doomed, complete in for_hashes(session.connection(), KNOWN, hashes, (self.project_id, writer)):
                if doomed:
                    condemned.add(bytes(name))
                else:
                    known[bytes(name)] = known.get(bytes(name), False) or bool(complete)
        if condemned := condemned - known.keys():
            with writing(self.on) as session:
                for name, in for_hashes(session.connection(), RESCUE, list(condemned), (self.project_id, writer)):
                    known[bytes(name)] = False
        return known

    def places(self, hashes: Sequence[bytes]) -> dict[bytes, list[Place]]:
        """All places of these chunks, the most trustworthy first; what is read there is verified by whoever reads."""
        found: dict[bytes, list[tuple[int, Place]]] = {}
        with reading(self.on) as session:
            for name, pack, state, *place, kind in for_hashes(session.connection(), PLACES, hashes, (self.project_id,)):
                chunk = Located(bytes(name), Kind(kind), *place)
                found.setdefault(chunk.hash, []).append((TRUST[state], Place(pack, chunk)))
        return {name: [place for _, place in sorted(places)] for name, places in found.items()}

    def expect(self, session: Session, name: str, size_bytes: int, transfer_id: str, writer: str, lifetime_s: float) -> None:
        """A pack of that name may arrive, by somebody's permission, during lifetime_s. Raises Conflict if another used the name."""
        again = update(PACK).where(PACK.c.name == name, PACK.c.transfer_id == transfer_id, PACK.c.size_bytes == size_bytes,
                                   PACK.c.state == PackState.GRANTED)
        if session.connection().execute(again.values(writable_until_s=DatabaseNow() + lifetime_s)).rowcount:
            return
        if session.connection().execute(select(PACK.c.id).where(PACK.c.name == name)).first():
            raise Conflict("a pack of this name has been announced before", where=name)
        session.connection().execute(insert(PACK).values(
            project_id=self.project_id, name=name, state=PackState.GRANTED, transfer_id=transfer_id, writer=writer, size_bytes=size_bytes,
            chunks=0, created_s=DatabaseNow(), writable_until_s=DatabaseNow() + lifetime_s))

    def claim(self, session: Session, name: str, chunks: Sequence[Located], state: PackState) -> None:
        """A pack that was expected is there, with these chunks. Claiming it again changes nothing."""
        row = session.connection().execute(
            select(PACK.c.id).where(PACK.c.name == name, PACK.c.project_id == self.project_id)).first()
        if row is None:
            raise NotFound("nobody announced such a pack", where=name)
        claiming = update(PACK).where(PACK.c.id == row.id, PACK.c.state == PackState.GRANTED)
        if session.connection().execute(claiming.values(state=state, chunks=len(chunks))).rowcount:
            insert_chunks(session.connection(), [(c.hash, row.id, c.offset, c.stored_bytes, c.raw_bytes, int(c.kind), False, False)
                                                 for c in chunks])

    def epoch(self) -> int:
        """Waits for nobody who writes, but for the first time."""
        with reading(self.on) as session:
            found = epoch_if_any(session)
        if found is not None:
            return found
        with writing(self.on) as session:
            return epoch(session)

    def mark_complete(self, hashes: Sequence[bytes], since: int) -> None:
        """All below these nodes was found in verified packs, by a walk that began in that epoch.

        Nothing is marked if chunks are being condemned or have been since: a child might be among them.
        """
        with writing(self.on) as session:
            now = session.connection().execute(select(STORE.c.epoch).where(STORE.c.id == 1).with_for_update()).scalar_one()
            if now == since and now % 2 == 0:
                for _ in for_hashes(session.connection(), COMPLETE, hashes, (self.project_id,)):
                    pass


def _project_id(on: Engine, name: str) -> str:
    found = select(PROJECT.c.id).where(PROJECT.c.name == name)
    with reading(on) as session:
        if present := session.connection().execute(found).scalar():
            return present
    with writing(on) as session:
        if present := session.connection().execute(found).scalar():
            return present
        project = Project(name=name)
        session.add(project)
        return project.id
