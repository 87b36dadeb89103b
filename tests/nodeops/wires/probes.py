"""What tests ask of a network with wires."""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Callable
from subprocess import Popen

from benchmarks.bare_network import BareNetwork
from models.protocol.wires import ShownPipe

DEADLINE_S = 15
COUNT = """
import socket
server = socket.create_server(("", 5001))
print("up", flush=True)
connection, _ = server.accept()
total = 0
while data := connection.recv(1 << 20):
    total += len(data)
print(total)
"""
SEND = """
import socket, sys
connection = socket.create_connection((sys.argv[1], 5001))
connection.sendall(bytes(int(sys.argv[2])))
"""


def round_trip_ms(network: BareNetwork, node: str, address: str, count: int = 3) -> float | None:
    """The smallest of several, since other processes may delay some; None: no answer."""
    done = network.run(node, "ping", "-q", "-n", "-c", str(count), "-i", "0.05", "-W", "1", address)
    found = re.search(r"rtt min/avg/max/mdev = ([\d.]+)/", done.stdout)
    return float(found[1]) if found else None


def pipe_of(network: BareNetwork, lan: str, node: str, direction: str) -> ShownPipe:
    with network.client() as wires:
        return next(pipe for pipe in wires.show(lan, node) if pipe.direction == direction)


def program(network: BareNetwork, node: str, source: str, *arguments: str) -> Popen[bytes]:
    """A Python program that says `up` when it is ready; the caller waits for its end."""
    process = network.popen(node, sys.executable, "-c", source, *arguments)
    assert process.stdout
    assert process.stdout.readline() == b"up\n"
    return process


def transfer(network: BareNetwork, sender: str, receiver: str, address: str, size_bytes: int) -> int:
    """Send that much over TCP; returns what arrived."""
    sink = program(network, receiver, COUNT)
    network.run(sender, sys.executable, "-c", SEND, address, str(size_bytes))
    return int(sink.communicate(timeout=DEADLINE_S)[0])


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline, "nothing came of waiting"
        time.sleep(0.005)
