"""How much passed places of the wires, second by second of virtual time, as CSV: what a trace of the kind `monitor` writes.

    second,node,sent_frames,sent_bytes,received_frames,received_bytes

A line for each place at which anything passed in that second. Sent counts when it enters the uplink, received when it leaves the
downlink; bytes are those of Ethernet frames without FCS.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from nodeops.wires.filter import Program
from nodeops.wires.observer import Observer
from nodeops.wires.pipe import Timed
from nodeops.wires.place import Place

HEADING = b"second,node,sent_frames,sent_bytes,received_frames,received_bytes\n"
SECOND_NS = 10**9
SENT, RECEIVED = 0, 2  # where in a line's numbers


class Counting(Observer):
    """None is ever dropped."""

    def __init__(self, path: Path, places: Iterable[Place], *, program: Program = (), zero_ns: int = 0):
        super().__init__(path, places, program, zero_ns)
        self._file.put(HEADING)
        self._second = 0
        self._counts: dict[str, list[int]] = {}

    def sent(self, place: Place, arrivals: Iterable[Timed]) -> None:
        for at_ns, frame, size, packets in arrivals:
            self._count(place, at_ns, frame, size, packets, SENT)

    def received(self, place: Place, departures: Iterable[Timed], now_ns: int) -> None:
        for _, frame, size, packets in departures:
            self._count(place, now_ns, frame, size, packets, RECEIVED)

    def flush(self) -> None:
        """A second is written when it is over: when something passes in a later one, or at the end."""

    def end(self) -> None:
        self._write()
        super().end()

    def _count(self, place: Place, at_ns: int, frame: bytes, size: int, packets: int, which: int) -> None:
        if not self._passes(frame):
            return
        second = max(self._second, (at_ns - self._zero_ns) // SECOND_NS)
        if second != self._second:
            self._write()
            self._second = second
        counts = self._counts.setdefault(place.member.node, [0, 0, 0, 0])
        counts[which] += packets
        counts[which + 1] += size
        self.frames += packets

    def _write(self) -> None:
        lines = (f"{self._second},{node},{','.join(map(str, counts))}\n" for node, counts in sorted(self._counts.items()))
        if self._counts:
            self._file.put("".join(lines).encode())
        self._counts = {}
