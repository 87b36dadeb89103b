"""Connections that leave the experiment: named, told of when they end, closed when their node comes back."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from models.protocol.checkpoint import Life
from models.spec import Node
from nodeops.checkpoint.capture import capture
from nodeops.checkpoint.spool import Spool
from nodeops.conductor.client import ConductorClient
from nodeops.destroy import destroy
from nodeops.inspect import status
from nodeops.instance import holding
from tests.nodeops.checkpoint.test_swap import quiet, start, swap_in
from tests.nodeops.instances import Make, lan_spec, run, wait_until

PROGRAM = """
import socket
peer = socket.create_connection(('{host}', {port}), 5)
peer.sendall(b'x'); open('/connected', 'w').close()
try:
    peer.recv(1); said = 'closed in good order'
except OSError as error:
    said = error.strerror
open('/said.new', 'w').write(said)
import os; os.rename('/said.new', '/said')
"""


def _own_address() -> str:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect(("192.0.2.77", 9))
        return str(probe.getsockname()[0])


@pytest.mark.timeout(60)
def test_a_connection_to_the_outside_is_named_told_of_and_closed(make: Make, state_dir: Path) -> None:
    layout = make(lan_spec("a", "b", nodes={"a": Node(name="a", outside=True)}), daemons=("wires", "conductor"))
    spool, here = Spool(state_dir / "spool" / "c-1"), _own_address()
    with socket.create_server((here, 0)) as server:
        port = server.getsockname()[1]
        start(layout, "a", PROGRAM.format(host=here, port=port))
        peer, _ = server.accept()
        with peer:
            wait_until(lambda: (layout.node("a").upper / "connected").exists())
            (named,) = next(node.outside for node in status(layout).nodes if node.node == "a")
            assert named.startswith("tcp ") and named.endswith(f"→ {here}:{port}")
            with holding(layout, 1):
                capture(layout, Spool(state_dir / "spool" / "c-0"), Life(incarnation="test", epoch=0), quiet, live=True)
            assert next(node.outside for node in status(layout).nodes if node.node == "a") == (named,), "a live checkpoint disturbs nobody"
            with holding(layout, 1):
                capture(layout, spool, Life(incarnation="test", epoch=1), quiet)
            destroy(layout, 1)
            assert peer.recv(9) == b"x"
    swap_in(layout, spool)
    wait_until(lambda: (layout.node("a").upper / "said").exists())
    assert (layout.node("a").upper / "said").read_text() in ("Software caused connection abort", "Connection reset by peer")
    assert not next(node.outside for node in status(layout).nodes if node.node == "a")
    with ConductorClient(layout) as conductor:
        (line,) = [line for line in conductor.events() if line.kind == "log"]
    assert line.detail["text"].startswith("a: ") and f"{here}:{port}" in line.detail["text"]
    with socket.create_server((here, 0)) as server:
        again = f"python3 -S -c 'import socket; socket.create_connection((\"{here}\", {server.getsockname()[1]}), 5)'"
        assert run(layout, "a", again).code == 0, "its way outside is there again"
