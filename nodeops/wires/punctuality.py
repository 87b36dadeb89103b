"""How late a pipe's frames really left, and how fast: what a summary states as achieved beside what was requested."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from models.protocol.wires import LATE_STEP_NS, Punctuality

STEP_BITS = LATE_STEP_NS.bit_length() - 1
WORST_STEP = 1 << 16  # half a second and more is one bucket
BIT_NS = 8 * 10**9


class Record:
    """Counted per batch of departures, since it runs for every frame."""

    def __init__(self, state: Punctuality | None = None):
        state = state or Punctuality()
        self._histogram = Counter(state.histogram)
        self._total_ns, self._worst_ns = state.total_ns, state.worst_ns
        self._paced_bytes, self._paced_ns = state.paced_bytes, state.paced_ns
        self._last_due_ns: int | None = None
        self._last_left_ns = 0

    def left(self, now_ns: int, batch: Sequence[tuple[int, bytes, int, int]], size_bytes: int, rate_bps: int) -> None:
        """A batch left now. rate_bps: what paces it; 0: nothing, or jitter hides it.

        Frames due one transmission time apart left a saturated link: their bytes over the time between really leaving are its rate.
        """
        steps = [now_ns - departure[0] >> STEP_BITS for departure in batch]
        worst = now_ns - batch[0][0]
        if worst > self._worst_ns:
            self._worst_ns = worst
            if steps[0] > WORST_STEP:
                steps = [min(step, WORST_STEP) for step in steps]
        self._histogram.update(steps)
        self._total_ns += len(batch) * now_ns - sum([departure[0] for departure in batch])
        if not rate_bps:
            return
        due, _, first_bytes, _ = batch[0]
        if self._last_due_ns is not None and (due - self._last_due_ns - 1) * rate_bps <= first_bytes * BIT_NS:
            self._paced_ns += now_ns - self._last_left_ns
            self._paced_bytes += size_bytes
        self._last_due_ns, self._last_left_ns = batch[-1][0], now_ns

    def rate_changed(self) -> None:
        """What was measured at the old rate says nothing of the new one."""
        self._last_due_ns = None
        self._paced_bytes = self._paced_ns = 0

    def save(self) -> Punctuality:
        return Punctuality(histogram=dict(self._histogram), total_ns=self._total_ns, worst_ns=self._worst_ns,
                           paced_bytes=self._paced_bytes, paced_ns=self._paced_ns)
