"""A node is such that CRIU, called directly, dumps and restores it: two of them with a TCP connection between them go on."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from models.protocol.host import ChangeDaemon, DaemonStatus
from models.routes import Routing
from models.settings import settings
from nodeops import cgroups, layer, node_files, node_network
from nodeops.init.client import InitClient
from nodeops.instance import read_spec
from nodeops.launch import forget_previous_mount, overlay_options
from nodeops.layout import InstanceLayout
from nodeops.linux import MS_NODEV, mount
from nodeops.masks import hidden_paths, masks
from nodeops.reach import Inits, init_identity, init_socket, open_network, read_inits
from nodeops.session import HostSession
from tests.nodeops.instances import Make, lan_spec, run, wait_until

SERVER = """
import socket, struct
listener = socket.create_server(('', 5000)); peer, _ = listener.accept(); expected, rest = 0, b''
while data := peer.recv(65536):
    rest += data; whole = len(rest) // 8 * 8
    for (value,) in struct.iter_unpack('<Q', rest[:whole]):
        if value != expected: open('/corrupt', 'w').write(f'{value} instead of {expected}')
        expected = value + 1
    rest = rest[whole:]; open('/received.new', 'w').write(str(expected)); __import__('os').rename('/received.new', '/received')
"""
CLIENT = """
import socket, struct, time
while True:
    try: peer = socket.create_connection(('b', 5000)); break
    except OSError: time.sleep(.05)
number = 0
while True:
    peer.sendall(struct.pack('<100Q', *range(number, number + 100))); number += 100; time.sleep(.005)
"""


def start(layout: InstanceLayout, node: str, program: str) -> None:
    """Not ended by the hang-up that its `exec` session ends with."""
    run(layout, node, "trap '' HUP; cat > /program.py; python3 -S /program.py > /out 2>&1 < /dev/null &", stdin=program.encode())


def received(layout: InstanceLayout) -> int:
    path = layout.node("b").upper / "received"
    return int(path.read_text()) if path.exists() else 0


def criu(*arguments: str, images: Path, **options: Any) -> None:
    common = ("-D", images, "-o", "log", "-v2", "--tcp-established", "--file-locks", "--link-remap", "--manage-cgroups=ignore",
              "--network-lock", "skip")
    done = subprocess.run([settings().criu, *arguments, *common], stdin=subprocess.DEVNULL, capture_output=True, **options)
    assert done.returncode == 0, (images / "log").read_text()[-3000:]


def dump(layout: InstanceLayout, node: str, images: Path) -> None:
    images.mkdir()
    network = open_network(layout.node(node))
    try:
        inode = os.fstat(network).st_ino
    finally:
        os.close(network)
    criu("dump", "-t", str(init_identity(layout.node(node)).pid), "--external", f"net[{inode}]:net", "--freeze-cgroup",
         str(cgroups.node_cgroup(layout.root.name, node)), images=images)


def restore(layout: InstanceLayout, node: str, network: int, images: Path) -> None:
    """On a fresh overlay of the same upper layer, in a network namespace made anew."""
    spec = read_spec(layout)
    part = spec.node(node)
    joining = os.open(cgroups.node_cgroup(layout.root.name, node) / "cgroup.procs", os.O_WRONLY)
    forget_previous_mount(layout.node(node))
    files = node_files.files_of(spec, Routing(spec), [part])
    with layer.mounted(layout, Path("/"), masks(hidden_paths(settings())), files, 0) as layers:
        mount("overlay", layers.mount_point, "overlay", MS_NODEV, overlay_options(layout.node(node), layers.of(node)))
        criu("restore", "-d", "--root", str(layers.mount_point), "--inherit-fd", f"fd[{network}]:net", "--pidfile", str(images / "pid"),
             images=images, pass_fds=[network], preexec_fn=lambda: os.write(joining, b"0") and None)
    os.close(joining)
    pid = int((images / "pid").read_text())
    layout.inits.write_text(Inits(nodes=read_inits(layout) | {node: init_identity(layout.node(node)).of(pid)}).model_dump_json())


@pytest.mark.timeout(60)
def test_two_nodes_and_their_connection_survive_dump_and_restore(make: Make, session: HostSession, tmp_path: Path) -> None:
    layout = make(lan_spec("a", "b"), daemons=("wires",))
    wires = ChangeDaemon(instance=layout.root.name, daemon="wires", fence=1)
    start(layout, "b", SERVER)
    start(layout, "a", CLIENT)
    wait_until(lambda: received(layout) > 1000)

    session.do("stop_daemon", wires, DaemonStatus)
    for node in ("a", "b"):
        with init_socket(layout.node(node)) as path:
            InitClient(path).quiesce()
        cgroups.freeze(cgroups.node_cgroup(layout.root.name, node), True)
    for node in ("a", "b"):
        dump(layout, node, tmp_path / node)
        cgroups.freeze(cgroups.node_cgroup(layout.root.name, node), False)
    before = received(layout)
    assert not any(identity.alive() for identity in read_inits(layout).values())

    spec = read_spec(layout)
    networks = node_network.build(node_network.plan(spec, ["a", "b"], Routing(spec)))
    for node in ("a", "b"):
        restore(layout, node, networks[node], tmp_path / node)
        os.close(networks[node])
    session.do("start_daemon", wires, DaemonStatus)

    wait_until(lambda: received(layout) > before + 1000)
    assert not (layout.node("b").upper / "corrupt").exists()
    assert run(layout, "a", "hostname").stdout == b"a\n"
