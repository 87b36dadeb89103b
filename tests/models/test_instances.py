"""Names are unique among the living, and runs of an instance are serial."""

from collections.abc import Callable

import pytest
from sqlalchemy import Engine

from models.database import reading, writing
from models.errors import Conflict, InvalidInput, NotFound
from models.instances import current_run, define_run, find_instance, free_name, living, present_values
from models.spec import Node, Parameter, Spec
from models.states import InstanceState, RunState
from models.tables import Instance, Run
from models.tables.columns import now
from models.templates import project_named, store_spec
from models.transition import transition


@pytest.mark.parametrize("name", ["under_score", "-x", "x" * 64, "dot.ted", "ü"])
def test_a_name_that_is_no_dns_label_is_refused(database: Engine, define_one: Callable[..., Instance], name: str) -> None:
    with pytest.raises(InvalidInput, match="DNS label"), writing(database) as session:
        define_one(session, name)
    with writing(database) as session:
        assert living(session, project_named(session, "default")) == []


def test_a_name_that_is_taken_is_refused_and_free_again_after_its_end(
        database: Engine, define_one: Callable[..., Instance], instance: Instance) -> None:
    with pytest.raises(Conflict, match="'x-1' exists"), writing(database) as session:
        define_one(session)
    with writing(database) as session:
        transition(session, Instance, instance.id, InstanceState.DESTROYING)
        transition(session, Instance, instance.id, InstanceState.DESTROYED, ended_at=now())
    with writing(database) as session:
        assert define_one(session).id != instance.id


def test_names_are_made_up_and_found(database: Engine, instance: Instance) -> None:
    with reading(database) as session:
        project = project_named(session, "default")
        assert free_name(session, project, "x") == "x-2"
        assert free_name(session, project, "My_Study.v2") == "my-study-v2-1"
        assert find_instance(session, project, "x-1").id == find_instance(session, project, instance.id).id == instance.id
        with pytest.raises(NotFound, match="Did you mean x-1"):
            find_instance(session, project, "x1")


def test_runs_are_serial_and_numbered(database: Engine, instance: Instance) -> None:
    with writing(database) as session:
        first = define_run(session, instance, created_by="root")
    with pytest.raises(Conflict, match="run 1 is defined"), writing(database) as session:
        define_run(session, instance, created_by="root")
    with writing(database) as session:
        transition(session, Run, first.id, RunState.FAILED)
        assert current_run(session, instance.id) is None
        second = define_run(session, instance, created_by="root")
    assert (first.number, second.number, first.environment_of_run) == (1, 2, "inherit")


def test_no_run_in_an_instance_that_is_not_up(database: Engine, instance: Instance) -> None:
    with writing(database) as session:
        transition(session, Instance, instance.id, InstanceState.DESTROYING)
    with pytest.raises(Conflict, match="destroying"), writing(database) as session:
        define_run(session, session.get_one(Instance, instance.id), created_by="root")


def test_parameters_of_a_run_are_given_or_as_in_the_last(database: Engine, define_one: Callable[..., Instance]) -> None:
    with writing(database) as session:
        instance = define_one(session, parameters={"DELAY": "5ms", "FLOWS": "1"})
        first = define_run(session, instance, created_by="root", parameters={"FLOWS": "2"})
        transition(session, Run, first.id, RunState.FAILED)
        second = define_run(session, instance, created_by="root", parameters={"DELAY": "9ms"})
        transition(session, Run, second.id, RunState.FAILED)
        with pytest.raises(InvalidInput, match="no parameter 'DELAI'.*DELAY, FLOWS"):
            define_run(session, instance, created_by="root", parameters={"DELAI": "9ms"})
    assert (first.parameters, second.parameters) == ({"DELAY": "5ms", "FLOWS": "2"}, {"DELAY": "9ms", "FLOWS": "2"})


def test_what_an_instance_was_changed_to_counts_more_than_an_earlier_run(database: Engine, define_one: Callable[..., Instance]) -> None:
    """Else the run's record would say of links what they were not."""
    with writing(database) as session:
        instance = define_one(session, parameters={"DELAY": "5ms", "FLOWS": "1", "OLD": "x"})
        first = define_run(session, instance, created_by="root", parameters={"FLOWS": "2"})
        transition(session, Run, first.id, RunState.FAILED)
        changed = Spec(nodes=(Node(name="a"),), parameters=tuple(
            Parameter(name=name, value=value) for name, value in (("DELAY", "7ms"), ("FLOWS", "1"), ("NEW", "y"))))
        instance.spec_id = store_spec(session, instance.project_id, changed).id
        wanted = {"DELAY": "7ms", "FLOWS": "2", "NEW": "y"}
        assert present_values(session, instance, changed) == wanted
        assert define_run(session, instance, created_by="root").parameters == wanted
