"""How long a restore is planned to take: learnt from the last ones, never from machines alone, and from nothing that cannot be read."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nodeops.checkpoint import pace

pytestmark = pytest.mark.usefixtures("state_dir")
MEGABYTE = 10**6


def test_a_host_that_has_restored_nothing_yet_is_taken_for_a_slow_one() -> None:
    assert pace.planned_ns(10, 150 * MEGABYTE) == pace.slow_ns(10, 150 * MEGABYTE)


def test_the_slowest_of_the_last_ones_counts_with_room() -> None:
    for share in (0.2, 0.5, 0.3):
        pace.remember(10, 150 * MEGABYTE, round(share * pace.slow_ns(10, 150 * MEGABYTE)))
    assert pace.planned_ns(50, 0) == pytest.approx(0.5 * pace.ROOM * pace.slow_ns(50, 0))


def test_one_bad_day_is_forgotten() -> None:
    pace.remember(2, 0, 10 * pace.slow_ns(2, 0))
    for _ in range(pace.REMEMBERED):
        pace.remember(2, 0, pace.slow_ns(2, 0) // 4)
    assert pace.planned_ns(2, 0) < pace.slow_ns(2, 0)


def test_machines_alone_teach_nothing() -> None:
    pace.remember(0, 0, 1)
    assert pace.planned_ns(10, 0) == pace.slow_ns(10, 0)


def test_what_cannot_be_read_is_as_if_it_was_not_there(state_dir: Path) -> None:
    pace.remember(2, 0, 1)
    (file,) = state_dir.iterdir()
    file.write_bytes(b"{")
    assert pace.planned_ns(2, 0) == pace.slow_ns(2, 0)
    pace.remember(2, 0, pace.slow_ns(2, 0) // 2)
    assert pace.planned_ns(2, 0) < pace.slow_ns(2, 0)


@given(st.integers(0, 200), st.integers(0, 10**11), st.integers(1, 200))
def test_more_to_restore_is_never_planned_shorter(nodes: int, size_bytes: int, more: int) -> None:
    assert pace.slow_ns(nodes, size_bytes) < pace.slow_ns(nodes + more, size_bytes) < pace.slow_ns(nodes + more, size_bytes + more)
