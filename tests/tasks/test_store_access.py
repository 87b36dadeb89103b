"""A host, here or beyond SSH, is let in to the store through the gate."""

from __future__ import annotations

import socket
import stat
import subprocess
import time
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

HERE = HostReference(id="h-1", name="here")


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree/file").write_text("content\n" * 1000)
    return tmp_path / "tree"


@pytest.fixture
def ssh_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """sshd on loopback with keys of its own; returns the destination under which `tasks.store_access` reaches it."""
    for name in ("host", "user"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(tmp_path / name)], check=True)
    (tmp_path / "authorized").write_text((tmp_path / "user.pub").read_text())
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    Path("/run/sshd").mkdir(mode=stat.S_IRWXU, exist_ok=True)
    server = subprocess.Popen(["/usr/sbin/sshd", "-D", "-e", "-f", "/dev/null", "-p", str(port), "-h", str(tmp_path / "host"),
                               "-o", f"AuthorizedKeysFile={tmp_path}/authorized", "-o", "ListenAddress=127.0.0.1", "-o", "StrictModes=no",
                               "-o", f"PidFile={tmp_path}/sshd.pid", "-o", "UsePAM=no", "-o", "PermitRootLogin=yes"],
                              stderr=subprocess.DEVNULL)
    monkeypatch.setattr(store_access, "SSH", ("ssh", "-i", str(tmp_path / "user"), "-p", str(port), "-o", "StrictHostKeyChecking=no",
                                              "-o", "UserKnownHostsFile=/dev/null", "-o", "BatchMode=yes"))
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        with socket.socket() as probe:
            if not probe.connect_ex(("127.0.0.1", port)):
                break
    yield "root@127.0.0.1"
    server.terminate()
    server.wait()


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


def test_a_host_beyond_ssh(state_dir: Path, tree: Path, ssh_server: str) -> None:
    far = HostReference(id="h-2", name="far", address=ssh_server)
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
