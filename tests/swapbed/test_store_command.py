"""`swapbed store …` and `swapbed up --store`: what they tell and do, and what goes wrong outside, with a clear error and nothing lost."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

import swapbed
from models.database import engine, writing
from models.errors import Conflict
from models.leases import held
from models.settings import settings
from models.states import Subject
from storage.bucket_admin import BucketAdmin
from storage.collecting import collect
from storage.object_url import open_objects
from storage.pack import PREFIX
from storage.s3_objects import S3Objects
from storage.s3_server import S3Server, start_juicefs
from swapbed.serving import launch, server, store_server
from tests.storage.faulty_proxy import FaultyProxy
from tests.swapbed.conftest import COMMAND, Cli, Said

KEY, SECRET = "swapbed-tests", "not-a-secret-1234"


@pytest.fixture(scope="module")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    running = start_juicefs(tmp_path_factory.mktemp("s3"), KEY, SECRET)
    yield running
    running.process.kill()
    running.process.wait()


def use(monkeypatch: pytest.MonkeyPatch, endpoint: str, bucket: str, key: str = KEY, secret: str = SECRET) -> None:
    """From now on, in this test."""
    for name, value in (("URL", f"s3://{bucket}"), ("ENDPOINT", endpoint), ("ACCESS_KEY", key), ("SECRET_KEY", secret)):
        monkeypatch.setenv(f"SWAPBED_STORE_{name}", value)
    settings.cache_clear()


@pytest.fixture
def bucket(s3: S3Server, state_dir: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> str:
    """A new one, which the settings name."""
    name = f"bucket-{os.urandom(4).hex()}"
    use(monkeypatch, s3.endpoint, name)
    assert cli("store", "create-bucket").returncode == 0
    return name


def study(cli: Cli, name: str, size_bytes: int = 300_000) -> Said:
    """A template with so many random bytes in its datastore, the same for the same name."""
    place = Path(name)
    if not place.exists():
        (place / "datastore").mkdir(parents=True)
        (place / f"{name}.yml").write_text("nodes: {a: }\n")
        (place / "datastore" / "noise").write_bytes(os.urandom(size_bytes))
    return cli("template", "create", f"{name}/{name}.yml")


def failed(said: Said, code: int, *parts: str) -> None:
    assert said.returncode == code, said.stdout + said.stderr
    assert "Traceback" not in said.stderr and "next:" in said.stderr
    for part in parts:
        assert part in said.stderr


def whole(cli: Cli) -> dict[str, Any]:
    found = cli("store", "check", "--deep", "--format", "json").parsed
    assert found["whole"]
    return found


def test_they_tell_what_is_there(state_dir: Path, cli: Cli) -> None:
    assert "nothing is pinned" in cli("store", "stats").stdout
    study(cli, "one")
    shutil.copytree("one", "two")
    Path("two/one.yml").rename("two/two.yml")
    Path("two/datastore/more").write_bytes(os.urandom(50_000))
    study(cli, "two")
    used = cli("store", "stats", "--format", "json").parsed
    assert used["kinds"][0]["roots"] == 2 and used["logical_bytes"] == 650_000 and 350_000 <= used["unique_bytes"] < 360_000
    assert cli("store", "stats").stdout.count("template") == 1
    alone = cli("store", "du", "template:two@1", "--format", "json").parsed
    assert alone["logical_bytes"] == 350_000 and 50_000 <= alone["own_bytes"] < 55_000
    assert "alone holds" in cli("store", "du", "template:one").stdout
    assert whole(cli)["roots"] == 2 and whole(cli)["bytes"] > 350_000
    assert swapbed.store.check().whole and swapbed.store.usage("template:two").own_bytes == alone["own_bytes"]
    failed(cli("store", "du", "one"), 3, "template:NAME@NUMBER")
    failed(cli("store", "du", "template:three"), 4, "three")
    assert cli("store", "du", "image:none").returncode == 4
    assert cli("store", "frobnicate").returncode == 2


def test_garbage_is_told_then_condemned_then_freed(prefect_server: str, state_dir: Path, cli: Cli,
                                                   monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(launch, "PATIENCE_S", 1.0)
    try:
        study(cli, "kept")
        study(cli, "gone")
        assert cli("delete", "template:gone@1", "--yes").returncode == 0
        would = cli("store", "gc", "--dry-run", "--format", "json").parsed
        assert would["dry_run"] and would["condemned_bytes"] > 300_000 and would["freed_bytes"] == 0
        assert "would be condemned" in cli("store", "gc", "--dry-run").stdout
        assert cli("store", "gc", "--format", "json").parsed["condemned_bytes"] == would["condemned_bytes"]
        freed = swapbed.store.collect()
        assert freed.freed_bytes == would["condemned_bytes"] and freed.deleted_packs >= 1
        assert whole(cli)["roots"] == 1
        with held(Subject.STORE, "store", holder="somebody else", purpose="collect garbage"):
            failed(cli("store", "gc"), 5, "somebody else works on it (collect garbage)")
            failed(cli("store", "check", "--repair"), 5, "somebody else")
            failed(cli("store", "rebuild", "--yes"), 5, "somebody else")
        whole(cli)
    finally:
        server.down()


def test_of_two_collectors_at_once_one_is_refused_or_comes_after(state_dir: Path, cli: Cli) -> None:
    study(cli, "kept")
    study(cli, "gone")
    cli("delete", "template:gone@1", "--yes")
    refused = []

    def collecting(number: int) -> None:
        for _ in range(3):
            try:
                collect(engine(), open_objects(settings()), holder=f"collector {number}")
            except Conflict as error:
                refused.append(error)

    with ThreadPoolExecutor(2) as threads:
        list(threads.map(collecting, range(2)))
    assert len(refused) < 6 and all("collect garbage" in str(error) for error in refused)
    assert whole(cli)["roots"] == 1 and cli("template", "checkout", "kept", "out").returncode == 0


@pytest.mark.parametrize("how", ["flipped", "truncated", "missing"])
def test_a_bad_pack_is_named_and_mended_from_the_source(state_dir: Path, cli: Cli, how: str) -> None:
    study(cli, "one")
    objects = open_objects(settings())
    pack = max(objects.listing(PREFIX), key=lambda info: info.size_bytes).key
    data = bytearray(objects.get(pack))
    objects.delete([pack])
    if how != "missing":
        data[len(data) // 2] ^= how == "flipped"
        objects.put(pack, data if how == "flipped" else data[:-1000])
    said = cli("store", "check", "--deep")
    assert said.returncode == 8 and pack.rpartition("/")[2][:40] in said.stdout.replace("\n", "") and "NOT whole" in said.stdout
    assert "--repair" in said.stderr
    assert cli("store", "check", "--deep", "--repair").returncode == 8, "its source has not been stored again yet"
    failed(cli("template", "checkout", "one@1", "out"), 8)
    assert study(cli, "one").returncode == 0
    assert whole(cli)["roots"] == 1
    assert cli("template", "checkout", "one@1", "again").returncode == 0
    assert Path("again/datastore/noise").read_bytes() == Path("one/datastore/noise").read_bytes()


def test_a_catalog_that_is_older_than_the_packs(state_dir: Path, cli: Cli) -> None:
    study(cli, "old")
    engine().dispose()
    shutil.copy(state_dir / "swapbed.db", "backup")
    study(cli, "new")
    cli("delete", "template:old@1", "--yes")
    with writing() as session:
        session.connection().execute(text("UPDATE transfer SET expires_s = 0"))
    for _ in range(2):
        collect(engine(), open_objects(settings()), holder="test")
    engine().dispose()
    shutil.copy("backup", state_dir / "swapbed.db")
    engine.cache_clear()
    said = cli("store", "check")
    assert said.returncode == 8 and "older-catalog" in said.stdout and "store rebuild" in said.stderr
    failed(cli("store", "gc", "--dry-run"), 8, "older than the store", "swapbed store rebuild")
    assert cli("store", "rebuild").returncode == 1, "it asks first, and nobody answers"
    assert "roots" in cli("store", "rebuild", "--yes").stdout
    assert whole(cli)["roots"] == 1
    assert study(cli, "new").returncode == 0 and cli("template", "checkout", "new", "out").returncode == 0


def test_a_lost_database_is_made_again_from_the_packs(state_dir: Path, cli: Cli) -> None:
    study(cli, "one")
    engine().dispose()
    engine.cache_clear()
    for path in state_dir.glob("swapbed.db*"):
        path.unlink()
    made = cli("store", "rebuild", "--yes", "--format", "json").parsed
    assert made["roots"] == 1 and not made["damaged"] and whole(cli)["roots"] == 1


def test_wrong_credentials_no_bucket_no_permission(bucket: str, s3: S3Server, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    study(cli, "one")
    reader = BucketAdmin(settings()).add_user(f"r{os.urandom(4).hex()}", "read")
    use(monkeypatch, s3.endpoint, bucket, secret="wrong-secret-key")
    failed(cli("store", "check"), 7, "does not accept these credentials", "SWAPBED_STORE_SECRET_KEY")
    use(monkeypatch, s3.endpoint, "no-such-bucket")
    failed(study(cli, "two"), 7, "there is no such bucket", "swapbed store create-bucket")
    use(monkeypatch, s3.endpoint, bucket, reader.access_key, reader.secret_key)
    failed(study(cli, "two"), 7, "may not do this", "put, get, list and delete")
    use(monkeypatch, s3.endpoint, bucket)
    assert study(cli, "two").returncode == 0 and whole(cli)["roots"] == 2


def test_a_clock_20_minutes_off(bucket: str, s3: S3Server, cli: Cli) -> None:
    library = next(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"))
    said = subprocess.run([COMMAND, "store", "check"], env={**os.environ, "LD_PRELOAD": str(library), "FAKETIME": "-20m"},
                          capture_output=True, text=True, timeout=60)
    failed(Said(said.returncode, said.stdout, said.stderr), 7, "20 min apart", "NTP")


def test_a_full_disk_below_the_store(state_dir: Path, cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(disk)], check=True)
    try:
        monkeypatch.setenv("SWAPBED_STORE_URL", f"file://{disk}/store")
        settings.cache_clear()
        study(cli, "small")
        failed(study(cli, "big", 20_000_000), 7, "no space left", "store gc")
        assert whole(cli)["roots"] == 1 and cli("template", "checkout", "small", "out").returncode == 0
    finally:
        subprocess.run(["umount", str(disk)], check=True)


@pytest.mark.parametrize("fault", ["drop", "503"])
def test_a_store_that_fails_in_mid_transfer(bucket: str, s3: S3Server, cli: Cli, monkeypatch: pytest.MonkeyPatch, fault: str) -> None:
    monkeypatch.setitem(S3Objects.__init__.__kwdefaults__, "attempts", 2)  # five take ten seconds to give up
    study(cli, "small")
    well = False
    with FaultyProxy(s3.endpoint, lambda number, first: "pass" if well else "break" if number == 1 else fault) as proxy:
        use(monkeypatch, proxy.endpoint, bucket)
        failed(study(cli, "big", 12_000_000), 7, "no answer" if fault == "drop" else "for now", proxy.endpoint)
        well = True
        assert study(cli, "big").returncode == 0
        assert whole(cli)["roots"] == 2


def test_a_store_of_our_own(prefect_server: str, state_dir: Path, cli: Cli) -> None:
    try:
        begun = cli("up", "--store", "--format", "json").parsed
        assert begun["store"]["pid"] and begun["store_url"].startswith("s3://swapbed at http://127.0.0.1:")
        assert study(cli, "one").returncode == 0 and whole(cli)["packs"] == 2
        assert not (state_dir / "store").exists(), "nothing goes to the directory any more"
        assert oct((state_dir / "s3" / "settings.json").stat().st_mode)[-3:] == "600"
        again = cli("up", "--store", "--format", "json").parsed
        assert again["store"] == begun["store"]
        alive = store_server.identity()
        assert alive is not None
        alive.end()
        assert "not running" in cli("status").stdout
        assert cli("template", "checkout", "one", "out").returncode == 0, "whoever needs it starts it again"
        assert cli("status", "--format", "json").parsed["store_url"] == begun["store_url"]
        assert "store" in cli("down").stderr and store_server.identity() is None
        assert whole(cli)["roots"] == 1
    finally:
        server.down()
    assert store_server.identity() is None


def test_a_store_of_our_own_comes_before_anything_is_stored(state_dir: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    study(cli, "one")
    failed(cli("up", "--store"), 5, "packs in the present store", "SWAPBED_STATE_DIR")
    assert store_server.chosen() is None and whole(cli)["roots"] == 1
    monkeypatch.setenv("SWAPBED_STORE_URL", "s3://theirs")
    settings.cache_clear()
    failed(cli("up", "--store"), 3, "the settings name a store already", "s3://theirs")
    monkeypatch.setenv("SWAPBED_STORE_URL", "ftp://nowhere")
    settings.cache_clear()
    failed(cli("store", "check"), 3, "not a store", "s3://bucket/prefix")
