"""A tree that went through the store is the same tree, whatever was in it; and the same tree is always the same hash."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from models.errors import Conflict, HostProblem, InvalidInput, NotFound
from models.manifest import FileKind, TreePolicy
from storage.store import Store
from tests.storage.samples import make_tree, snapshot


def test_everything_comes_back_as_it_was(any_store: Store, tmp_path: Path) -> None:
    tree = make_tree(tmp_path / "tree")
    stored = any_store.store_tree(tree)
    any_store.restore_tree(stored.hash, tmp_path / "again")
    assert snapshot(tmp_path / "again") == snapshot(tree)
    assert (tmp_path / "again/a/sparse").stat().st_blocks * 512 < 1 << 20
    assert any_store.store_tree(tmp_path / "again").hash == stored.hash
    assert stored.vanished == ()


def test_storing_again_sends_nothing(store: Store, tmp_path: Path) -> None:
    tree = make_tree(tmp_path / "tree")
    first, second = store.store_tree(tree), store.store_tree(tree)
    assert first.hash == second.hash
    assert first.counts.sent_bytes > 5_200_000 and second.counts.sent_bytes == 0 and second.counts.new_chunks == 0


def test_a_portable_hash_tells_content_only(store: Store, tmp_path: Path) -> None:
    for name, owner in (("one", 0), ("two", 1000)):
        (tmp_path / name / "d").mkdir(parents=True)
        (tmp_path / name / "d/run.sh").write_text("echo hello\n")
        (tmp_path / name / "d/run.sh").chmod(0o755 if not owner else 0o700)
        os.chown(tmp_path / name / "d/run.sh", owner, owner)
    assert store.store_tree(tmp_path / "one").hash != store.store_tree(tmp_path / "two").hash
    hashes = {store.store_tree(tmp_path / name, TreePolicy.portable()).hash for name in ("one", "two")}
    assert len(hashes) == 1
    (tmp_path / "two/d/run.sh").chmod(0o644)
    assert store.store_tree(tmp_path / "two", TreePolicy.portable()).hash not in hashes


def test_what_is_excluded_is_not_there(store: Store, tmp_path: Path) -> None:
    tree = make_tree(tmp_path / "tree")
    stored = store.store_tree(tree, TreePolicy(exclude=("a/b", "fifo", "sock", "null")))
    paths = {file.path for file in store.list_tree(stored.hash)}
    assert "a/short" in paths and not {"a/b", "a/b/long", "fifo", "sock", "null"} & paths


def test_a_directory_of_very_many_files(store: Store, tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    tree.mkdir()
    for number in range(3000):
        (tree / f"file-{number}").write_text(str(number % 100))
    stored = store.store_tree(tree)
    (tree / "file-1500").write_text("changed")
    (tree / "new").write_text("new")
    again = store.store_tree(tree)
    assert again.counts.new_bytes < 300_000  # one or two parts of the directory, not all of its node
    store.restore_tree(again.hash, tmp_path / "again")
    assert snapshot(tmp_path / "again") == snapshot(tree)
    assert [(d.path, d.change) for d in store.diff_trees(stored.hash, again.hash)] == [("file-1500", "changed"), ("new", "added")]


def test_reading_one_file_of_a_tree(store: Store, tmp_path: Path) -> None:
    tree = make_tree(tmp_path / "tree")
    stored = store.store_tree(tree)
    for path in ("a/short", "a/b/long", "a/b/log", "a/sparse", "a/empty", os.fsdecode(b"not-utf8-\xff\xfe")):
        assert store.read_file(stored.hash, path) == (tree / path).read_bytes()
    with pytest.raises(NotFound, match="no/such"):
        store.read_file(stored.hash, "no/such")
    with pytest.raises(NotFound):
        store.read_file(stored.hash, "a/short/below")
    with pytest.raises(InvalidInput, match="directory"):
        store.read_file(stored.hash, "a/b")


def test_a_listing_tells_kinds_and_targets(store: Store, tmp_path: Path) -> None:
    files = {file.path: file for file in store.list_tree(store.store_tree(make_tree(tmp_path / "tree")).hash)}
    assert files["away"].kind == FileKind.SYMLINK and files["away"].target == "/etc/passwd"
    assert files["deleted"].kind == FileKind.WHITEOUT and files["null"].kind == FileKind.CHARACTER
    assert files["a/short"].content == files["a/b/linked"].content != files["a/b/log"].content
    assert files["a"].size_bytes == sum(f.size_bytes for f in files.values() if f.path.startswith("a/") and f.kind == FileKind.FILE)


def test_differences_name_what_differs(store: Store, tmp_path: Path) -> None:
    tree = make_tree(tmp_path / "tree")
    before = store.store_tree(tree)
    (tree / "a/b/log").write_text("other\n")
    (tree / "a/short").chmod(0o600)
    (tree / "fifo").unlink()
    (tree / "fifo").mkdir()
    (tree / "fifo/below").write_text("x")
    after = store.store_tree(tree)
    found = {(d.path, d.change): d for d in store.diff_trees(before.hash, after.hash)}
    assert set(found[("a/b/log", "changed")].what) == {"content", "times"}
    assert found[("a/short", "changed")].what == ("mode",)
    assert {("fifo", "removed"), ("fifo", "added"), ("fifo/below", "added")} <= found.keys()
    assert list(store.diff_trees(after.hash, after.hash)) == []


@pytest.mark.parametrize("name", ["fifo", "sock", "null", "disk", "deleted"])
def test_special_files_are_refused_by_name_where_they_have_no_place(store: Store, tmp_path: Path, name: str) -> None:
    tree = make_tree(tmp_path / "tree")
    others = tuple({"fifo", "sock", "null", "disk", "deleted"} - {name})
    with pytest.raises(InvalidInput, match=f"tree/{name}: "):
        store.store_tree(tree, TreePolicy.portable(*others))


def test_an_unreadable_file_is_named(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tree = make_tree(tmp_path / "tree")
    real = os.open

    def refuse(path, flags, mode=0o777, *, dir_fd=None):
        if path == b"log":
            raise PermissionError(13, "Permission denied")
        return real(path, flags, mode, dir_fd=dir_fd)

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(HostProblem, match="a/b/log: it cannot be read"):
        store.store_tree(tree)


def test_nothing_is_overwritten_by_a_restore(store: Store, tmp_path: Path) -> None:
    stored = store.store_tree(make_tree(tmp_path / "tree"))
    (tmp_path / "full").mkdir()
    (tmp_path / "full/precious").write_text("mine")
    with pytest.raises(Conflict, match="not empty"):
        store.restore_tree(stored.hash, tmp_path / "full")
    with pytest.raises(Conflict):
        store.restore_tree(stored.hash, tmp_path / "full/precious")
    assert (tmp_path / "full/precious").read_text() == "mine"


def test_a_file_that_vanishes_or_shrinks_meanwhile_does_not_stop_it(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tree = make_tree(tmp_path / "tree")
    real = os.stat

    def vanish(path, *, dir_fd=None, follow_symlinks=True):
        status = real(path, dir_fd=dir_fd, follow_symlinks=follow_symlinks)
        if path == b"log":
            (tree / "a/b/log").unlink()
        return status

    monkeypatch.setattr(os, "stat", vanish)
    stored = store.store_tree(tree)
    assert stored.vanished == ("a/b/log",)
    assert "a/b/log" not in {file.path for file in store.list_tree(stored.hash)}


def test_a_tree_that_is_not_there(store: Store, tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        store.store_tree(tmp_path / "missing")
    (tmp_path / "file").write_text("")
    with pytest.raises(InvalidInput):
        store.store_tree(tmp_path / "file")
    with pytest.raises(NotFound, match="no such manifest"):
        store.restore_tree("ab" * 32, tmp_path / "out")


def test_a_very_deep_tree(store: Store, tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    tree.mkdir()
    at = tree
    for _ in range(120):
        at = at / "d"
        at.mkdir()
        (at / "f").write_text("x")
    stored = store.store_tree(tree)
    assert stored.manifest.files == 120
    store.restore_tree(stored.hash, tmp_path / "again")
    assert snapshot(tmp_path / "again") == snapshot(tree)


NAMES = st.binary(min_size=1, max_size=12).filter(lambda name: b"/" not in name and b"\0" not in name and name not in (b".", b".."))
TREES = st.recursive(st.binary(max_size=50), lambda below: st.dictionaries(NAMES, below, max_size=5), max_leaves=25)


@given(st.dictionaries(NAMES, TREES, max_size=6))
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_tree_of_any_names(store: Store, tmp_path: Path, tree: dict) -> None:
    where = tmp_path / os.urandom(6).hex()

    def build(directory: bytes, content: dict) -> None:
        os.mkdir(directory)
        for name, below in content.items():
            path = os.path.join(directory, name)
            if isinstance(below, dict):
                build(path, below)
            else:
                Path(os.fsdecode(path)).write_bytes(below)

    build(os.fsencode(where), tree)
    stored = store.store_tree(where)
    store.restore_tree(stored.hash, where.with_suffix(".again"))
    assert snapshot(where.with_suffix(".again")) == snapshot(where)
