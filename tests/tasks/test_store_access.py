"""A host, here or beyond SSH, is let in to the store through the gate."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from models.errors import HostLost
from storage.roots import RootKind
from storage.store import Store
from storage.transfer import HostTransfer
from storage.trees import restore_tree, store_tree
from storage.verification import verify_packs
from tasks import store_access
from tasks.sessions import HostReference
from tasks.store_access import gate
from tests.ssh_hosts import first_in_path, ssh_hosts

HERE = HostReference(id="h-1", name="here")


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree/file").write_text("content\n" * 1000)
    return tmp_path / "tree"


@pytest.fixture
def far(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[HostReference]:
    """Another host, by the same machine's SSH server."""
    with ssh_hosts(tmp_path, far=tmp_path) as commands:
        monkeypatch.setenv("PATH", first_in_path(commands))
        yield HostReference(id="h-2", name="far", address="far")


def test_a_host_of_this_machine(state_dir: Path, tmp_path: Path, tree: Path) -> None:
    with gate() as door, HostTransfer.of(door.to_store(HERE, "default", "i-1")) as host:
        stored = store_tree(host, tree)
        store = Store.of("default")
        verify_packs(store.catalog, store.objects)
        store.pin(RootKind.RECORD, "r", stored.manifest, ends=[host.transfer_id])
        with HostTransfer.of(door.to_fetch(HERE, "default", "i-1", [stored.manifest])) as other:
            restore_tree(other, stored.manifest, tmp_path / "again")
    assert (tmp_path / "again/file").read_bytes() == (tree / "file").read_bytes()
    store.catalog.on.dispose()


def test_a_host_beyond_ssh(state_dir: Path, tree: Path, far: HostReference) -> None:
    with gate() as door:
        access = door.to_store(far, "default", "i-1")
        assert access.gate != door.to_store(HERE, "default", "i-1").gate
        with HostTransfer.of(access) as host:
            assert store_tree(host, tree).manifest.files == 1
    Store.of("default").catalog.on.dispose()


def test_a_host_that_ssh_does_not_reach(state_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_access, "SSH", ("ssh", "-p", "1", "-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=no"))
    with gate() as door, pytest.raises(HostLost, match="127.0.0.1"):
        door.to_store(HostReference(id="h-3", name="lost", address="127.0.0.1"), "default", "i-1")
    Store.of("default").catalog.on.dispose()
