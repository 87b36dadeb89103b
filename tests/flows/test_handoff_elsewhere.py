"""A handoff on a host that is reached over SSH, of an instance that was swapped out elsewhere."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from flows import load
from models.database import writing
from models.errors import HostProblem
from models.hosts import find_host
from models.states import HostState, InstanceState
from models.tables import Instance
from tests.flows.test_other_hosts import EXPERIMENT, chosen, far_hosts, goes_on, spooled, up, where

__all__ = ["far_hosts", "up"]
pytestmark = [pytest.mark.usefixtures("prefect_server", "far_hosts"), pytest.mark.timeout(300)]


def test_there_and_back_on_the_host_of_the_one_that_leaves(up: Instance, define: Callable[..., Instance], far_hosts: dict[str, Path],
                                                           look: Callable[[str], Instance], until: Callable[..., None]) -> None:
    other = chosen(define(EXPERIMENT), "here")
    load("instantiate")(other.id)
    load("swapout")(other.id)
    before = goes_on(up, until)
    drain(True)
    with pytest.raises(HostProblem, match="far: the host is drained"):
        load("handoff")(up.id, other.id)
    assert look(up.id).state is InstanceState.UP and look(other.id).state is InstanceState.SWAPPED_OUT
    drain(False)
    load("handoff")(up.id, other.id)
    assert look(up.id).state is InstanceState.SWAPPED_OUT and where(up) == set() and where(other) == {"far"}
    assert not any(spooled(place) for place in far_hosts.values()) and len(list(far_hosts["far"].glob("instances/*"))) == 1
    goes_on(other, until)
    load("handoff")(other.id, up.id)
    assert where(up) == {"far"} and not any(spooled(place) for place in far_hosts.values())
    assert goes_on(up, until) > before
    load("destroy")(other.id)


def drain(drained: bool) -> None:
    with writing() as session:
        find_host(session, "far").state = HostState.DRAINED if drained else HostState.UP
