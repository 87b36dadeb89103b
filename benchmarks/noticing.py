"""`noticing.c` in nodes of both kinds: built, started, and what it saw."""

from __future__ import annotations

import subprocess
import time
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Literal

from models.errors import TimedOut
from models.protocol.init import Output
from models.spec import Spec
from nodeops.init.client import InitClient
from nodeops.layout import INSIDE, InstanceLayout
from nodeops.reach import init_socket

SOURCE = Path(__file__).with_suffix(".c")
CLOCKS = ("CLOCK_MONOTONIC", "CLOCK_BOOTTIME", "CLOCK_REALTIME")
POLL_S, READINGS = 0.5, 30
NS = 1e9
VM_BYTES = 96 << 20
Kind = Literal["container", "vm"]


@dataclass(frozen=True)
class Wake:
    """The end of one 10 ms sleep. at_s: of the node's CLOCK_MONOTONIC; steps_ms: by each of CLOCKS, since the one before."""

    at_s: float
    steps_ms: tuple[float, ...]


@dataclass(frozen=True)
class Sent:
    """After one write. at_s: as above. again: segments sent again so far."""

    at_s: float
    bytes: int
    round_trip_ms: float
    window: int
    again: int


@dataclass(frozen=True)
class Received:
    """After one read. wrong: numbers that were lost, doubled or out of order so far."""

    at_s: float
    bytes: int
    wrong: int


def of_kind(spec: Spec, kind: Kind) -> Spec:
    """VMs have next to nothing in them."""
    if kind == "container":
        return spec
    small = {"kind": kind, "image": "tiny", "memory_bytes": VM_BYTES}
    return spec.model_copy(update={"nodes": tuple(node.model_copy(update=small) for node in spec.nodes)})


def build(directory: Path, kind: Kind) -> Path:
    """A directory to be an instance's datastore. Containers get it dynamic, so that it is shown the node's wall clock."""
    directory.mkdir()
    subprocess.run(["cc", "-O2", *(["-static"] if kind == "vm" else []), "-o", directory / "noticing", SOURCE], check=True)
    return directory


def start(layout: InstanceLayout, node: str, words: str, name: str) -> None:
    """What it sees will be in /NAME of the node."""
    program = f"{INSIDE}/datastore/noticing {words} /{name} > /{name}.out 2>&1 < /dev/null &"
    with init_socket(layout.node(node)) as path, InitClient(path) as client:
        client.run(f"trap '' HUP; {program}")


def written(layout: InstanceLayout, node: str, name: str, patience_s: float) -> list[list[int]]:
    """Its lines. Raises TimedOut."""
    deadline = time.monotonic() + patience_s
    while True:
        with init_socket(layout.node(node)) as path, InitClient(path) as client:
            done = client.run(f"cat /{name}")
            if done.code == 0:
                return [[int(word) for word in line.split()] for line in done.stdout.splitlines()]
            if time.monotonic() > deadline:
                raise TimedOut(f"/{name} was not written: {client.run(f'cat /{name}.out').stdout.decode()}", where=node)
        time.sleep(POLL_S)


def clocks(layout: InstanceLayout, node: str) -> tuple[int, list[int]]:
    """An instant of this host's CLOCK_MONOTONIC and what the node's clocks read then, in ns, as near as asking can tell."""
    readings = []
    with init_socket(layout.node(node)) as path, InitClient(path) as client:
        session = client.session([f"{INSIDE}/datastore/noticing", "clocks"])
        for _ in range(READINGS):
            before_ns = time.monotonic_ns()
            session.write(b"\n")
            line = next(event.data for event in client.events() if isinstance(event, Output))
            after_ns = time.monotonic_ns()
            readings.append((after_ns - before_ns, (before_ns + after_ns) // 2, [int(word) for word in line.split()]))
        session.end_input()
    return min(readings)[1:]


def segments_twice(layout: InstanceLayout, node: str) -> int:
    """That the node's TCP received although it had them, and said so (RFC 2883)."""
    with init_socket(layout.node(node)) as path, InitClient(path) as client:
        names, values = [line.split() for line in client.run("grep ^TcpExt: /proc/net/netstat").stdout.decode().splitlines()]
    counters = dict(zip(names, values, strict=True))
    return int(counters["TCPDSACKOldSent"]) + int(counters["TCPDSACKOfoSent"])


def wakes(lines: list[list[int]]) -> list[Wake]:
    return [Wake(after[0] / NS, tuple((late - early) / 1e6 for early, late in zip(before, after, strict=True)))
            for before, after in pairwise(lines)]


def sent(lines: list[list[int]]) -> list[Sent]:
    return [Sent(at / NS, size, round_trip / 1e3, window, again) for at, size, round_trip, window, again in lines]


def received(lines: list[list[int]]) -> list[Received]:
    return [Received(at / NS, size, wrong) for at, size, wrong in lines]
