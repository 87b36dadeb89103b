"""Instances on this host, made and unmade through a host agent's session."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest

from models.protocol.host import ChangeInstance, Create, InstanceStatus
from models.spec import Spec
from nodeops.instance import layout_of
from nodeops.layout import InstanceLayout
from nodeops.session import Here, HostSession
from tests.nodeops.instances import Make, assert_nothing_left


@pytest.fixture
def session(state_dir: Path) -> Iterator[HostSession]:
    with HostSession(Here()) as opened:
        yield opened


@pytest.fixture
def make(session: HostSession) -> Iterator[Make]:
    """make(spec, **fields of Create) → layout. Without wires unless asked for; destroyed afterwards, and then nothing may be left."""
    made: list[InstanceLayout] = []

    def _make(spec: Spec, **fields: object) -> InstanceLayout:
        wanted = Create.model_validate({"instance": f"i-{secrets.token_hex(5)}", "name": "test", "spec": spec, "daemons": (), **fields})
        made.append(layout_of(wanted.instance))
        session.do("create", wanted, InstanceStatus)
        return made[-1]

    yield _make
    for layout in made:
        session.call("destroy", ChangeInstance(instance=layout.root.name, fence=1 << 40))
        assert_nothing_left(layout)
