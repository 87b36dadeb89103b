"""What a flow that died in the middle of a swap leaves, and how `recover` brings it to rest; the flow's steps are taken one by one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from flows import load
from models.checkpoints import define_checkpoint
from models.database import writing
from models.leases import Lease
from models.protocol.host import ProgramEnded, RunProgram
from models.settings import settings
from models.states import InstanceState
from models.tables import Instance
from nodeops.session import HostSession
from tasks.checkpoints import capture_on_host, host_of, store_checkpoint
from tasks.restoring import fetch_checkpoint
from tasks.work import change, working_on


@pytest.fixture(autouse=True)
def _prefect(prefect_server: str, state_dir: Path) -> None:
    """Flows run in this process, against the session's server."""


def _capture(instance_id: str, lease: Lease) -> str:
    change(lease, instance_id, InstanceState.SWAPPING_OUT)
    with writing() as session:
        made = define_checkpoint(session, session.get_one(Instance, instance_id), created_by="test", purpose="swapout").id
    capture_on_host.fn(made, host_of(instance_id), str(lease))
    return made


@pytest.mark.timeout(300)
def test_each_step_of_a_swap_is_a_place_to_die(define: Callable[..., Instance], look: Callable[[str], Instance]) -> None:
    instance = define()
    load("instantiate")(instance.id)
    with working_on(instance.id, "swapout") as lease:
        _capture(instance.id, lease)
    load("recover")(instance.id)
    assert look(instance.id).state is InstanceState.UP
    with HostSession() as host:
        assert host.do("run", RunProgram(instance=instance.id, node="a", command="ping -c 1 -W 2 b"), ProgramEnded).code == 0

    with working_on(instance.id, "swapout") as lease:
        store_checkpoint.fn(_capture(instance.id, lease), str(lease))
    load("recover")(instance.id)
    assert look(instance.id).state is InstanceState.SWAPPED_OUT
    assert not list(settings().instances_dir.iterdir())

    with working_on(instance.id, "swapin") as lease:
        change(lease, instance.id, InstanceState.SWAPPING_IN)
        fetch_checkpoint.fn(instance.id)
    load("recover")(instance.id)
    assert look(instance.id).state is InstanceState.SWAPPED_OUT
    assert not list((settings().state_dir / "spool" / "checkpoints").iterdir())
    load("destroy")(instance.id)
    assert look(instance.id).state is InstanceState.DESTROYED
