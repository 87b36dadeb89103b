"""A small network with wires."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.bare_network import BareNetwork, lan, link
from models.spec import Shaping

HALF = Shaping(bandwidth_bps=10_000_000, delay_s=0.010)


@pytest.fixture
def network(tmp_path: Path) -> Iterator[BareNetwork]:
    """a - b unshaped (link1); a - c with HALF in each pipe (link2); a, b, c on lan3, whose downlinks delay by 1 ms."""
    lans = [link(1, "a", "b"), link(2, "a", "c", HALF, HALF), lan(3, ["a", "b", "c"], down=Shaping(delay_s=0.001))]
    with BareNetwork(tmp_path / "i-test", lans) as made:
        yield made
