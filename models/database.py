"""The database: one engine per URL, and sessions that are one transaction each.

`writing()` takes the write lock at its beginning (SQLite: BEGIN IMMEDIATE), so that what it reads cannot change before it
writes and two writers queue instead of deadlocking. `reading()` sees one snapshot and blocks nobody. Either raises StoreProblem
where the database is unreachable, locked for BUSY_TIMEOUT_S, or full.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DatabaseError, DataError, IntegrityError, ProgrammingError
from sqlmodel import Session

from models.errors import HostProblem, StoreProblem
from models.settings import settings

BUSY_TIMEOUT_S = 30
PRAGMAS = ("journal_mode=WAL", "synchronous=NORMAL", "foreign_keys=ON", f"busy_timeout={BUSY_TIMEOUT_S * 1000}",
           "secure_delete=ON")  # deleted rows are overwritten with zeros: expunging must not leave them in free pages
READ_ONLY = "swapbed_read_only"


@lru_cache(maxsize=8)
def engine(url: str | None = None) -> Engine:
    """The engine of this process for that URL (default: of the settings), on a database brought up to date."""
    from models.migrations import upgrade

    address = url or settings().effective_database_url
    made = connect(address)
    upgrade(made)
    return made


def connect(url: str) -> Engine:
    """An engine, without a look at the schema."""
    parsed = make_url(url)
    if parsed.get_backend_name() == "postgresql":
        return create_engine(parsed.set(drivername="postgresql+psycopg"), pool_pre_ping=True)
    _make_directory(Path(parsed.database or ""))
    made = create_engine(parsed, connect_args={"timeout": BUSY_TIMEOUT_S, "check_same_thread": False})
    event.listen(made, "connect", _configure_sqlite)
    event.listen(made, "begin", _begin_sqlite)
    return made


def _make_directory(database: Path) -> None:
    try:
        database.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise HostProblem(f"the directory of the database cannot be made ({error.strerror})", where=str(database.parent),
                          next="Swapbed runs as root; SWAPBED_STATE_DIR names another place") from error


def _configure_sqlite(connection: sqlite3.Connection, _: object) -> None:
    connection.isolation_level = None  # sqlite3 would begin transactions by itself, too late and never IMMEDIATE
    for pragma in PRAGMAS:
        connection.execute(f"PRAGMA {pragma}")


def _begin_sqlite(connection: Connection) -> None:
    connection.exec_driver_sql("BEGIN" if connection.get_execution_options().get(READ_ONLY) else "BEGIN IMMEDIATE")


@contextmanager
def writing(on: Engine | None = None) -> Iterator[Session]:
    """One transaction, committed at the end of the block, rolled back if it raises."""
    database = on or engine()
    with _named_errors(database), Session(database, expire_on_commit=False) as session, session.begin():
        yield session


@contextmanager
def reading(on: Engine | None = None) -> Iterator[Session]:
    """One snapshot. What is read stays usable after the block."""
    database = on or engine()
    with _named_errors(database), Session(database.execution_options(**{READ_ONLY: True}), expire_on_commit=False) as session:
        yield session


@contextmanager
def _named_errors(database: Engine) -> Iterator[None]:
    try:
        yield
    except DatabaseError as error:
        if isinstance(error, (IntegrityError, ProgrammingError, DataError)):  # the caller's affair, or a mistake of ours
            raise
        text = str(error.orig).strip().splitlines()[0]
        raise StoreProblem(f"the database refused: {text}", where=database.url.render_as_string(hide_password=True),
                           next="Is its disk full, or its server down?") from error
