"""The tables of states are whole, and a row's state goes along them only, whoever tries."""

import threading
from enum import StrEnum

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Engine

from models.database import reading, writing
from models.errors import Conflict, NotFound
from models.states import CHECKPOINT, INSTANCE, RECORD, RUN, InstanceState, Machine
from models.tables import Instance
from models.transition import transition


class Light(StrEnum):
    RED, GREEN, OFF = "red", "green", "off"


def test_a_table_with_a_hole_is_refused() -> None:
    with pytest.raises(ValueError, match="no row for off"):
        Machine("light", Light, Light.RED, {Light.RED: frozenset({Light.GREEN}), Light.GREEN: frozenset()}, frozenset({Light.GREEN}))


def test_an_unreachable_state_is_refused() -> None:
    rows = {Light.RED: frozenset({Light.GREEN}), Light.GREEN: frozenset(), Light.OFF: frozenset()}
    with pytest.raises(ValueError, match="off cannot be reached"):
        Machine("light", Light, Light.RED, rows, frozenset({Light.GREEN, Light.OFF}))


def test_a_state_without_a_way_to_rest_is_refused() -> None:
    rows = {Light.RED: frozenset({Light.GREEN, Light.OFF}), Light.GREEN: frozenset({Light.GREEN}), Light.OFF: frozenset()}
    with pytest.raises(ValueError, match="no way to rest from green"):
        Machine("light", Light, Light.RED, rows, frozenset({Light.OFF}))


@given(st.sampled_from([INSTANCE, RUN, RECORD, CHECKPOINT]), st.data())
def test_check_says_no_to_exactly_what_the_table_lacks_and_lists_the_rest(machine: Machine, data: st.DataObject) -> None:
    present, target = (data.draw(st.sampled_from(list(machine.states))) for _ in range(2))
    if target in machine.follows[present]:
        machine.check(present, target, "x")
        assert present in machine.sources(target)
    else:
        with pytest.raises(Conflict) as refused:
            machine.check(present, target, "x")
        assert all(choice in str(refused.value) for choice in machine.follows[present])


def test_a_transition_changes_state_and_columns_or_neither(database: Engine, instance: Instance) -> None:
    with writing(database) as session:
        transition(session, Instance, instance.id, InstanceState.INSTANTIATING, reason="because")
        transition(session, Instance, instance.id, InstanceState.INSTANTIATING, reason="twice is once")
    with pytest.raises(Conflict, match="possible: broken, destroying, failed, up"), writing(database) as session:
        transition(session, Instance, instance.id, InstanceState.SWAPPED_OUT, reason="never")
    with reading(database) as session:
        changed = session.get_one(Instance, instance.id)
    assert (changed.state, changed.reason) == (InstanceState.INSTANTIATING, "because")
    with pytest.raises(NotFound), writing(database) as session:
        transition(session, Instance, "i-none", InstanceState.UP)


def test_of_two_that_want_different_things_one_wins(database: Engine, instance: Instance) -> None:
    with writing(database) as session:
        for state in (InstanceState.INSTANTIATING, InstanceState.UP):
            transition(session, Instance, instance.id, state)
    outcomes: list[str] = []

    def want(target: InstanceState) -> None:
        try:
            with writing(database) as session:
                transition(session, Instance, instance.id, target, expected=InstanceState.UP)
            outcomes.append(target)
        except Conflict:
            outcomes.append("refused")

    threads = [threading.Thread(target=want, args=(t,)) for t in (InstanceState.DESTROYING, InstanceState.CHECKPOINTING)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with reading(database) as session:
        assert session.get_one(Instance, instance.id).state in outcomes
    assert outcomes.count("refused") == 1
