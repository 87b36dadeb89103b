"""Expunging: after it, what only the expunged roots held is nowhere in the store or the catalog, not even in garbage or free pages.

What is promised, and where the promise ends, is in docs/storage.md: bytes that a disk or an SSD keeps of deleted files, backups of the
database, and PostgreSQL's archived write-ahead log are beyond it. `storage.seeking` looks whether it was kept.
"""

from __future__ import annotations

import contextlib
import sqlite3
import time
from collections.abc import Callable, Sequence

from sqlalchemy import Engine, delete, update

from models.database import writing
from models.errors import TimedOut
from models.protocol.control import Message
from models.states import TransferState
from models.tables import SCHEMA
from storage.catalog import Catalog
from storage.collecting import Collected, collect
from storage.objects import ObjectStore
from storage.roots import RootKind, unpin

TRANSFER, PACK = SCHEMA.tables["transfer"], SCHEMA.tables["pack"]
PATIENCE_S = 600.0
POLL_S = 1.0
BUSY_S, LOG_POLL_S = 60.0, 0.05


class Expunged(Message):
    """freed: by the collections it took. done: the bytes are gone; if not, waiting_for says whose transfers keep them, as yet."""

    done: bool
    freed_chunks: int
    deleted_packs: int
    rewritten_packs: int
    waiting_for: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()


def expunge(on: Engine, objects: ObjectStore, project: str, roots: Sequence[tuple[RootKind, str]], *, holder: str,
            patience_s: float = PATIENCE_S, sleep: Callable[[float], None] = time.sleep) -> Expunged:
    """Let these roots go and free at once, for ever, what nothing else reaches; other flows go on meanwhile.

    Waits up to patience_s for transfers that may count on something of it; after that it returns with done=False, and what is condemned
    goes with the next collection. May be done again.
    """
    catalog = Catalog(on, project)
    for kind, name in roots:
        unpin(catalog, objects, kind, name)
    forget_transfers(on)
    found = [collect(on, objects, holder=holder, everything=True)]
    deadline = time.monotonic() + patience_s
    while True:
        found.append(collect(on, objects, holder=holder, everything=True))
        if not found[-1].waiting_for:
            break
        if time.monotonic() >= deadline:
            return _report(found, done=False)
        sleep(POLL_S)
    scrub_database(on)
    return _report(found, done=True)


def forget_transfers(on: Engine) -> None:
    """What finished transfers carried is nobody's business any more, and their rows name manifests."""
    with writing(on) as session:
        session.connection().execute(delete(TRANSFER).where(TRANSFER.c.state.in_([TransferState.FINISHED, TransferState.ABORTED])))
        session.connection().execute(update(TRANSFER).where(TRANSFER.c.operation == "store").values(manifests=[]))


def scrub_database(on: Engine) -> None:
    """Leave nothing of deleted rows: free pages and write-ahead log of SQLite, dead rows of PostgreSQL."""
    if on.dialect.name == "postgresql":
        with on.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            for table in SCHEMA.tables:
                connection.exec_driver_sql(f"VACUUM (FULL) {table}")
            connection.exec_driver_sql("CHECKPOINT")
        return
    with contextlib.closing(sqlite3.connect(on.url.database or "", timeout=BUSY_S, isolation_level=None)) as alone:
        alone.execute("PRAGMA secure_delete = ON")
        scrub_file(alone)


def scrub_file(alone: sqlite3.Connection) -> None:
    """alone: to an SQLite database, outside of a transaction. Others may be at work in it."""
    alone.execute("VACUUM")
    deadline = time.monotonic() + BUSY_S
    # SQLite's busy timeout covers readers, but not a checkpoint that another connection makes just now
    while alone.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]:
        if time.monotonic() >= deadline:
            raise TimedOut("the database's write-ahead log could not be emptied: somebody reads for very long",
                           where=alone.execute("PRAGMA database_list").fetchone()[2], next="Do it again")
        time.sleep(LOG_POLL_S)


def _report(found: Sequence[Collected], done: bool) -> Expunged:
    return Expunged(done=done, freed_chunks=sum(one.freed_chunks for one in found), deleted_packs=sum(one.deleted_packs for one in found),
                    rewritten_packs=sum(one.rewritten_packs for one in found), waiting_for=found[-1].waiting_for,
                    problems=tuple(problem for one in found for problem in one.problems))
