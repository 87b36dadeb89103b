"""A handoff is killed after each of its steps; `recover` brings each of the two to rest: one goes on or is durable, the other likewise."""

from __future__ import annotations

import pytest

from flows import load
from models.states import CheckpointState, InstanceState
from models.tables import Instance
from swapbed.controller.recovery import left_by_the_dead
from tests.flows.dying import dies
from tests.flows.test_checkpoint import assert_goes_on
from tests.flows.test_handoff import Look, Pair, Until, checkpoint_states, count, on_host, pair
from tests.flows.test_swap import spooled

__all__ = ["pair"]
UP, SWAPPED_OUT = InstanceState.UP, InstanceState.SWAPPED_OUT
# Steps, as `tests.flows.dying` names them, and what becomes of the one that was to leave and the one that was to come.
STEPS = {
    "before": (UP, SWAPPED_OUT, ["change 1", "place_again 1", "fetch_checkpoint 1", "begin_checkpoint 1", "fire_swapout_events 1",
                                 "capture_on_host 1"]),
    "between": (SWAPPED_OUT, SWAPPED_OUT, ["change 2", "tasks.swapping:destroy_on_host 1", "free_room 1", "restore_on_host 1",
                                           "forget_spools 1"]),
    "after": (SWAPPED_OUT, UP, ["lives_on 1", "tasks.swapping:store_checkpoint 1", "tasks.swapping:forget_spools 1", "finish_spooled 1"]),
}

pytestmark = pytest.mark.usefixtures("prefect_server", "state_dir")


@pytest.mark.timeout(600)
@pytest.mark.parametrize("phase", STEPS)
def test_killed_after_each_step(phase: str, pair: Pair, look: Look, until: Until) -> None:
    leaves, comes = pair
    left_as, came_as, steps = STEPS[phase]
    counted = {each.id: 0 for each in pair}
    load("checkpoint")(leaves.id)  # an earlier one is not what it goes back to

    def goes_on_from_where_it_was(instance: Instance) -> None:
        assert_goes_on(instance, until)
        now = count(instance, until)
        assert now >= counted[instance.id]
        counted[instance.id] = now

    for step in steps:
        goes_on_from_where_it_was(leaves)
        name, number = step.split()
        assert dies("handoff", leaves.id, name, int(number), comes.id), step
        for instance_id in left_by_the_dead():
            load("recover")(instance_id)
        assert (look(leaves.id).state, look(comes.id).state) == (left_as, came_as), step
        living = [each for each in pair if look(each.id).state is UP]
        assert on_host() == [each.id for each in living] and not spooled() and not left_by_the_dead(), step
        assert left_as is UP or checkpoint_states(leaves)[-1] is CheckpointState.DURABLE, step
        for each in living:
            goes_on_from_where_it_was(each)
        if left_as is SWAPPED_OUT:
            if came_as is SWAPPED_OUT:
                load("swapin")(comes.id)
            leaves, comes = comes, leaves
    goes_on_from_where_it_was(leaves)
    load("swapin")(comes.id)
    goes_on_from_where_it_was(comes)
