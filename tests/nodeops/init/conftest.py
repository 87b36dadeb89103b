from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1]))
from throwaway import ThrowawayNode, make_node  # noqa: E402


@pytest.fixture
def node() -> Iterator[ThrowawayNode]:
    made = make_node()
    yield made
    made.close()
