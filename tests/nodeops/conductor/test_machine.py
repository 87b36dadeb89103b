"""What the machine makes of a spec's events, in a simulated world."""

from __future__ import annotations

import pytest
from world import Event, Group, ProgramAgent, Sequence, TimedEvent, Timeline, TimelineEntry, World, make_spec, programs

from models.protocol.conductor import BUSY, NOT_STARTED, TIMED_OUT
from nodeops.conductor import happenings as h


def begun(**parts) -> World:
    world = World(make_spec(**parts))
    world.begin()
    return world


def run(target: str, **arguments) -> Event:
    return Event(target=target, verb="run", arguments=arguments)


def test_the_timeline_is_relative_to_its_start_and_in_order_of_declaration():
    events = tuple(TimedEvent(at_s=at, target=name, verb="start") for at, name in ((5, "a"), (2, "b"), (5, "c")))
    world = World(make_spec(agents=programs(a="1 0", b="1 0", c="1 0"), events=events))
    world.run(100)
    world.begin()
    world.run(10)
    assert world.fired() == [(102, "b", "start"), (105, "a", "start"), (105, "c", "start")]


def test_a_sequence_waits_for_what_completes_and_for_nothing_else():
    world = begun(agents=programs(a="3 0", b="4 0"), sequences=(Sequence(name="s", steps=(
        Event(target="a", verb="start"), run("b"), Event(target="instance", verb="log", arguments={"text": "x"}), run("a"))),),
        events=(TimedEvent(target="s", verb="run"),))
    world.run(20)
    assert world.fired() == [(0, "s", "run"), (0, "a", "start"), (0, "b", "run"), (4, "instance", "log"), (4, "a", "run")]
    assert world.ended("s") == [(7, 0)]


def test_a_failed_step_ends_the_sequence_and_its_parent_with_its_error():
    world = begun(agents=programs(a="1 0", b="1 7"), sequences=(
        Sequence(name="inner", steps=(run("b"), run("a"))), Sequence(name="outer", steps=(run("inner"), run("a")))))
    world.send("outer", "run")
    world.run(5)
    assert world.ended("inner") == world.ended("outer") == [(1, 7)]
    assert world.fired("a") == []
    info = world.machine.info()
    assert info and [(failure.target, failure.outcome.code) for failure in info.failures] == [("outer", 7)]


def test_on_error_runs_in_place_of_the_rest():
    world = begun(agents=programs(a="1 0", b="1 7", c="2 0"), sequences=(
        Sequence(name="remedy", steps=(run("c"),)), Sequence(name="s", steps=(run("b"), run("a")), on_error="remedy")))
    world.send("s", "run")
    world.run(9)
    assert world.ended("s") == [(3, 0)]
    assert world.fired("a") == []


@pytest.mark.parametrize(("expected", "verb", "code"), [
    (None, "run", 3), (None, "start", 0), (3, "run", 0), (3, "start", 0), (0, "run", 3), (0, "start", 3), (4, "run", 3)])
def test_expected_exit_codes(expected: int | None, verb: str, code: int):
    world = begun(agents=(ProgramAgent(name="a", node="n", command="1 3", expected_exit_code=expected),))
    world.send("a", verb)
    world.run(2)
    exited = next(line for line in world.lines if line.kind == "exited")
    assert exited.outcome and exited.outcome.code == code
    assert world.machine.info().failed == (1 if code else 0)


def test_zero_is_an_error_where_something_else_is_expected():
    world = begun(agents=(ProgramAgent(name="a", node="n", command="1 0", expected_exit_code=3),))
    world.send("a", "run")
    world.run(2)
    assert world.ended("a") == [(1, 1)]


def test_a_group_completes_when_all_do_with_the_worst_error():
    world = begun(agents=programs(a="1 5", b="3 0", c="2 9"), groups=(Group(name="g", members=("a", "b", "c")),))
    world.send("g", "run")
    world.run(5)
    assert world.ended("g") == [(3, 9)]


def test_a_busy_group_says_so_and_can_be_stopped():
    world = begun(agents=programs(a="9 0", b="9 0"), groups=(Group(name="g", members=("a", "b")),))
    world.send("g", "run")
    world.run(1)
    world.send("g", "run")
    world.run(1)
    assert world.ended("g") == [(1, BUSY)]
    world.send("g", "stop")
    world.run(1)
    assert world.ended("g") == [(1, BUSY), (2, 0)]


@pytest.mark.parametrize("verb", ["start", "run"])
def test_what_runs_already_is_busy(verb: str):
    world = begun(agents=programs(a="9 0"), sequences=(Sequence(name="s", steps=(run("a"),)),))
    world.send("s", "start")
    world.run(1)
    for target in ("a", "s"):
        world.send(target, verb)
    world.run(1)
    assert [failure.outcome.code for failure in world.machine.info().failures] == [BUSY, BUSY]


def test_a_sequence_that_calls_itself_is_busy_not_endless():
    world = begun(sequences=(Sequence(name="s", steps=(run("t"),)), Sequence(name="t", steps=(run("s"),))))
    world.send("s", "run")
    world.run(1)
    assert world.ended("s") == [(0, BUSY), (0, BUSY)]


def test_empty_ones_complete_with_a_warning():
    world = begun(sequences=(Sequence(name="s"),), timelines=(Timeline(name="t"),), groups=(Group(name="g", members=()),))
    for target in ("s", "t"):
        world.send(target, "run")
        world.run(0)
        assert world.ended(target) == [(0, 0)]
    assert sum(line.kind == "warning" for line in world.lines) == 2


def test_a_timeline_completes_at_its_last_entry():
    world = begun(agents=programs(a="9 0", b="2 0", c="1 6"), timelines=(Timeline(name="t", entries=(
        TimelineEntry(at_s=4, target="b", verb="run"), TimelineEntry(at_s=1, target="a", verb="run"),
        TimelineEntry(at_s=1, target="c", verb="run"))),), sequences=(Sequence(name="s", steps=(run("t"),)),))
    world.run(10)
    world.send("s", "run")
    world.run(20)
    assert world.fired()[2:] == [(11, "a", "run"), (11, "c", "run"), (14, "b", "run")]
    assert world.ended("t") == world.ended("s") == [(16, 6)]


def test_start_of_a_sequence_returns_at_once():
    world = begun(agents=programs(a="5 0", b="1 0"), sequences=(
        Sequence(name="long", steps=(run("a"),)), Sequence(name="s", steps=(Event(target="long", verb="start"), run("b")))))
    world.send("s", "run")
    world.run(9)
    assert world.ended("s") == [(1, 0)]
    assert world.ended("long") == [(5, 0)]


def test_a_timeout_ends_a_program_with_an_error_and_a_stubborn_one_by_force():
    world = begun(agents=(ProgramAgent(name="a", node="n", command="99 0", timeout_s=3),
                          ProgramAgent(name="b", node="n", command="stubborn 99 0", timeout_s=3)))
    for name in ("a", "b"):
        world.send(name, "run")
    world.run(20)
    assert world.ended("a") == [(3, TIMED_OUT)]
    assert world.ended("b") == [(5, TIMED_OUT)]


def test_stop_is_no_failure_and_whoever_waits_goes_on():
    world = begun(agents=programs(a="99 0", b="1 0"), sequences=(Sequence(name="s", steps=(run("a"), run("b"))),))
    world.send("s", "run")
    world.send("a", "stop", in_s=5)
    world.run(20)
    assert world.ended("s") == [(6, 0)]


def test_kill_is_a_failure_of_what_is_waited_for():
    world = begun(agents=programs(a="99 0"))
    world.send("a", "run")
    world.send("a", "kill", in_s=5, signal="TERM")
    world.run(20)
    assert world.ended("a") == [(5, 143)]


def test_set_lasts_until_the_run_ends_and_arguments_for_once():
    world = begun(agents=programs(a="1 0"))
    world.send("a", "set", command="2 0")
    world.send("a", "run")
    world.run(5)
    world.send("a", "run", command="3 0", tag="odd")
    world.run(5)
    world.send("a", "run")
    world.run(5)
    assert world.ended("a") == [(2, 0), (8, 0), (12, 0)]
    assert [output.log for output in world.outputs if isinstance(output, h.StartProgram)] == ["1", "odd", "3"]
    world.tell(h.EndRun, reason="", patience_ns=0)
    world.begin(2)
    world.send("a", "run")
    world.run(5)
    assert world.ended("a")[-1] == (16, 0)


def test_a_program_without_a_command_cannot_start():
    world = begun(agents=(ProgramAgent(name="a", node="n"),))
    world.send("a", "start")
    world.run(1)
    assert world.machine.info().failures[0].outcome.code == NOT_STARTED


def test_a_thousand_events_at_one_instant_and_a_day_of_timeline():
    agents = programs(**{f"p{i}": "1 0" for i in range(1000)})
    day = Timeline(name="day", entries=tuple(TimelineEntry(at_s=60 * i, target=f"p{i % 1000}", verb="start") for i in range(24 * 60 + 1)))
    world = begun(agents=agents, timelines=(day,), events=(
        *(TimedEvent(at_s=5, target=agent.name, verb="start") for agent in agents), TimedEvent(at_s=30, target="day", verb="run")))
    world.run(10)
    assert world.fired() == [(5, agent.name, "start") for agent in agents]
    world.run(86400 + 60)
    assert len(world.fired()) == 1000 + 1 + 1441
    assert world.ended("day") == [(86430, 0)]
    assert world.asked() == ["quiet", "idle"]


def test_the_controller_hears_what_events_ask_of_it():
    world = begun(sequences=(Sequence(name="s", steps=(
        Event(target="instance", verb="swapout"), Event(target="instance", verb="stop-run"),
        Event(target="instance", verb="start-run", arguments={"parameters": {"x": "1"}}), Event(target="instance", verb="terminate"))),))
    world.send("s", "run")
    world.run(1)
    assert world.asked()[2:] == ["swapout", "stop-run", "start-run", "terminate"]
    assert world.messages[4].content["parameters"] == {"x": "1"}
    assert [message.number for message in world.messages] == list(range(6))


def test_quiet_and_idle_are_told_once_each_time_they_become_true():
    world = begun(agents=programs(daemon="50 0"), events=(TimedEvent(at_s=1, target="daemon", verb="start"),))
    world.run(5)
    assert [(message.kind, message.content.get("running")) for message in world.messages] == [("quiet", ["daemon"])]
    world.send("instance", "log", in_s=2, text="x")
    world.run(5)
    assert world.asked() == ["quiet", "quiet"]
    world.run(50)
    assert world.asked() == ["quiet", "quiet", "idle"]


def test_a_program_that_cannot_be_delivered_fails_its_sequence():
    world = begun(agents=programs(a="1 0"), sequences=(Sequence(name="s", steps=(run("a"),)),))
    world._later = lambda *_, **__: None
    world.send("s", "run")
    order = next(output for output in world.outputs if isinstance(output, h.StartProgram))
    world.tell(h.Done, order=order.number, outcome={"code": 254, "error": "the node is dead"})
    assert world.ended("s") == [(0, 254)]
    assert not world.machine.state.invocations
