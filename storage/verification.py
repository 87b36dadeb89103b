"""Does a pack that a host sent hold what it says? Until that is known, only the instance whose host sent it relies on it."""

from __future__ import annotations

from pydantic import Field
from sqlalchemy import select, update

from models.database import reading, writing
from models.database_clock import DatabaseNow
from models.errors import Corrupt, NotFound
from models.protocol.control import Message
from models.states import PackState
from models.tables import SCHEMA
from storage.catalog import Catalog
from storage.catalog_sql import delete_chunks
from storage.chunking import name_of
from storage.objects import ObjectStore
from storage.pack import pack_key, read_chunks, read_index

PACK = SCHEMA.tables["pack"]


class Damage(Message):
    """One bad pack: what is wrong with it, and the chunks it cannot give."""

    pack: str
    what: str
    chunks: tuple[str, ...] = ()


class Verified(Message):
    verified: int = 0
    damaged: tuple[Damage, ...] = ()
    waiting: int = Field(default=0, description="packs that a permission could still replace")


def verify_packs(catalog: Catalog, objects: ObjectStore, limit: int | None = None) -> Verified:
    """Look at every claimed pack of the project that nobody can replace any more; at most limit of them.

    A good one counts for everybody from then on. A damaged one counts for nobody, and its bad chunks are forgotten; it is kept until a
    collection, as evidence. Stopping half-way and doing it again is harmless.
    """
    claimed = select(PACK.c.id, PACK.c.name, (PACK.c.writable_until_s > DatabaseNow()).label("waiting")).where(
        PACK.c.project_id == catalog.project_id, PACK.c.state == PackState.CLAIMED).order_by(PACK.c.id)
    with reading(catalog.on) as session:
        rows = session.connection().execute(claimed).all()
    ready = [row for row in rows if not row.waiting][:limit]
    damaged = []
    for row in ready:
        damage = inspect_pack(objects, catalog.project, row.name)
        with writing(catalog.on) as session:
            state = PackState.VERIFIED if damage is None else PackState.DAMAGED
            session.connection().execute(update(PACK).where(PACK.c.id == row.id, PACK.c.state == PackState.CLAIMED).values(state=state))
            if damage is not None:
                delete_chunks(session.connection(), row.id, [bytes.fromhex(name) for name in damage.chunks])
                damaged.append(damage)
    return Verified(verified=len(ready) - len(damaged), damaged=tuple(damaged), waiting=sum(bool(row.waiting) for row in rows))


def inspect_pack(objects: ObjectStore, project: str, name: str) -> Damage | None:
    """Read all of a pack and compare its name, index and every chunk's name with what is there."""
    where = f"pack {name}"
    try:
        data = objects.get(pack_key(project, name))
        index = read_index(data, where)
    except (NotFound, Corrupt) as error:
        return Damage(pack=name, what=error.what)
    bad = [(chunk.hash.hex(), error.what) for chunk, error in read_chunks(data, index, where) if isinstance(error, Corrupt)]
    if bad:
        return Damage(pack=name, what=bad[0][1], chunks=tuple(chunk for chunk, _ in bad))
    if name_of(data).hex() != name:
        return Damage(pack=name, what="its bytes do not have the hash that is its name")
    if index.project != project:
        return Damage(pack=name, what=f"it says that it belongs to project '{index.project}'")
    return None
