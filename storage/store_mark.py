"""The store's own mark: an object that says whose store it is, and how far collecting has come.

A collection writes it before it deletes anything. A catalog whose epoch is lower comes from a backup: it knows packs that are gone, and
does not know of packs that came since. Only `storage.rebuild` may be used then.
"""

from __future__ import annotations

from sqlalchemy import Engine, select, update

from models.database import writing
from models.errors import Conflict, Corrupt, NotFound
from models.protocol.control import Message
from models.tables import SCHEMA
from storage.objects import ObjectStore
from storage.transfers import epoch

STORE = SCHEMA.tables["store"]
KEY = "store.json"


class StoreMark(Message):
    format: int = 1
    identity: str
    epoch: int


def read_mark(objects: ObjectStore) -> StoreMark | None:
    """None: nothing was ever collected here."""
    try:
        return StoreMark.model_validate_json(objects.get(KEY))
    except NotFound:
        return None


def require_current(on: Engine, objects: ObjectStore) -> None:
    """Raise Conflict for another catalog's store, Corrupt for a catalog that is older than the store."""
    mark = read_mark(objects)
    with writing(on) as session:
        now = epoch(session)
        identity = session.connection().execute(select(STORE.c.identity).where(STORE.c.id == 1)).scalar_one()
    if mark is None:
        return
    if mark.identity != identity:
        raise Conflict("this store belongs to another database", where=objects.name,
                       next="Use the database it was filled from, or `swapbed store rebuild` to make it this one's")
    if mark.epoch > now:
        raise Corrupt("the catalog is older than the store: the database comes from a backup", where=objects.name,
                      next="`swapbed store rebuild` reads the packs and makes the catalog anew")


def advance(on: Engine, objects: ObjectStore) -> None:
    """Say in catalog and store that something will be deleted now."""
    with writing(on) as session:
        later = epoch(session) + 2
        session.connection().execute(update(STORE).where(STORE.c.id == 1).values(epoch=later))
        identity = session.connection().execute(select(STORE.c.identity).where(STORE.c.id == 1)).scalar_one()
    objects.put(KEY, StoreMark(identity=identity, epoch=later).model_dump_json().encode())


def adopt(on: Engine, objects: ObjectStore) -> None:
    """Make this the store of this database, whose catalog was just made from it."""
    mark = read_mark(objects)
    with writing(on) as session:
        now = epoch(session)
        if mark is not None:
            session.connection().execute(update(STORE).where(STORE.c.id == 1).values(
                identity=mark.identity, epoch=max(mark.epoch, now), condemned_epoch=0))
