"""Watching one interface of a node, or a LAN, as pcapng on a stream, until interrupted, or until so many frames or the reader has gone.

An interface on a LAN is watched by the wires, at its other end: there time is virtual, and nothing in the node has to run. Others (lo,
the way outside, what the experiment made itself) are watched with a packet socket in the node's network namespace, in wall-clock time.
"""

from __future__ import annotations

import os
import select
import signal
import socket
import struct
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from models.errors import NotFound
from models.spec import Spec
from nodeops import cgroups, pcapng
from nodeops.instance import read_spec
from nodeops.layout import InstanceLayout, NodeLayout
from nodeops.linux import network_namespace
from nodeops.reach import open_network
from nodeops.wires.client import WiresClient
from nodeops.wires.filter import Program, attach_filter, compile_filter

ETH_P_ALL = 3
WHOLE_BYTES = 1 << 18
PIECE_BYTES = 1 << 16
BLOCK = struct.Struct("<II")


class _Interrupted(Exception):
    pass


def capture(node: NodeLayout, interface: str, out: BinaryIO, *, expression: str = "", count: int = 0, snap_bytes: int = 0) -> int:
    """Returns an exit code. expression: tcpdump's language; count: frames, 0 for no end; snap_bytes: 0 keeps whole frames."""
    lan = lan_of(read_spec(node.instance), node.name, interface)
    if lan is not None:
        return capture_lan(node.instance, lan, out, member=f"{node.name}:{interface}", expression=expression, count=count,
                           snap_bytes=snap_bytes)
    with _until_interrupted(node.instance):
        _watch_socket(node, interface, out, compile_filter(expression) if expression else (), count, snap_bytes or WHOLE_BYTES)
    return 0


def capture_lan(layout: InstanceLayout, lan: str, out: BinaryIO, *, member: str | None = None, expression: str = "", count: int = 0,
                snap_bytes: int = 0) -> int:
    """What the wires see at all members of a LAN, or at one."""
    with _until_interrupted(layout), WiresClient(layout) as wires, tempfile.TemporaryDirectory(prefix="capture-", dir=layout.root) as own:
        pipe = Path(own) / "pipe"
        os.mkfifo(pipe, 0o600)
        reading = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        number = wires.capture_start(lan, pipe, member=member, snap_bytes=snap_bytes, expression=expression)
        try:
            _copy(reading, out, count)
        finally:
            os.close(reading)
            wires.capture_stop(number)
    return 0


def lan_of(spec: Spec, node: str, interface: str) -> str | None:
    return next((lan.name for lan, member in spec.memberships(node) if member.interface == interface), None)


@contextmanager
def _until_interrupted(layout: InstanceLayout) -> Iterator[None]:
    """SIGINT and SIGTERM end what is within, as does a reader that has gone.

    This process ends with the instance: it may hold a network namespace.
    """
    (cgroups.daemon_cgroup(layout.root.name, cgroups.HELPERS) / "cgroup.procs").write_text("0")

    def interrupt(*_: object) -> None:
        raise _Interrupted

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, interrupt)
    try:
        yield
    except (_Interrupted, BrokenPipeError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # what is still buffered has nowhere to go
    finally:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)


def _copy(reading: int, out: BinaryIO, count: int) -> None:
    """Whole blocks, so that what is cut off is still a file; ends after so many packets, or with the wires."""
    poll, pending, packets = select.poll(), bytearray(), 0
    poll.register(reading, select.POLLIN)
    while poll.poll():
        data = os.read(reading, PIECE_BYTES)
        if not data:
            return
        pending += data
        at = 0
        while len(pending) - at >= BLOCK.size:
            kind, length = BLOCK.unpack_from(pending, at)
            if len(pending) - at < length:
                break
            out.write(pending[at:at + length])
            at += length
            packets += kind == pcapng.PACKET
            if count and packets >= count:
                out.flush()
                return
        del pending[:at]
        out.flush()


def _watch_socket(node: NodeLayout, interface: str, out: BinaryIO, program: Program, count: int, snap_bytes: int) -> None:
    namespace = open_network(node)
    try:
        with network_namespace(namespace):
            watch = socket.socket(socket.AF_PACKET, socket.SOCK_RAW | socket.SOCK_CLOEXEC, 0)
            try:
                if program:
                    attach_filter(watch, program)
                watch.bind((interface, ETH_P_ALL))
            except OSError as error:
                raise NotFound(f"cannot watch '{interface}': {error.strerror}", where=node.name) from error
    finally:
        os.close(namespace)
    out.write(pcapng.section("wall-clock time", "swapbed") + pcapng.interface(f"{node.name}:{interface}", snap_bytes))
    out.flush()
    frames = 0
    with watch:
        while not count or frames < count:
            frame, (_, _, kind, _, _) = watch.recvfrom(WHOLE_BYTES)
            if kind == socket.PACKET_OUTGOING and interface == "lo":
                continue  # the loopback device shows every frame twice
            direction = pcapng.OUTBOUND if kind == socket.PACKET_OUTGOING else pcapng.INBOUND
            out.write(pcapng.packet(0, time.time_ns(), frame[:snap_bytes], len(frame), direction))
            out.flush()
            frames += 1
