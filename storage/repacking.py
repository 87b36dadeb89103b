"""Moving the chunks of packs that are mostly dead, or very small, into new packs. Frames are copied as they are, but verified."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from sqlalchemy import Connection, select, update
from sqlmodel import Session

from models.database import reading, writing
from models.errors import Corrupt, NotFound
from models.states import PackState
from models.tables import SCHEMA
from storage import transfers
from storage.catalog import Catalog
from storage.catalog_sql import delete_chunks, for_hashes, insert_chunks
from storage.objects import ObjectStore
from storage.pack import HEADER_BYTES, INDEX_RECORD, TRAILER, Pack, PackBuilder, pack_key, read_chunks, read_index
from storage.retry import with_retries

PACK = SCHEMA.tables["pack"]
GROUP_BYTES = 6 << 20  # of live bytes are moved together: about one new pack


class Candidate(NamedTuple):
    """A pack and what of it is still alive."""

    id: int
    name: str
    size_bytes: int
    live_bytes: int
    nodes: bool
    chunks: int

    def overhead_bytes(self, project: str) -> int:
        """Of a pack that has just these chunks: header, index, trailer."""
        return HEADER_BYTES + 1 + len(project) + self.chunks * INDEX_RECORD.size + TRAILER.size


def group(candidates: Sequence[Candidate]) -> list[list[Candidate]]:
    """Packs that are rewritten into one: nodes with nodes, data with data."""
    groups: list[list[Candidate]] = []
    for nodes in (False, True):
        current: list[Candidate] = []
        for candidate in sorted((c for c in candidates if c.nodes == nodes), key=lambda c: c.id):
            current.append(candidate)
            if sum(c.live_bytes for c in current) >= GROUP_BYTES:
                groups.append(current)
                current = []
        if current:
            groups.append(current)
    return groups


class Moved(NamedTuple):
    """What is taken out of one pack. all: it is empty then."""

    pack: Candidate
    names: list[bytes]

    @property
    def all(self) -> bool:
        return len(self.names) == self.pack.chunks


def repack(catalog: Catalog, objects: ObjectStore, packs: Sequence[Candidate], transfer_id: str,
           guard: Callable[[Session], None]) -> tuple[list[int], list[Corrupt]]:
    """Move whatever lies in these packs into a new one. Returns the ids of those that are empty now, and what could not be read.

    guard: raises if we have lost the right to collect; asked in the same transaction.
    """
    builder = PackBuilder(catalog.project)
    moved: list[Moved] = []
    problems: list[Corrupt] = []
    copied: set[bytes] = set()
    for pack in packs:
        try:
            names, bad = _copy(catalog, objects, pack, builder, copied)
        except (NotFound, Corrupt) as error:
            problems.append(Corrupt(error.what, where=f"pack {pack.name}", next="`swapbed store check --repair` forgets what is lost"))
        else:
            moved.append(Moved(pack, names))
            problems += bad
    if builder:
        _switch(catalog, objects, builder.seal(), moved, transfer_id, guard)
    return [one.pack.id for one in moved if one.all], problems


def _copy(catalog: Catalog, objects: ObjectStore, pack: Candidate, builder: PackBuilder,
          copied: set[bytes]) -> tuple[list[bytes], list[Corrupt]]:
    """The pack's own index tells what to ask the catalog for: to find a pack's chunks there would take a look at all chunks."""
    where = f"pack {pack.name}"
    data = objects.get(pack_key(catalog.project, pack.name))
    index = read_index(data, where)
    with reading(catalog.on) as session:
        alive = set(_flags(session.connection(), pack.id, [chunk.hash for chunk in index.chunks]))
    names, problems = [], []
    for chunk, found in read_chunks(data, index._replace(chunks=tuple(c for c in index.chunks if c.hash in alive)), where):
        if isinstance(found, Corrupt):
            problems.append(found)
            continue
        if chunk.hash not in copied:
            builder.add(chunk.hash, chunk.kind, chunk.raw_bytes, data[chunk.offset:chunk.offset + chunk.stored_bytes])
            copied.add(chunk.hash)
        names.append(chunk.hash)
    return names, problems


def _switch(catalog: Catalog, objects: ObjectStore, pack: Pack, moved: Sequence[Moved], transfer_id: str,
            guard: Callable[[Session], None]) -> None:
    """Put the new pack, then say, in one transaction, that the chunks lie there now, with the flags they have at that moment."""
    name = pack.name.hex()
    with writing(catalog.on) as session:
        guard(session)
        transfers.renew(session, transfer_id)
        catalog.expect(session, name, len(pack.data), transfer_id, "", 0)
    with_retries(lambda: objects.put(pack_key(catalog.project, name), pack.data))
    with writing(catalog.on) as session:
        guard(session)
        transfers.renew(session, transfer_id)
        catalog.claim(session, name, (), PackState.VERIFIED)
        connection = session.connection()
        new_id = connection.execute(select(PACK.c.id).where(PACK.c.name == name)).scalar_one()
        flags: dict[bytes, tuple[bool, bool]] = {}
        for one in moved:
            flags.update(_flags(connection, one.pack.id, one.names, lock=True))
            delete_chunks(connection, one.pack.id, one.names)
        there = [chunk for chunk in pack.chunks if chunk.hash in flags]
        rows = [(c.hash, new_id, c.offset, c.stored_bytes, c.raw_bytes, int(c.kind), *flags[c.hash]) for c in there]
        insert_chunks(connection, rows)
        connection.execute(update(PACK).where(PACK.c.id == new_id).values(chunks=len(rows)))


def _flags(connection: Connection, pack_id: int, names: Sequence[bytes], lock: bool = False) -> dict[bytes, tuple[bool, bool]]:
    """Of the chunks that lie in that pack: condemned, complete."""
    statement = "SELECT hash, condemned, complete FROM chunk WHERE hash {hashes} AND pack_id = ?"
    if lock and connection.dialect.name == "postgresql":
        statement += " FOR UPDATE"
    return {bytes(name): (bool(condemned), bool(complete))
            for name, condemned, complete in for_hashes(connection, statement, names, (pack_id,))}
