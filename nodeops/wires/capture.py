"""Frames seen at places of the wires, written as pcapng with nanoseconds of virtual time.

IETF draft-ietf-opsawg-pcapng. One interface block per place; `outbound` is what the node sends, stamped when it enters its
uplink, `inbound` what it gets, stamped when it leaves its downlink. The file's comment says which wall-clock time virtual zero was.
"""

from __future__ import annotations

import errno
import os
import stat
import struct
import time
from collections.abc import Iterable
from pathlib import Path

from models.errors import HostProblem
from nodeops.wires.filter import KernelFilter, Program
from nodeops.wires.frames import HEADER_BYTES
from nodeops.wires.pipe import Timed
from nodeops.wires.place import Place

SECTION, INTERFACE, PACKET = 0x0A0D0D0A, 1, 6
END, COMMENT, NAME, RESOLUTION, FLAGS, APPLICATION = 0, 1, 2, 9, 2, 4
LINKTYPE_ETHERNET = 1
INBOUND, OUTBOUND = 1, 2
NANOSECONDS = 9
PENDING_LIMIT_BYTES = 64 << 20  # what a slow reader of a pipe may leave unread before frames are dropped from the capture
FLUSH_BYTES = 1 << 16


class Capture:
    """Open until `close` or until its reader goes away (`broken`). zero_ns: the virtual time written as 0, such as a run's begin."""

    def __init__(self, path: Path, places: Iterable[Place], *, snap_bytes: int = 0, program: Program = (), zero_ns: int = 0,
                 now_ns: int = 0):
        self.path, self.places = path, tuple(places)
        self.frames = self.dropped = 0
        self.broken = False
        self._snap, self._zero_ns = snap_bytes or 1 << 18, zero_ns
        self._filter = KernelFilter(program) if program else None
        self._index = {id(place): index for index, place in enumerate(self.places)}
        self._pending = bytearray()
        try:
            self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | os.O_NONBLOCK, 0o600)
        except OSError as error:
            if error.errno == errno.ENXIO:
                raise HostProblem("nobody reads this named pipe", where=str(path)) from error
            raise HostProblem(f"cannot write the capture: {error.strerror}", where=str(path)) from error
        if stat.S_ISREG(os.fstat(self._fd).st_mode):
            os.ftruncate(self._fd, 0)
        self._begin(time.time_ns() - (now_ns - zero_ns))
        self.flush()

    def sent(self, place: Place, arrivals: Iterable[Timed]) -> None:
        for at, frame, _, _ in arrivals:
            self._packet(place, at, frame, OUTBOUND)

    def received(self, place: Place, departures: Iterable[Timed], now_ns: int) -> None:
        for _, frame, _, _ in departures:
            self._packet(place, now_ns, frame, INBOUND)

    def flush(self) -> None:
        """Write what the file takes now; a regular file takes all."""
        try:
            while self._pending:
                del self._pending[:os.write(self._fd, self._pending)]
        except BlockingIOError:
            pass
        except OSError:
            self.broken = True
            self._pending.clear()

    def close(self) -> None:
        self.flush()
        os.close(self._fd)
        if self._filter:
            self._filter.close()

    def _begin(self, wall_zero_ns: int) -> None:
        wall = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(wall_zero_ns // 10**9)) + f".{wall_zero_ns % 10**9:09d}Z"
        comment = f"virtual time; its zero was {wall} by the host's wall clock"
        options = _option(COMMENT, comment.encode()) + _option(APPLICATION, b"swapbed wires")
        self._block(SECTION, struct.pack("<IHHq", 0x1A2B3C4D, 1, 0, -1) + options + _option(END, b""))
        for place in self.places:
            name = f"{place.lan}:{place.member.node}:{place.member.interface}".encode()
            options = _option(NAME, name) + _option(RESOLUTION, bytes([NANOSECONDS])) + _option(END, b"")
            self._block(INTERFACE, struct.pack("<HHI", LINKTYPE_ETHERNET, 0, self._snap) + options)

    def _packet(self, place: Place, at_ns: int, frame: bytes, direction: int) -> None:
        data = frame[HEADER_BYTES:]
        kept = self._filter.keeps(data) if self._filter else data
        if kept is None or self.broken:
            return
        if len(self._pending) > PENDING_LIMIT_BYTES:
            self.dropped += 1
            return
        kept = kept[:self._snap]
        stamp = max(0, at_ns - self._zero_ns)
        body = struct.pack("<IIIII", self._index[id(place)], stamp >> 32, stamp & 0xFFFFFFFF, len(kept), len(data)) + _padded(kept)
        self._block(PACKET, body + _option(FLAGS, struct.pack("<I", direction)) + _option(END, b""))
        self.frames += 1
        if len(self._pending) > FLUSH_BYTES:
            self.flush()

    def _block(self, kind: int, body: bytes) -> None:
        length = struct.pack("<I", len(body) + 12)
        self._pending += struct.pack("<I", kind) + length + body + length


def _option(code: int, value: bytes) -> bytes:
    return struct.pack("<HH", code, len(value)) + _padded(value)


def _padded(value: bytes) -> bytes:
    return value + bytes(-len(value) % 4)
