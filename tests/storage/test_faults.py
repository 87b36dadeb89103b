"""What goes wrong outside of us: each ends in a clear error, or in nothing but a delay; what was stored stays stored."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import urllib3
from sqlalchemy import Engine

from models.errors import StoreProblem, StoreUnavailable
from models.settings import Settings
from storage.bucket_admin import BucketAdmin, policy
from storage.checking import check
from storage.gate import Gate
from storage.local_objects import LocalObjects
from storage.retry import with_retries
from storage.roots import RootKind
from storage.s3_objects import S3Objects
from storage.s3_server import S3Server, start_juicefs
from storage.store import Store
from tests.storage.conftest import ACCESS_KEY, SECRET_KEY, admin
from tests.storage.faulty_proxy import FaultyProxy
from tests.storage.samples import make_tree, snapshot


def bucket(server: S3Server) -> str:
    name = f"faults-{os.urandom(4).hex()}"
    admin(server).create_bucket(Bucket=name)
    return name


def objects_at(endpoint: str, name: str, *, access_key: str = ACCESS_KEY, secret_key: str = SECRET_KEY, attempts: int = 2) -> S3Objects:
    return S3Objects(name, endpoint=endpoint, access_key=access_key, secret_key=secret_key, attempts=attempts)


def settings_for(server: S3Server, name: str) -> Settings:
    return Settings(store_url=f"s3://{name}", store_endpoint=server.endpoint, store_access_key=server.access_key,
                    store_secret_key=server.secret_key)


@pytest.fixture(params=["juicefs", "seaweedfs"])
def server(request: pytest.FixtureRequest) -> S3Server:
    return request.getfixturevalue(request.param)


def test_wrong_credentials(server: S3Server) -> None:
    name = bucket(server)
    for wrong in ({"secret_key": "wrong-secret-key"}, {"access_key": "nobody-at-all"}):
        with pytest.raises(StoreProblem, match="does not accept these credentials.*SWAPBED_STORE_ACCESS_KEY"):
            objects_at(server.endpoint, name, **wrong).put("a", b"x")


def test_no_credentials_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent")
    with pytest.raises(StoreProblem, match="no credentials"):
        S3Objects("some-bucket", endpoint="http://127.0.0.1:1").put("a", b"x")


def test_no_such_bucket(server: S3Server) -> None:
    objects = objects_at(server.endpoint, "no-such-bucket")
    for operate in (lambda: objects.put("a", b"x"), lambda: objects.get("a"), lambda: list(objects.listing())):
        with pytest.raises(StoreProblem, match="no such bucket"):
            operate()


def test_nothing_listens_there() -> None:
    with pytest.raises(StoreUnavailable, match="no answer.*endpoint"):
        objects_at("http://127.0.0.1:1", "any-bucket").put("a", b"x")


def test_a_bucket_is_made_and_a_user_may_do_no_more_than_needed(juicefs: S3Server) -> None:
    name = f"made-{os.urandom(4).hex()}"
    keeper = BucketAdmin(settings_for(juicefs, name))
    keeper.create()
    keeper.create()
    assert keeper.tidy_by_itself() is False  # this server has no lifecycle rules
    writer, reader = keeper.add_user(f"w{os.urandom(4).hex()}"), keeper.add_user(f"r{os.urandom(4).hex()}", "read")
    objects_at(juicefs.endpoint, name, access_key=writer.access_key, secret_key=writer.secret_key).put("packs/x", b"content")
    reading = objects_at(juicefs.endpoint, name, access_key=reader.access_key, secret_key=reader.secret_key)
    assert reading.get("packs/x") == b"content"
    with pytest.raises(StoreProblem, match="may not do this.*put, get, list and delete"):
        reading.put("packs/y", b"x")
    with pytest.raises(StoreProblem, match="may not do this"):
        reading.delete(["packs/x"])
    with pytest.raises(StoreProblem, match="may not do this"):
        objects_at(juicefs.endpoint, bucket(juicefs), access_key=writer.access_key, secret_key=writer.secret_key).put("a", b"x")


def test_a_server_without_minios_administration_says_what_to_do(seaweedfs: S3Server) -> None:
    name = f"made-{os.urandom(4).hex()}"
    keeper = BucketAdmin(settings_for(seaweedfs, name))
    keeper.create()
    assert keeper.tidy_by_itself() is True
    with pytest.raises(StoreProblem, match="s3:PutObject"):
        keeper.add_user("somebody")
    assert policy("b", "p/")["Statement"][1]["Resource"] == ["arn:aws:s3:::b/p/*"]


def test_a_clock_20_minutes_off(server: S3Server, tmp_path: Path) -> None:
    """In a process of its own, whose clock libfaketime sets back."""
    keys = f"access_key={ACCESS_KEY!r}, secret_key={SECRET_KEY!r}"
    program = ("import sys; from storage.s3_objects import S3Objects; from models.errors import StoreProblem\n"
               f"objects = S3Objects({bucket(server)!r}, endpoint={server.endpoint!r}, {keys})\n"
               "try: objects.put('a', b'x')\nexcept StoreProblem as error: print(error); sys.exit(7)\n")
    libraries = list(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"))
    environment = {**os.environ, "LD_PRELOAD": str(libraries[0]), "FAKETIME": "-20m", "PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == 7, done.stdout + done.stderr
    assert "20 min apart" in done.stdout and "NTP" in done.stdout


def test_answers_503_cost_only_time(juicefs: S3Server, catalog_database: Engine, tmp_path: Path) -> None:
    name = bucket(juicefs)
    tree = make_tree(tmp_path / "tree")
    with FaultyProxy(juicefs.endpoint, lambda number, first: "503" if number % 3 == 1 else "pass") as proxy:
        store = Store(catalog_database, objects_at(proxy.endpoint, name, attempts=5), "test")
        stored = store.store_tree(tree)
        store.restore_tree(stored.hash, tmp_path / "again")
        assert proxy.seen >= 2
    assert snapshot(tmp_path / "again") == snapshot(tree)


def test_connections_that_break_in_the_middle_cost_only_time(juicefs: S3Server, catalog_database: Engine, tmp_path: Path) -> None:
    name = bucket(juicefs)
    tree = make_tree(tmp_path / "tree")
    with FaultyProxy(juicefs.endpoint, lambda number, first: "break" if number in (1, 4) else "drop" if number == 3 else "pass") as proxy:
        store = Store(catalog_database, objects_at(proxy.endpoint, name, attempts=5), "test")
        stored = store.store_tree(tree)
        store.restore_tree(stored.hash, tmp_path / "again")
    assert snapshot(tmp_path / "again") == snapshot(tree)


def test_a_store_that_dies_in_mid_transfer_and_comes_back(tmp_path: Path, catalog_database: Engine) -> None:
    own = start_juicefs(tmp_path / "server", ACCESS_KEY, SECRET_KEY)
    try:
        name = bucket(own)
        objects = objects_at(own.endpoint, name)
        store = Store(catalog_database, objects, "test")
        image = tmp_path / "image"
        image.write_bytes(os.urandom(40_000_000))
        puts, real = [], objects.put

        def dying(key: str, data: bytes) -> None:
            puts.append(key)
            if len(puts) == 5:  # so that one has arrived: four are sent at a time
                own.process.kill()
                own.process.wait()
            real(key, data)

        objects.put = dying  # type: ignore[method-assign]
        with pytest.raises(StoreUnavailable, match="no answer"):
            store.store_image(image)
        objects.put = real  # type: ignore[method-assign]
        own = start_juicefs(tmp_path / "server", ACCESS_KEY, SECRET_KEY, port=int(own.endpoint.rpartition(":")[2]))
        again = store.store_image(image)
        assert again.counts.sent_bytes < 41_000_000 - (8 << 20)
        store.restore_image(again.manifest, tmp_path / "again")
        assert (tmp_path / "again").read_bytes() == image.read_bytes()
    finally:
        own.process.kill()
        own.process.wait()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    where = tmp_path / "disk"
    where.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=12m", "tmpfs", str(where)], check=True)
    yield where
    subprocess.run(["umount", str(where)], check=True)


def test_a_full_disk_below_the_store(small_disk: Path, catalog_database: Engine, tmp_path: Path) -> None:
    store = Store(catalog_database, LocalObjects(small_disk / "store"), "test")
    kept = make_tree(tmp_path / "kept")
    store.pin(RootKind.RECORD, "r", store.store_tree(kept).manifest)
    (tmp_path / "image").write_bytes(os.urandom(20_000_000))
    with pytest.raises(StoreProblem, match="no space left.*store gc.*intact"):
        store.store_image(tmp_path / "image")
    assert check(catalog_database, store.objects, deep=True).whole
    assert not list(LocalObjects(small_disk / "store").unfinished(older_than_s=1e12))
    store.restore_tree(store.root(RootKind.RECORD, "r").manifest, tmp_path / "again")
    assert snapshot(tmp_path / "again") == snapshot(kept)


def test_a_full_disk_where_something_is_restored_to(small_disk: Path, store: Store, tmp_path: Path) -> None:
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree/big").write_bytes(os.urandom(20_000_000))
    stored = store.store_tree(tmp_path / "tree")
    with pytest.raises(Exception, match="no space left to restore into"):
        store.restore_tree(stored.hash, small_disk / "out")
    shutil.rmtree(small_disk / "out")


def test_retrying_backs_off_and_gives_up() -> None:
    pauses: list[float] = []
    failures = 0

    def fail() -> None:
        nonlocal failures
        failures += 1
        raise StoreUnavailable("not now")

    with pytest.raises(StoreUnavailable):
        with_retries(fail, attempts=5, sleep=pauses.append)
    assert failures == 5 and len(pauses) == 4
    assert all(0 <= pause <= 0.1 * 2 ** (number + 1) for number, pause in enumerate(pauses))


def test_what_cannot_get_better_is_not_tried_again() -> None:
    calls = 0

    def refuse() -> None:
        nonlocal calls
        calls += 1
        raise StoreProblem("wrong credentials")

    with pytest.raises(StoreProblem):
        with_retries(refuse, sleep=lambda _: None)
    assert calls == 1


def test_the_gate_outlives_rubbish(local_gate: Gate) -> None:
    too_long = b"POST /transfer/begin HTTP/1.1\r\nContent-Length: 99999999999\r\n\r\n"
    for rubbish in (b"\0" * 100, b"GET", too_long, b"POST / HTTP/1.1\r\n\r\n"):
        with socket.create_connection(("127.0.0.1", int(local_gate.url.rpartition(":")[2]))) as line:
            line.sendall(rubbish)
            line.settimeout(2)
            line.shutdown(socket.SHUT_WR)
            while line.recv(4096):
                pass
    answer = urllib3.PoolManager().request("POST", f"{local_gate.url}/transfer/begin", body=b'{"token": "x"}')
    assert answer.status == 403
