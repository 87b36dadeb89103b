"""Object stores of every kind: a local directory, and two real S3 servers on loopback, started once per session."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import boto3
import pytest
from botocore.config import Config
from sqlalchemy import Engine

from models.database import connect
from models.migrations import upgrade
from storage.gate import Gate
from storage.local_objects import LocalObjects
from storage.objects import ObjectStore
from storage.s3_objects import S3Objects
from storage.s3_server import S3Server, start_juicefs, start_seaweedfs
from storage.store import Store
from tests.storage.samples import KEY

ACCESS_KEY, SECRET_KEY = "swapbed-tests", "not-a-secret-1234"
KINDS = ("local", "juicefs", "seaweedfs")


@pytest.fixture(scope="session")
def juicefs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    server = start_juicefs(tmp_path_factory.mktemp("juicefs"), ACCESS_KEY, SECRET_KEY)
    yield server
    server.stop()


@pytest.fixture(scope="session")
def seaweedfs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    server = start_seaweedfs(tmp_path_factory.mktemp("seaweedfs"), ACCESS_KEY, SECRET_KEY)
    yield server
    server.process.kill()  # it takes ten seconds to end in good order, and nobody needs its data any more
    server.process.wait()


def admin(server: S3Server):
    return boto3.client("s3", endpoint_url=server.endpoint, aws_access_key_id=server.access_key, aws_secret_access_key=server.secret_key,
                        region_name="us-east-1", config=Config(s3={"addressing_style": "path"}))


@pytest.fixture
def new_objects(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[str], ObjectStore]:
    """Makes an empty store of a kind."""
    def make(kind: str) -> ObjectStore:
        unique = os.urandom(4).hex()
        if kind == "local":
            return LocalObjects(tmp_path / f"store-{unique}")
        server: S3Server = request.getfixturevalue(kind)
        admin(server).create_bucket(Bucket=f"test-{unique}")
        return S3Objects(f"test-{unique}", "some/prefix/", endpoint=server.endpoint, access_key=server.access_key,
                         secret_key=server.secret_key)
    return make


@pytest.fixture(params=KINDS)
def objects(request: pytest.FixtureRequest, new_objects: Callable[[str], ObjectStore]) -> ObjectStore:
    """An empty store, once of every kind."""
    return new_objects(request.param)


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated SQLite file to copy: migrating one per test would take longer than the tests."""
    path = tmp_path_factory.mktemp("database") / "empty.db"
    made = connect(f"sqlite:///{path}")
    upgrade(made)
    made.dispose()  # the last to close it puts the write-ahead log into the file
    return path


@pytest.fixture
def catalog_database(tmp_path: Path, empty_database: Path) -> Iterator[Engine]:
    """An empty SQLite catalog."""
    path = tmp_path / "catalog.db"
    path.write_bytes(empty_database.read_bytes())
    made = connect(f"sqlite:///{path}")
    yield made
    made.dispose()


@pytest.fixture
def store(catalog_database: Engine, tmp_path: Path) -> Store:
    """An empty store in a local directory, catalog in SQLite."""
    return Store(catalog_database, LocalObjects(tmp_path / "store"), "test")


@pytest.fixture
def any_store(catalog_database: Engine, objects: ObjectStore) -> Store:
    """An empty store on every kind of object store."""
    return Store(catalog_database, objects, "test")


@pytest.fixture
def gate(any_store: Store) -> Iterator[Gate]:
    """A gate before a store of every kind."""
    with Gate(any_store.catalog.on, any_store.objects, KEY) as running:
        yield running


@pytest.fixture
def local_gate(store: Store) -> Iterator[Gate]:
    with Gate(store.catalog.on, store.objects, KEY) as running:
        yield running
