"""What a program wrote before it closed a connection: a cut waits for it to be acknowledged, or names what it cuts off."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from models.spec import Lan, Shaping, Spec
from nodeops.checkpoint.closed_connections import sending
from nodeops.checkpoint.spool import Spool
from nodeops.conductor.client import ConductorClient
from nodeops.layout import InstanceLayout
from tests.nodeops.checkpoint.test_swap import start, swap_in, swap_out
from tests.nodeops.instances import Make, lan_spec, wait_until

TABLE = """  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0301010A:1388 00000000:0000 0A 00000000:00000001 00:00000000 00000000     0        0 8228071 2 0 100 0 0 10 0
   1: 0301010A:1388 0201010A:BA0C 04 00000009:00000000 01:00000000 00000000     0        0 0 1 0 20 4 30 10 -1
   2: 0301010A:1388 0201010A:BA0D 09 00000002:00000000 01:00000000 00000000     0        0 0 1 0 20 4 30 10 -1
   3: 0301010A:1388 0201010A:BA0E 04 00000001:00000000 01:00000000 00000000     0        0 0 1 0 20 4 30 10 -1
   4: 0301010A:1388 0201010A:BA0F 04 00000009:00000000 01:00000000 00000000     0        0 77 1 0 20 4 30 10 -1
   5: 010000FD000000000000000002000000:1388 010000FD000000000000000003000000:BA10 0B 00000009:00000000 01:00 0     0        0 0 1 0 20 4 30
"""
BYTES = 150_000
RECEIVE = """
import socket
listener = socket.create_server(('', 5000)); open('/listens', 'w').close(); peer, _ = listener.accept(); got = 0; end = 'whole'
try:
    while data := peer.recv(65536): got += len(data)
except OSError: end = 'reset'
open('/end.new', 'w').write(f'{got} {end}'); import os; os.rename('/end.new', '/end')
"""
SEND = f"""
import socket, time
peer = socket.create_connection(('b', 5000)); peer.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, {2 * BYTES})
peer.sendall(bytes({BYTES})); peer.close(); open('/closed', 'w').close(); time.sleep(1000)
"""


def test_what_nobody_holds_and_is_not_through_is_found() -> None:
    found = [f"tcp 10.1.1.3:5000 → 10.1.1.2:{port}" for port in (0xBA0C, 0xBA0D)]
    assert list(sending(TABLE)) == [*found, "tcp [fd00:1::2]:5000 → [fd00:1::3]:47632"]
    assert list(sending("")) == []


def slow() -> Spec:
    """More than a second for those bytes."""
    spec = lan_spec("a", "b")
    members = tuple(member.model_copy(update={"uplink": Shaping(bandwidth_bps=1_000_000)}) for member in spec.lans[0].members)
    return spec.model_copy(update={"lans": (Lan.model_validate(spec.lans[0].model_dump() | {"members": members}),)})


def one_closes(make: Make) -> InstanceLayout:
    layout = make(slow(), daemons=("wires", "conductor"))
    for node, program, name in (("b", RECEIVE, "listens"), ("a", SEND, "closed")):
        start(layout, node, program)
        wait_until((layout.node(node).upper / name).exists)
    return layout


@pytest.mark.timeout(60)
def test_what_will_soon_be_acknowledged_is_waited_for(make: Make, state_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    layout, spool = one_closes(make), Spool(state_dir / "spool" / "c-1")
    monkeypatch.setattr("nodeops.checkpoint.closed_connections.PATIENCE_S", 15.0)
    swap_out(layout, spool)
    swap_in(layout, spool)
    end = layout.node("b").upper / "end"
    wait_until(end.exists)
    assert end.read_text() == f"{BYTES} whole"


@pytest.mark.timeout(60)
def test_what_is_cut_off_is_named(make: Make, state_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    layout, spool = one_closes(make), Spool(state_dir / "spool" / "c-1")
    monkeypatch.setattr("nodeops.checkpoint.capture.await_acknowledged", lambda _inits: {"a": ["tcp 10.1.1.2:1 → 10.1.1.3:5000"]})
    swap_out(layout, spool)
    swap_in(layout, spool)
    with ConductorClient(layout) as conductor:
        said = [line.detail.get("text", "") for line in conductor.events()]
    assert any(re.match("a: these connections were closed .* end here: tcp 10.1.1.2:1 → 10.1.1.3:5000", str(text)) for text in said)
