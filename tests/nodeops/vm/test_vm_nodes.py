"""VMs as nodes of an instance: beside containers in one LAN, with everything that a container node has."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from models.errors import Conflict
from models.protocol.host import ChangeNodes, InstanceStatus
from models.spec import Node
from nodeops.conductor.client import ConductorClient
from nodeops.init.client import InitClient
from nodeops.init.files import NodeFiles
from nodeops.layout import InstanceLayout
from nodeops.reach import init_identity, init_socket
from nodeops.session import HostSession
from nodeops.vm.machine import PORTS, MachineFiles
from tests.nodeops.instances import Make, lan_spec, run, wait_until

SMALL = 96 << 20


def vm(name: str, **fields: object) -> Node:
    return Node.model_validate({"name": name, "kind": "vm", "image": "tiny", "memory_bytes": SMALL, **fields})


@pytest.fixture
def datastore(state_dir: Path) -> Path:
    directory = state_dir / "template"
    (directory / "deep").mkdir(parents=True)
    (directory / "deep" / "file").write_text("from the datastore")
    return directory


@pytest.fixture
def mixed(make: Make, datastore: Path) -> InstanceLayout:
    return make(lan_spec("a", "v", nodes={"v": vm("v")}), daemons=("wires", "conductor"), datastore=str(datastore))


def test_a_vm_beside_a_container(mixed: InstanceLayout, session: HostSession, tmp_path: Path) -> None:
    assert run(mixed, "v", "ping -c 3 -i 0.2 a-net").code == 0
    assert run(mixed, "a", "ping -c 2 -i 0.2 v").code == 0
    assert run(mixed, "v", "ping -6 -c 1 fd00:1::2").code == 0
    assert run(mixed, "v", "hostname; cat $0", environment={}).stdout.split()[0] == b"v"
    assert run(mixed, "v", "cat /swapbed/datastore/deep/file").stdout == b"from the datastore"
    assert b"Linux" in run(mixed, "v", "uname").stdout
    assert run(mixed, "v", "uname -r").stdout != run(mixed, "a", "uname -r").stdout
    ended = run(mixed, "v", "cat >&2; exit 7", stdin=b"x" * 300_000)
    assert ended.code == 7 and len(ended.stderr) == 300_000
    with init_socket(mixed.node("v")) as path, InitClient(path) as client:
        files = NodeFiles(client)
        (tmp_path / "in").write_bytes(bytes(range(256)) * 5000)
        files.put(tmp_path / "in", "/root/there")
        files.get("/root/there", tmp_path / "out")
    assert (tmp_path / "out").read_bytes() == (tmp_path / "in").read_bytes()
    assert MachineFiles(mixed.node("v").root).console.exists()
    with ConductorClient(mixed) as conductor:
        wait_until(lambda: not conductor.hello().absent)
    # a session that breaks off in the middle of a word leaves no trace for the next ones, wherever they come in
    for number in range(1, PORTS):
        with socket.socket(socket.AF_UNIX) as rude:
            rude.connect(str(MachineFiles(mixed.node("v").root).port(number)))
            rude.sendall(b"\xff\x7f\0\0op=spawn")
    assert run(mixed, "v", "echo fine").stdout == b"fine\n"
    # killed and started again
    init_identity(mixed.node("v")).end()
    with pytest.raises(Conflict, match="dead"):
        run(mixed, "v", "true")
    session.do("restart_nodes", ChangeNodes(instance=mixed.root.name, nodes=("v",)), InstanceStatus)
    assert run(mixed, "a", "ping -c 1 -W 5 v").code == 0
