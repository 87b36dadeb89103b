"""Flows that swap and save are killed after each of their steps; `recover` then brings the experiment back, or out, and always intact."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path

import pytest

from flows import load
from models.checkpoints import checkpoints_of
from models.database import reading
from models.instances import instance_by_id
from models.settings import settings
from models.states import CheckpointState, InstanceState
from models.tables import Instance
from storage.roots import RootKind
from storage.store import Store
from tests.flows.dying import dies, steps
from tests.flows.test_checkpoint import assert_goes_on
from tests.flows.test_swap import EXPERIMENT, spooled

WITH_MACHINE = EXPERIMENT.replace("b: {}", "b: {kind: vm, image: tiny, memory: 96MB}")
UNDOING = ("resume_in_place", "back_to_swapped_out")  # called only when something else goes wrong
WITHIN = {"swapout": [("tasks.checkpoints:transition", 1), ("tasks.checkpoints:transition", 2)],
          "swapin": [("tasks.restoring:go_back", 1)], "checkpoint": []}  # in transactions that are never committed
REST = {"swapout": InstanceState.UP, "swapin": InstanceState.SWAPPED_OUT, "checkpoint": InstanceState.UP}


@pytest.fixture(autouse=True)
def _prefect(prefect_server: str, state_dir: Path) -> None:
    """`recover` runs in this process, against the session's server."""


@pytest.fixture
def up(define: Callable[..., Instance]) -> Iterator[Instance]:
    instance = define(WITH_MACHINE)
    load("instantiate")(instance.id)
    yield instance
    load("destroy")(instance.id)
    assert not list(settings().instances_dir.iterdir()) and not spooled()


def state(instance: Instance) -> InstanceState:
    with reading() as session:
        return instance_by_id(session, instance.id).state


def durable(instance: Instance) -> set[str]:
    with reading() as session:
        return {each.id for each in checkpoints_of(session, instance.id) if each.state is CheckpointState.DURABLE}


def in_state(instance: Instance, wanted: InstanceState) -> None:
    if state(instance) is not wanted:
        load("swapin" if wanted is InstanceState.UP else "swapout")(instance.id)
    assert state(instance) is wanted


@pytest.mark.timeout(600)
@pytest.mark.parametrize("flow", REST)
def test_killed_after_each_step(flow: str, up: Instance, until: Callable[..., None]) -> None:
    table = [step for step in steps(import_module(f"flows.{flow}")) if step not in UNDOING]
    assert len(table) >= 4
    killed = []
    for step, number in [*((step, 1) for step in table), *WITHIN[flow]]:
        in_state(up, REST[flow])
        if dies(flow, up.id, step, number):
            killed.append(step)
            load("recover")(up.id)
        assert state(up) in (InstanceState.UP, InstanceState.SWAPPED_OUT) and not spooled()
        assert {root.name for root in Store.of(settings().project).roots(RootKind.CHECKPOINT)} == durable(up)
        if state(up) is InstanceState.SWAPPED_OUT:
            assert not list(settings().instances_dir.iterdir())
        else:
            assert_goes_on(up, until)
    assert len(killed) >= 4 + len(WITHIN[flow]), "too few of its steps were reached"
    in_state(up, InstanceState.UP)
    assert_goes_on(up, until)
