"""Who cancels when all is durable already is too late: the instance is swapped out, or goes on, as if nobody had; and nothing is left."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module

import pytest

from flows import load
from models.checkpoints import checkpoints_of
from models.database import reading
from models.settings import settings
from models.states import CheckpointState, InstanceState
from models.tables import Instance
from tests.flows.test_checkpoint import assert_goes_on
from tests.flows.test_swap import EXPERIMENT, spooled

pytestmark = pytest.mark.usefixtures("prefect_server", "state_dir")


@pytest.mark.timeout(300)
def test_too_late(define: Callable[..., Instance], look: Callable[[str], Instance], until: Callable[..., None],
                  monkeypatch: pytest.MonkeyPatch) -> None:
    instance = define(EXPERIMENT)
    load("instantiate")(instance.id)
    for flow, rests_as in (("checkpoint", InstanceState.UP), ("swapout", InstanceState.SWAPPED_OUT)):
        store = import_module(f"flows.{flow}").store_checkpoint

        def then_interrupted(*arguments: str, store: Callable[..., None] = store) -> None:
            store(*arguments)
            raise KeyboardInterrupt

        with monkeypatch.context() as patch:
            patch.setattr(import_module(f"flows.{flow}"), "store_checkpoint", then_interrupted)
            assert load(flow)(instance.id, return_state=True).is_cancelled()
        assert look(instance.id).state is rests_as and not spooled()
        with reading() as session:
            assert checkpoints_of(session, instance.id)[-1].state is CheckpointState.DURABLE
    assert not list(settings().instances_dir.iterdir())
    load("swapin")(instance.id)
    assert_goes_on(instance, until)
    load("destroy")(instance.id)
