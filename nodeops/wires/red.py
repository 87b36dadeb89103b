"""RED, the queue's choice of whom to drop before it is full.

Floyd and Jacobson, Random Early Detection Gateways for Congestion Avoidance (1993), with the parameters and the details of
ns-2's red.cc: the average is scaled by the packets that could have left while the link was idle; `gentle` (Floyd 2000) lets
the probability grow from max_p to 1 between max_threshold and twice that; `wait` spaces early drops by at least 1/p packets.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum

from models.protocol.wires import RedState
from models.spec import Queue

BIT_NS = 8 * 10**9  # nanoseconds per byte at 1 bit/s


class Verdict(Enum):
    KEEP, EARLY, FORCED = "keep", "early", "forced"


class RedQueue:
    """The average and the tally of one queue. Occupancies are in the queue's unit, packets or bytes, as are the thresholds then."""

    def __init__(self, queue: Queue, state: RedState | None = None):
        state = state or RedState()
        self.average, self.count, self.count_bytes, self.above = state.average, state.count, state.count_bytes, state.above
        self.configure(queue)

    def configure(self, queue: Queue) -> None:
        red = queue.red
        unit = red.mean_packet_size_bytes if queue.unit == "bytes" else 1
        self.red, self.low, self.high, self.max_p = red, red.min_threshold * unit, red.max_threshold * unit, 1 / red.linear_term

    def save(self) -> RedState:
        return RedState(average=self.average, count=self.count, count_bytes=self.count_bytes, above=self.above)

    def arrive(self, occupancy: int, idle_ns: int, rate_bps: int, size_bytes: int, draw: Callable[[], float]) -> Verdict:
        """What becomes of a frame that finds `occupancy` waiting and the link idle since idle_ns (0: busy).

        EARLY may be turned into a mark by the caller; FORCED may not. A frame that does not fit the queue is the caller's business,
        who then calls `dropped`.
        """
        red = self.red
        missed = idle_ns * rate_bps // (BIT_NS * red.mean_packet_size_bytes)
        self.average = self.average * (1 - red.weight) ** (missed + 1) + red.weight * occupancy
        self.count += 1
        self.count_bytes += size_bytes
        if self.average < self.low or occupancy <= 1:
            self.above = False
            return Verdict.KEEP
        if self.average >= (2 * self.high if red.gentle else self.high):
            self.dropped()
            return Verdict.FORCED
        if not self.above:
            self.count, self.count_bytes, self.above = 1, size_bytes, True
            return Verdict.KEEP
        if draw() <= self._probability(size_bytes):
            self.dropped()
            return Verdict.EARLY
        return Verdict.KEEP

    def dropped(self) -> None:
        self.count = self.count_bytes = 0

    def _probability(self, size_bytes: int) -> float:
        """ns-2's calculate_p_new and modify_p."""
        red = self.red
        if self.average >= self.high:
            p = (1 - self.max_p) / self.high * self.average + 2 * self.max_p - 1
        else:
            p = (self.average - self.low) / (self.high - self.low) * self.max_p
        p = min(p, 1.0)
        spaced = (self.count_bytes // red.mean_packet_size_bytes if red.byte_mode else self.count) * p
        if red.wait and spaced < 1:
            p = 0.0
        else:
            room = (2 if red.wait else 1) - spaced
            p = p / room if room > 0 else 1.0
        if red.byte_mode and p < 1:
            p = p * size_bytes / red.mean_packet_size_bytes
        return min(p, 1.0)
