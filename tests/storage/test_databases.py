"""The whole life of a store on each database: stored through the gate, fetched, pinned, collected, measured, rebuilt, expunged."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine, text

from models.database import writing
from models.errors import Corrupt
from storage import tokens
from storage.checking import check
from storage.collecting import collect
from storage.expunging import expunge
from storage.gate import Gate
from storage.local_objects import LocalObjects
from storage.rebuild import rebuild
from storage.roots import RootKind
from storage.store import Store
from storage.transfer import HostTransfer
from storage.trees import restore_tree, store_tree
from storage.usage import usage_of_roots, usage_of_store
from storage.verification import verify_packs
from tests.storage.samples import KEY, make_tree, snapshot


@pytest.fixture
def on_each(database: Engine, tmp_path: Path) -> Iterator[Store]:
    yield Store(database, LocalObjects(tmp_path / "store"), "test")


def test_a_stores_whole_life(on_each: Store, tmp_path: Path) -> None:
    on, objects = on_each.catalog.on, on_each.objects
    tree, other = make_tree(tmp_path / "tree", 1), make_tree(tmp_path / "other", 2)
    with Gate(on, objects, KEY) as gate:
        with HostTransfer(gate.url, tokens.issue(on_each.catalog, KEY, "i-1", "store")) as host:
            stored = store_tree(host, tree)
        verify_packs(on_each.catalog, objects)
        on_each.pin(RootKind.CHECKPOINT, "c-1", stored.manifest, ends=[host.transfer_id])
        with HostTransfer(gate.url, tokens.issue(on_each.catalog, KEY, "i-1", "fetch", [stored.manifest])) as host:
            restore_tree(host, stored.manifest, tmp_path / "again")
    assert snapshot(tmp_path / "again") == snapshot(tree)
    on_each.pin(RootKind.RECORD, "r-1", on_each.store_tree(other).manifest)
    assert usage_of_roots(on, objects, "test", [(RootKind.RECORD, "r-1")]).own_bytes > 5_000_000
    on_each.unpin(RootKind.RECORD, "r-1")
    with writing(on) as session:
        session.connection().execute(text("UPDATE transfer SET expires_s = 0"))
    condemned = collect(on, objects, holder="test").condemned_bytes
    assert collect(on, objects, holder="test").freed_bytes == condemned > 5_000_000
    assert check(on, objects, deep=True).whole
    before = usage_of_store(on, objects, "test")
    assert rebuild(on, objects).roots == 1
    assert usage_of_store(on, objects, "test").unique_bytes == before.unique_bytes
    on_each.restore_tree(stored.manifest, tmp_path / "after the rebuild")
    assert expunge(on, objects, "test", [(RootKind.CHECKPOINT, "c-1")], holder="test").done
    assert [info.key for info in objects.listing()] == ["store.json"]
    with pytest.raises(Corrupt):
        on_each.pin(RootKind.RECORD, "r-2", stored.manifest)
