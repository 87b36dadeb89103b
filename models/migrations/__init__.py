"""Bringing a database up to the newest schema, by Alembic; automatic, and safe for any number of processes at once.

A revision is named by four digits, which begin its file's name: `0002_catalog.py` is revision `0002` and follows `0001`.
So the usual case, nothing to do, is known without importing Alembic.
"""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import Engine, inspect, text

from models.errors import StoreProblem

HERE = Path(__file__).parent
ADVISORY_LOCK = 0x53776170  # "Swap"


def newest() -> str:
    """The revision this code is written for."""
    return max(path.name[:4] for path in (HERE / "versions").glob("[0-9][0-9][0-9][0-9]_*.py"))


def present(engine: Engine) -> str | None:
    """The revision a database is at; None: it is empty."""
    with engine.connect() as connection:
        if not inspect(connection).has_table("alembic_version"):
            return None
        return connection.execute(text("SELECT version_num FROM alembic_version")).scalar()


def upgrade(engine: Engine) -> None:
    """Bring it to `newest()`. Raises StoreProblem if the database was made by a newer Swapbed."""
    if present(engine) == newest():
        return
    with _alone(engine):
        found = present(engine)
        if found is not None and found > newest():
            raise StoreProblem(f"its schema is {found}; this Swapbed knows {newest()}", where=str(engine.url), next="Use a newer Swapbed")
        if found != newest():
            _run(engine)


def _run(engine: Engine) -> None:
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(HERE))
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "head")


@contextmanager
def _alone(engine: Engine) -> Iterator[None]:
    if engine.dialect.name == "sqlite":
        with Path(f"{engine.url.database}.migrating").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
    else:
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(text("SELECT pg_advisory_lock(:lock)"), {"lock": ADVISORY_LOCK})
            yield
            connection.execute(text("SELECT pg_advisory_unlock(:lock)"), {"lock": ADVISORY_LOCK})
