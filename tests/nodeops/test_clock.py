"""The virtual clock: what is late in standing still has read no later time."""

from __future__ import annotations

import time

from hypothesis import given
from hypothesis import strategies as st

from nodeops.clock import ClockState, VirtualClock

HOUR_NS = 3600 * 10**9


@given(lived_ns=st.integers(10**9, HOUR_NS), ago_ns=st.integers(0, 10**9))
def test_nothing_is_read_beyond_the_instant_at_which_it_ends(lived_ns: int, ago_ns: int) -> None:
    now_ns = time.monotonic_ns()
    clock = VirtualClock(ClockState(origin_ns=now_ns - lived_ns))
    clock.end_at(now_ns - ago_ns)
    assert clock.now_ns() == lived_ns - ago_ns == clock.suspend(now_ns - ago_ns) == clock.now_ns()
    clock.resume(now_ns)
    assert clock.at_ns(now_ns + 5) == lived_ns - ago_ns + 5 and clock.now_ns() >= lived_ns - ago_ns


def test_until_then_it_runs() -> None:
    clock = VirtualClock()
    clock.end_at(time.monotonic_ns() + HOUR_NS)
    first_ns = clock.now_ns()
    assert first_ns < clock.now_ns() < HOUR_NS


def test_before_the_instant_at_which_it_goes_on_it_stands_still() -> None:
    clock = VirtualClock(ClockState(origin_ns=0, frozen_ns=HOUR_NS))
    clock.resume(time.monotonic_ns() + HOUR_NS)
    assert clock.now_ns() == HOUR_NS == clock.now_ns()
