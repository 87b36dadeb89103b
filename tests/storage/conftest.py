"""Object stores of every kind: a local directory, and two real S3 servers on loopback, started once per session."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import boto3
import pytest
from botocore.config import Config

from storage.local_objects import LocalObjects
from storage.objects import ObjectStore
from storage.s3_objects import S3Objects
from storage.s3_server import S3Server, start_juicefs, start_seaweedfs

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
