"""Captures: of what an interface in a node sees, and of what the wires carry."""

from __future__ import annotations

import os
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path

from languages.nearest import nearest
from models.errors import HostProblem, NotFound
from models.protocol.wires import CaptureEnded
from nodeops.instance import layout_of
from nodeops.session import Here
from nodeops.wires.client import WiresClient
from swapbed.living.access import Access
from swapbed.present import units
from swapbed.present.output import note


def in_node(access: Access, node: str, interface: str, *, expression: str = "", count: int = 0,
            snap_bytes: int = 0) -> tuple[list[str], dict[str, str]]:
    """A command, and its environment, that writes pcapng to standard output until it is ended."""
    known = [member.interface for _, member in access.spec.memberships(access.node(node))]
    if interface not in (*known, "lo"):
        raise NotFound(f"node '{node}' has no interface '{interface}'", where=access.where.name, next=nearest(interface, [*known, "lo"]))
    transport = access.where.nodes[node]
    words = ["capture", access.instance_id, node, interface, "-f", expression, "-c", str(count), "-s", str(snap_bytes)]
    return transport.command(words), os.environ | transport.environment


def on_wire(access: Access, lan: str, member: str | None, write: Path | None, *, expression: str = "", snap_bytes: int = 0) -> None:
    """Until SIGINT or SIGTERM. What is captured is what the wires carry, with virtual times; to a file here, or standard output."""
    for node in {one.node for one in access.lan(lan).members}:
        if not isinstance(access.where.nodes[node], Here):
            raise HostProblem("the wire can be captured only on its own host", where=f"{lan} at {node}",
                              next="Capture NODE:INTERFACE instead.")
    with WiresClient(layout_of(access.instance_id)) as wires, _ends_as_interrupt():
        if write is not None:
            number = wires.capture_start(lan, write.resolve(), member=member, snap_bytes=snap_bytes, expression=expression)
            ended = _when_interrupted(signal.pause, wires, number)
        else:
            with _pipe() as (path, reading):
                number = wires.capture_start(lan, path, member=member, snap_bytes=snap_bytes, expression=expression)
                os.set_blocking(reading, True)
                ended = _when_interrupted(partial(_carry, reading), wires, number)
                _carry(reading)
    note(f"{units.count(ended.frames, 'frame')} captured{f', {ended.dropped} more dropped' if ended.dropped else ''}")


def _when_interrupted(act: Callable[[], object], wires: WiresClient, number: int) -> CaptureEnded:
    with suppress(KeyboardInterrupt, BrokenPipeError):
        act()
    return wires.capture_stop(number)


@contextmanager
def _pipe() -> Iterator[tuple[Path, int]]:
    """A named pipe and an fd that reads it already, for the wires refuse one that nobody reads."""
    with tempfile.TemporaryDirectory(prefix="swapbed-capture-") as directory:
        pipe = Path(directory) / "pipe"
        os.mkfifo(pipe, 0o600)
        reading = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
        try:
            yield pipe, reading
        finally:
            os.close(reading)


def _carry(reading: int) -> None:
    """To standard output, until the wires have closed the pipe."""
    while data := os.read(reading, 1 << 16):
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()


@contextmanager
def _ends_as_interrupt() -> Iterator[None]:
    """SIGTERM ends a capture as Ctrl-C does: with what is under way written."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
