"""The virtual clock of an instance on one host: CLOCK_MONOTONIC less the time before its birth and the time suspended.

Wires and conductor of one instance share it by being told the same `origin_ns`; neither reads the host's wall clock for
anything but display.
"""

from __future__ import annotations

import time

from models.protocol.control import Message


class ClockState(Message):
    """Running: virtual = CLOCK_MONOTONIC - origin_ns. Standing still: virtual = frozen_ns."""

    origin_ns: int
    frozen_ns: int | None = None


class VirtualClock:
    """Seconds the instance has lived. Integers of nanoseconds inside, so that twenty swaps do not drift."""

    def __init__(self, state: ClockState | None = None):
        self.state = state or ClockState(origin_ns=time.monotonic_ns())
        self._first_ns = 0
        self._last_ns: int | None = None

    def now_ns(self) -> int:
        now_ns = max(self.at_ns(time.monotonic_ns()), self._first_ns)
        return now_ns if self._last_ns is None else min(now_ns, self._last_ns)

    def end_at(self, monotonic_ns: int) -> None:
        """It will be suspended at that instant: who comes to do so late has not read later times meanwhile."""
        self._last_ns = self.at_ns(monotonic_ns)

    def at_ns(self, monotonic_ns: int) -> int:
        """Virtual time at an instant of this host's CLOCK_MONOTONIC."""
        return self.state.frozen_ns if self.state.frozen_ns is not None else monotonic_ns - self.state.origin_ns

    def now_s(self) -> float:
        return self.now_ns() / 1e9

    def monotonic_ns(self, virtual_ns: int) -> int:
        """The instant of this host's CLOCK_MONOTONIC at which a running clock reads virtual_ns."""
        return virtual_ns + self.state.origin_ns

    def suspend(self, monotonic_ns: int | None = None) -> int:
        """Stand still from that instant (default: now) on; returns the virtual time of it. Suspending twice changes nothing."""
        frozen = self.at_ns(time.monotonic_ns() if monotonic_ns is None else monotonic_ns)
        self.state = ClockState(origin_ns=self.state.origin_ns, frozen_ns=frozen)
        self._last_ns = None
        return frozen

    def resume(self, monotonic_ns: int | None = None) -> None:
        """Run on from the frozen reading, from that instant (default: now) on; until then it is what is read."""
        if self.state.frozen_ns is not None:
            self._first_ns = self.state.frozen_ns
            start = time.monotonic_ns() if monotonic_ns is None else monotonic_ns
            self.state = ClockState(origin_ns=start - self.state.frozen_ns)
