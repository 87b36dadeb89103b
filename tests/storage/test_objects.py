"""The contract of `storage.objects.ObjectStore`, on every back end."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor

import pytest

from models.errors import InvalidInput, NotFound
from storage.objects import ObjectStore, checked


def test_what_was_put_is_read_back_whole_and_in_part(objects: ObjectStore) -> None:
    data = os.urandom(300_000)
    objects.put("packs/a/b", memoryview(data))
    assert objects.get("packs/a/b") == data
    assert objects.get("packs/a/b", 100, 200) == data[100:200]
    assert objects.get("packs/a/b", 299_990) == data[299_990:]
    assert objects.get("packs/a/b", -7) == data[-7:]
    assert objects.get("packs/a/b", 299_990, 400_000) == data[299_990:]
    assert objects.get("packs/a/b", 300_000, 300_001) == b""
    assert objects.get("packs/a/b", 5, 5) == b""
    assert objects.size("packs/a/b") == len(data)


def test_an_empty_object_is_an_object(objects: ObjectStore) -> None:
    objects.put("empty", b"")
    assert objects.get("empty") == b"" and objects.size("empty") == 0


def test_putting_again_replaces(objects: ObjectStore) -> None:
    objects.put("roots/one", b"first")
    objects.put("roots/one", b"second")
    assert objects.get("roots/one") == b"second"


def test_what_is_not_there_is_not_found(objects: ObjectStore) -> None:
    for ask in (lambda: objects.get("no/such"), lambda: objects.get("no/such", 1, 2), lambda: objects.size("no/such")):
        with pytest.raises(NotFound, match="no/such"):
            ask()
    objects.delete(["no/such"])


def test_listing_is_by_prefix(objects: ObjectStore) -> None:
    keys = ["a", "b/1", "b/10", "b/2", "b/deep/3", "b-4", "c"]
    for key in keys:
        objects.put(key, key.encode())
    assert {info.key for info in objects.listing()} == set(keys)
    assert {info.key for info in objects.listing("b/")} == {"b/1", "b/10", "b/2", "b/deep/3"}
    assert {info.key for info in objects.listing("b/1")} == {"b/1", "b/10"}
    assert [info.key for info in objects.listing("none/")] == []
    assert {info.size_bytes for info in objects.listing("b/deep/")} == {8}


def test_deleting_many_leaves_the_others(objects: ObjectStore) -> None:
    for number in range(7):
        objects.put(f"k/{number}", b"x")
    objects.delete(f"k/{number}" for number in range(5))
    assert {info.key for info in objects.listing("k/")} == {"k/5", "k/6"}


def test_many_threads_at_once(objects: ObjectStore) -> None:
    pieces = {f"t/{number}": os.urandom(10_000) for number in range(40)}
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda item: objects.put(*item), pieces.items()))
        read = dict(zip(pieces, pool.map(objects.get, pieces), strict=True))
    assert read == pieces


@pytest.mark.parametrize("key", ["", "/a", "a/", "a//b", "../a", "a/../b", "a/.", ".hidden", "a/.b", "a b", "a\0b", "a?b", "a%2e", "ä",
                                 "a" * 513])
def test_a_key_that_could_be_a_trick_is_refused(key: str) -> None:
    with pytest.raises(InvalidInput):
        checked(key)


def test_every_operation_checks_its_key(objects: ObjectStore) -> None:
    for operate in (lambda: objects.put("../x", b""), lambda: objects.get("../x"), lambda: objects.size("../x"),
                    lambda: objects.delete(["../x"])):
        with pytest.raises(InvalidInput):
            operate()
