"""Checking, repairing, rebuilding, measuring, expunging."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import Engine, text

from models.database import connect, writing
from models.errors import Corrupt
from models.manifest import ManifestRef
from storage.checking import check
from storage.collecting import collect
from storage.direct import DirectSink
from storage.expunging import expunge
from storage.local_objects import LocalObjects
from storage.objects import ObjectStore
from storage.pack import PREFIX, read_chunks, read_index
from storage.rebuild import rebuild
from storage.roots import RootKind
from storage.s3_objects import S3Objects
from storage.store import Store
from storage.usage import usage_of_roots, usage_of_store
from tests.storage.conftest import admin
from tests.storage.samples import make_tree, snapshot


def pinned(store: Store, path: Path, kind: RootKind = RootKind.RECORD, name: str = "r-1") -> ManifestRef:
    stored = store.store_tree(path)
    store.pin(kind, name, stored.manifest)
    end_transfers(store)
    return stored.manifest


def end_transfers(store: Store) -> None:
    with writing(store.catalog.on) as session:
        session.connection().execute(text("UPDATE transfer SET expires_s = 0"))


def packs_of(objects: ObjectStore) -> list[str]:
    return sorted(info.key for info in objects.listing(PREFIX))


def biggest_pack(objects: ObjectStore) -> str:
    return max(objects.listing(PREFIX), key=lambda info: info.size_bytes).key


def damage(objects: ObjectStore, key: str, how: str) -> None:
    data = bytearray(objects.get(key))
    if how == "flipped":
        data[len(data) // 2] ^= 1
        objects.put(key, data)
    elif how == "truncated":
        objects.put(key, data[:len(data) // 2])
    else:
        objects.delete([key])


@pytest.mark.parametrize(("kind", "how"), [("local", "flipped"), ("local", "truncated"), ("local", "missing"), ("juicefs", "flipped"),
                                           ("seaweedfs", "missing")])
def test_a_bad_pack_is_found_named_and_repaired_from_the_source(
        catalog_database: Engine, new_objects: Callable[[str], ObjectStore], tmp_path: Path, kind: str, how: str) -> None:
    any_store = Store(catalog_database, new_objects(kind), "test")
    on, objects = any_store.catalog.on, any_store.objects
    tree = make_tree(tmp_path / "tree")
    manifest = pinned(any_store, tree)
    assert check(on, objects, deep=True).whole
    key = biggest_pack(objects)
    damage(objects, key, how)
    found = check(on, objects, deep=True)
    assert not found.whole
    assert any(key.endswith(finding.where.removeprefix("pack ")) for finding in found.findings)
    assert {root for finding in found.findings for root in finding.needed_by} == {"record r-1"}
    with pytest.raises(Corrupt, match="chunk [0-9a-f]{64}.* lost"):
        any_store.restore_tree(manifest, tmp_path / "broken")
    assert check(on, objects, deep=True, repair=True).repaired > 0
    again = any_store.store_tree(tree)
    assert again.hash == manifest.hash and again.counts.sent_bytes > 0
    any_store.restore_tree(manifest, tmp_path / "again")
    assert snapshot(tmp_path / "again") == snapshot(tree)
    assert check(on, objects, deep=True).whole


def test_a_fast_check_finds_what_is_missing_and_what_is_foreign(store: Store, tmp_path: Path) -> None:
    pinned(store, make_tree(tmp_path / "tree"))
    store.objects.put("packs/test/ab/" + "ab" * 32, b"who are you?")
    store.objects.delete([biggest_pack(store.objects)])
    found = check(store.catalog.on, store.objects)
    assert {finding.kind for finding in found.findings} == {"unknown-pack", "missing-pack", "lost-chunk"}


def test_another_good_copy_is_used_and_the_bad_one_forgotten(store: Store, tmp_path: Path) -> None:
    (tmp_path / "image").write_bytes(os.urandom(200_000))
    first = store.store_image(tmp_path / "image").manifest
    with writing(store.catalog.on) as session:
        session.connection().execute(text("UPDATE pack SET state = 'claimed', writer = 'i-x'"))
    store.store_image(tmp_path / "image")
    with writing(store.catalog.on) as session:
        session.connection().execute(text("UPDATE pack SET state = 'verified'"))
    store.pin(RootKind.IMAGE, "i", first)
    damage(store.objects, biggest_pack(store.objects), "flipped")
    store.restore_image(first, tmp_path / "again")
    assert (tmp_path / "again").read_bytes() == (tmp_path / "image").read_bytes()
    found = check(store.catalog.on, store.objects, deep=True, repair=True)
    assert found.whole and found.repaired >= 1


def test_the_catalog_is_made_anew_from_the_packs(any_store: Store, tmp_path: Path, empty_database: Path) -> None:
    trees = {name: make_tree(tmp_path / name, seed) for seed, name in enumerate(("one", "two"))}
    manifests = {name: pinned(any_store, path, name=name) for name, path in trees.items()}
    any_store.store_image(trees["one"] / "a/b/long")
    (tmp_path / "new.db").write_bytes(empty_database.read_bytes())
    new = connect(f"sqlite:///{tmp_path}/new.db")
    made = rebuild(new, any_store.objects)
    assert made.roots == 2 and made.recovered == 0 and not made.damaged and not made.unreadable and not made.incomplete
    fresh = Store(new, any_store.objects, "test")
    for name, manifest in manifests.items():
        assert fresh.root(RootKind.RECORD, name).manifest == manifest
        fresh.restore_tree(manifest, tmp_path / f"{name}-again")
        assert snapshot(tmp_path / f"{name}-again") == snapshot(trees[name])
    assert fresh.store_tree(trees["two"]).counts.sent_bytes == 0
    end_transfers(fresh)
    for _ in range(2):
        collect(new, any_store.objects, holder="test")
    assert check(new, any_store.objects, deep=True).whole
    new.dispose()


def test_without_roots_a_rebuild_keeps_every_whole_manifest(store: Store, tmp_path: Path) -> None:
    tree = make_tree(tmp_path / "tree")
    manifest = pinned(store, tree)
    store.objects.delete([info.key for info in store.objects.listing("roots/")])
    made = rebuild(store.catalog.on, store.objects)
    assert (made.roots, made.recovered) == (0, 1)
    assert store.root(RootKind.RECOVERED, manifest.hash).manifest.hash == manifest.hash


def test_a_rebuild_after_a_backup_was_put_back(store: Store, tmp_path: Path) -> None:
    on = store.catalog.on
    old = pinned(store, make_tree(tmp_path / "old", 1), name="old")
    on.dispose()
    path = Path(on.url.database or "")
    backup = path.read_bytes()
    new = pinned(store, make_tree(tmp_path / "new", 2), name="new")
    store.unpin(RootKind.RECORD, "old")
    for _ in range(2):
        collect(on, store.objects, holder="test")
    on.dispose()
    path.write_bytes(backup)
    assert [finding.kind for finding in check(on, store.objects).findings][0] == "older-catalog"
    rebuild(on, store.objects)
    assert [root.name for root in store.roots()] == ["new"]
    store.restore_tree(new, tmp_path / "again")
    end_transfers(store)
    for _ in range(2):
        collect(on, store.objects, holder="test")
    assert not store.has(old.hash)
    assert check(on, store.objects, deep=True).whole


def test_a_rebuild_does_not_believe_a_damaged_pack(store: Store, tmp_path: Path) -> None:
    pinned(store, make_tree(tmp_path / "tree"))
    damage(store.objects, biggest_pack(store.objects), "flipped")
    store.objects.put("packs/test/ab/" + "ab" * 32, b"no pack")
    made = rebuild(store.catalog.on, store.objects)
    assert len(made.damaged) == 1 and len(made.unreadable) == 1 and made.incomplete[0].startswith("record r-1")


def test_usage_tells_what_is_shared_and_what_each_holds_alone(store: Store, tmp_path: Path) -> None:
    common = os.urandom(1_000_000)
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "common").write_bytes(common)
        (tmp_path / name / "own").write_bytes(os.urandom(300_000))
        pinned(store, tmp_path / name, name=name)
    store.pin(RootKind.IMAGE, "i", store.store_image(tmp_path / "a/own").manifest)
    end_transfers(store)
    used = usage_of_store(store.catalog.on, store.objects, "test")
    kinds = {kind.kind: kind for kind in used.kinds}
    assert kinds[RootKind.RECORD].roots == 2 and kinds[RootKind.RECORD].logical_bytes == 2_600_000
    assert 1_600_000 <= kinds[RootKind.RECORD].unique_bytes < 1_620_000
    assert used.logical_bytes == 2_900_000 and used.garbage_bytes < 40_000
    one = usage_of_roots(store.catalog.on, store.objects, "test", [(RootKind.RECORD, "a")])
    assert one.unique_bytes > 1_300_000 and 300_000 <= one.own_bytes < 310_000
    both = usage_of_roots(store.catalog.on, store.objects, "test", [(RootKind.RECORD, "a"), (RootKind.RECORD, "b")])
    assert 1_600_000 <= both.own_bytes < 1_620_000


def test_an_expunged_secret_is_nowhere(any_store: Store, tmp_path: Path) -> None:
    on, objects = any_store.catalog.on, any_store.objects
    secret = b"the password is xyzzy-" + os.urandom(8).hex().encode()
    for name, content in (("kept", b"harmless\n" * 5000), ("secret", b"prefix " * 900 + secret + b" suffix" * 900)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "shared").write_bytes(b"shared" * 50_000)
        (tmp_path / name / f"{name}.txt").write_bytes(content)
    kept = pinned(any_store, tmp_path / "kept", name="kept")
    pinned(any_store, tmp_path / "secret", name=secret.decode())
    pinned(any_store, tmp_path / "secret", name="a second root of the same")
    assert seen(on, objects, secret) == {"a pack", "an object", "the database"}
    roots = [(RootKind.RECORD, secret.decode()), (RootKind.RECORD, "a second root of the same")]
    told = expunge(on, objects, "test", roots, holder="test")
    assert told.done and told.freed_chunks >= 3
    assert seen(on, objects, secret) == set()
    any_store.restore_tree(kept, tmp_path / "again")
    assert snapshot(tmp_path / "again") == snapshot(tmp_path / "kept")


def test_expunging_waits_for_whoever_may_count_on_it(store: Store, tmp_path: Path) -> None:
    manifest = pinned(store, make_tree(tmp_path / "tree"))
    sink = DirectSink(store.catalog, store.objects)
    sink.ask([bytes.fromhex(manifest.hash)])
    waits: list[float] = []

    def wait(pause_s: float) -> None:
        waits.append(pause_s)
        if len(waits) == 2:
            sink.close()

    told = expunge(store.catalog.on, store.objects, "test", [(RootKind.RECORD, "r-1")], holder="test", sleep=wait)
    assert told.done and len(waits) == 2 and packs_of(store.objects) == []


def seen(on: Engine, objects: ObjectStore, secret: bytes) -> set[str]:
    """Where the secret is: in decompressed chunks, in objects as they are, in old versions of them, in the database's files."""
    found = set()
    for info in objects.listing():
        data = objects.get(info.key)
        if secret in data:
            found.add("an object")
        if info.key.startswith(PREFIX) and any(secret in chunk for _, chunk in read_chunks(data, read_index(data, ""), "")
                                               if isinstance(chunk, bytes)):
            found.add("a pack")
    if isinstance(objects, LocalObjects):
        unlisted = [path for path in objects.root.rglob(".*") if path.is_file()]
        found |= {"an unfinished file" for path in unlisted if secret in path.read_bytes()}
    database = Path(on.url.database or "")
    if any(secret in path.read_bytes() for path in database.parent.glob(database.name + "*")):
        found.add("the database")
    return found


def test_old_versions_of_objects_are_erased_too(catalog_database: Engine, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    server = request.getfixturevalue("seaweedfs")
    client = admin(server)
    client.create_bucket(Bucket="versioned")
    client.put_bucket_versioning(Bucket="versioned", VersioningConfiguration={"Status": "Enabled"})
    objects = S3Objects("versioned", endpoint=server.endpoint, access_key=server.access_key, secret_key=server.secret_key)
    store = Store(catalog_database, objects, "test")
    pinned(store, make_tree(tmp_path / "tree"))
    assert expunge(catalog_database, objects, "test", [(RootKind.RECORD, "r-1")], holder="test").done
    left = client.list_object_versions(Bucket="versioned")
    assert {item["Key"] for item in (*left.get("Versions", ()), *left.get("DeleteMarkers", ()))} <= {"store.json"}
