"""Trees made of parts: what a record is put together from, and how it is amended."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from models.errors import Corrupt, InvalidInput, NotFound
from models.manifest import FileKind
from storage.catalog import Catalog
from storage.direct import DirectSink, DirectSource
from storage.roots import RootKind
from storage.store import Store
from storage.tree_editing import edit_tree
from tests.storage.samples import make_tree, snapshot


def test_a_record_is_put_together_from_what_hosts_stored(store: Store, tmp_path: Path) -> None:
    tree = make_tree(tmp_path / "tree")
    host = store.store_tree(tree).manifest
    (tmp_path / "image").write_bytes(os.urandom(100_000))
    image = store.store_image(tmp_path / "image").manifest
    record = store.edit_tree(None, put={"nodes/a": host, "nodes/b": host, "events.jsonl": b'{"at": 1}\n', "nodes/ram.img": image,
                                        "empty": b"", "zeros": bytes(300_000)})
    assert record.files == 2 * host.files + 4
    assert record.size_bytes == 2 * host.size_bytes + 10 + 100_000 + 300_000
    store.restore_tree(record, tmp_path / "out")
    assert snapshot(tmp_path / "out/nodes/a") == snapshot(tree)
    assert (tmp_path / "out/nodes/ram.img").read_bytes() == (tmp_path / "image").read_bytes()
    assert (tmp_path / "out/events.jsonl").read_bytes() == b'{"at": 1}\n'
    assert (tmp_path / "out/zeros").read_bytes() == bytes(300_000)
    store.pin(RootKind.RECORD, "r", record)


def test_the_order_of_edits_does_not_matter(store: Store) -> None:
    together = store.edit_tree(None, put={"a/b": b"1", "c": b"2", "a/d": b"3"})
    first = store.edit_tree(None, put={"c": b"2", "a/d": b"3", "x": b"gone"})
    assert store.edit_tree(first, put={"a/b": b"1"}, remove=["x", "never"]) == together


def test_amending_touches_nothing_else(store: Store, tmp_path: Path) -> None:
    tree = make_tree(tmp_path / "tree")
    before = store.store_tree(tree).manifest
    after = store.edit_tree(before, put={"a/b/log": b"amended\n", "new/deep/file": b"x"}, remove=["a/sparse", "fifo"])
    found = {(d.path, d.change) for d in store.diff_trees(before, after)}
    assert found == {("a/b/log", "changed"), ("new", "added"), ("new/deep", "added"), ("new/deep/file", "added"), ("a/sparse", "removed"),
                     ("fifo", "removed")}
    assert store.read_file(after, "a/b/log") == b"amended\n"
    assert store.list_tree(after)[0].kind == FileKind.DIRECTORY


def test_a_tree_of_another_project_cannot_be_put_in(store: Store, tmp_path: Path) -> None:
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree/secret").write_bytes(os.urandom(1000))
    theirs = Store(store.catalog.on, store.objects, "theirs").store_tree(tmp_path / "tree").manifest
    with pytest.raises(NotFound):
        store.edit_tree(None, put={"mine": theirs})
    with DirectSink(store.catalog, store.objects) as sink, pytest.raises(Corrupt):
        edit_tree(sink, DirectSource(Catalog(store.catalog.on, "theirs"), store.objects, [theirs]), None, put={"mine": theirs})


@pytest.mark.parametrize("path", ["../x", "a/../b", "a//b", "."])
def test_paths_that_leave_the_tree(store: Store, path: str) -> None:
    with pytest.raises(Corrupt, match="not a file name"):
        store.edit_tree(None, put={path: b"x"})


def test_a_path_through_a_file(store: Store) -> None:
    tree = store.edit_tree(None, put={"file": b"x"})
    with pytest.raises(InvalidInput, match="no directory"):
        store.edit_tree(tree, put={"file/below": b"x"})
