"""Instances with a conductor and wires."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from models.protocol.conductor import StartRun
from models.spec import Spec
from nodeops.conductor.client import ConductorClient
from tests.nodeops.instances import Make

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture
def conduct(make: Make) -> Iterator[Callable[..., ConductorClient]]:
    """conduct(spec, begin=True, **fields of Create) → its conductor's client, run 1 begun."""
    opened: list[ConductorClient] = []

    def _conduct(spec: Spec, *, begin: bool = True, **fields: object) -> ConductorClient:
        layout = make(spec, **{"daemons": ("wires", "conductor"), **fields})
        opened.append(ConductorClient(layout, timeout_s=30))
        if begin:
            opened[-1].start_run(StartRun(number=1))
        return opened[-1]

    yield _conduct
    for client in opened:
        client.close()
