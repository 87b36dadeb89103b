"""Checkpoints of an instance that goes on: through Prefect, the database and the store, on real nodes."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from flows import load
from flows.checkpoint import checkpoint
from models.checkpoints import checkpoints_of, define_checkpoint
from models.database import reading, writing
from models.errors import StoreProblem, SwapbedError
from models.leases import Lease
from models.protocol.checkpoint import Costs
from models.settings import settings
from models.states import CheckpointState, InstanceState
from models.tables import Checkpoint, Instance
from tasks.checkpoints import capture_on_host, host_of
from tasks.work import change, working_on
from tests.flows.test_swap import EXPERIMENT, said, spooled

NOISE = "head -c 2000000 /dev/urandom > /noise"


pytestmark = pytest.mark.usefixtures("prefect_server", "state_dir")


@pytest.fixture
def up(define: Callable[..., Instance]) -> Iterator[Instance]:
    instance = define(EXPERIMENT)
    load("instantiate")(instance.id)
    yield instance
    load("destroy")(instance.id)
    assert not list(settings().instances_dir.iterdir())


def assert_goes_on(instance: Instance, until: Callable[..., None]) -> None:
    before = int(said(instance, "tail -n 1 /count") or 0)
    until(lambda: int(said(instance, "tail -n 1 /count") or 0) > before)
    assert said(instance, "ping -c 1 -W 2 b > /dev/null && echo heard") == "heard\n"


def all_of(instance: Instance) -> list[Checkpoint]:
    with reading() as session:
        return checkpoints_of(session, instance.id)


@pytest.mark.timeout(120)
def test_the_instance_goes_on_and_the_second_stores_what_changed(up: Instance, look: Callable[[str], Instance],
                                                                until: Callable[..., None]) -> None:
    said(up, NOISE)
    for _ in range(2):
        done = checkpoint(up.id)
        assert look(up.id).state is InstanceState.UP and not spooled()
        assert 0 < done["stood_ns"] < 10 * 10**9
        assert_goes_on(up, until)
    first, second = all_of(up)
    assert (first.state, second.state, second.parent_id) == (CheckpointState.DURABLE, CheckpointState.DURABLE, first.id)
    assert second.root == done["root"] != first.root
    before, after = (Costs.model_validate(each.costs) for each in (first, second))
    assert {"a memory", "a processes", "a files", "b memory", "frames in flight", "events"} <= set(before.parts)
    assert before.parts["a files"].new_bytes >= 2_000_000 > 100_000 > after.parts["a files"].new_bytes
    assert after.parts["a files"].read_bytes >= 2_000_000, "without dirty tracking everything is looked at"
    assert sum(part.new_bytes for part in after.parts.values()) == second.stored_bytes < first.stored_bytes / 2
    assert "(" in before.copying and set(before.steps_ns) >= {"freeze", "dump", "go on"}


@pytest.mark.timeout(120)
def test_a_store_that_refuses_and_a_flow_that_dies_cost_the_checkpoint_at_most(
        up: Instance, look: Callable[[str], Instance], until: Callable[..., None], monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise StoreProblem("the store is full")

    with monkeypatch.context() as patch:
        patch.setattr("storage.store.Store.pin", refuse)
        patch.setattr("tasks.work.RETRIES", 0)
        with pytest.raises(SwapbedError, match="full"):
            checkpoint(up.id)
    assert look(up.id).state is InstanceState.UP and "full" in (look(up.id).reason or "") and not spooled()
    assert_goes_on(up, until)

    for captured, state in ((True, CheckpointState.DURABLE), (False, CheckpointState.FAILED)):
        with working_on(up.id, "checkpoint") as lease:
            _begin(up, lease, captured)
        load("recover")(up.id)
        assert look(up.id).state is InstanceState.UP and not spooled()
        assert all_of(up)[-1].state is state
        assert_goes_on(up, until)


def _begin(up: Instance, lease: Lease, captured: bool) -> None:
    """As far as the flow comes before it dies."""
    change(lease, up.id, InstanceState.CHECKPOINTING)
    with writing() as session:
        made = define_checkpoint(session, session.get_one(Instance, up.id), created_by="test", purpose="checkpoint").id
    if captured:
        capture_on_host.fn(made, host_of(up.id), str(lease), live=True)
