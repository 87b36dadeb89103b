"""Frames seen at places of the wires, written as pcapng with nanoseconds of virtual time.

One interface block per place; `outbound` is what the node sends, stamped when it enters its uplink, `inbound` what it gets,
stamped when it leaves its downlink. The file's comment says which wall-clock time virtual zero was.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from pathlib import Path

from nodeops import pcapng
from nodeops.wires.filter import Program
from nodeops.wires.frames import HEADER_BYTES
from nodeops.wires.observer import Observer
from nodeops.wires.pipe import Timed
from nodeops.wires.place import Place

WHOLE_BYTES = 1 << 18
UNWRITTEN_LIMIT_BYTES = 64 << 20  # what a slow reader may leave before frames are dropped from the capture
PIECE_BYTES = 1 << 16


class Capture(Observer):
    """sent_only: not what nodes get."""

    def __init__(self, path: Path, places: Iterable[Place], *, snap_bytes: int = 0, program: Program = (), zero_ns: int = 0,
                 now_ns: int = 0, sent_only: bool = False):
        super().__init__(path, places, program, zero_ns)
        self.dropped = 0
        self._sent_only = sent_only
        self._snap = snap_bytes or WHOLE_BYTES
        self._index = {id(place): index for index, place in enumerate(self.places)}
        self._pending = bytearray(pcapng.section(_comment(time.time_ns() - (now_ns - zero_ns)), "swapbed wires"))
        for place in self.places:
            self._pending += pcapng.interface(str(place), self._snap)
        self.flush()

    def sent(self, place: Place, arrivals: Iterable[Timed]) -> None:
        for at, frame, _, _ in arrivals:
            self._packet(place, at, frame, pcapng.OUTBOUND)

    def received(self, place: Place, departures: Iterable[Timed], now_ns: int) -> None:
        if not self._sent_only:
            for _, frame, _, _ in departures:
                self._packet(place, now_ns, frame, pcapng.INBOUND)

    def flush(self) -> None:
        if self._pending:
            self._file.put(bytes(self._pending))
            self._pending.clear()

    def _packet(self, place: Place, at_ns: int, frame: bytes, direction: int) -> None:
        if not self._passes(frame):
            return
        if self._file.pending_bytes > UNWRITTEN_LIMIT_BYTES:
            self.dropped += 1
            return
        data = frame[HEADER_BYTES:]
        self._pending += pcapng.packet(self._index[id(place)], max(0, at_ns - self._zero_ns), data[:self._snap], len(data), direction)
        self.frames += 1
        if len(self._pending) > PIECE_BYTES:
            self.flush()


def _comment(wall_zero_ns: int) -> str:
    wall = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(wall_zero_ns // 10**9)) + f".{wall_zero_ns % 10**9:09d}Z"
    return f"virtual time; its zero was {wall} by the host's wall clock"
