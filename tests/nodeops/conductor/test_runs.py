"""Runs begin, fail, end, and nodes die in them; recordings."""

from __future__ import annotations

import pytest
from world import Event, ProgramAgent, Sequence, TimedEvent, World, make_spec, programs

from models.protocol.conductor import CANCELLED, NOT_STARTED, UNDELIVERED
from models.spec import Node, Spec
from nodeops.conductor import happenings as h
from tests.nodeops.instances import lan_spec


def kinds(world: World) -> list[str]:
    return [line.kind for line in world.lines]


def hooks(**parts) -> World:
    agents = programs(setup="3 0", broken="3 1", a="99 0", cleanup="2 0", slow="999 0")
    sequences = tuple(Sequence(name=name, steps=(Event(target=step, verb="run"),))
                      for name, step in (("begin", "setup"), ("fail", "broken"), ("end", "cleanup"), ("never", "slow")))
    events = (TimedEvent(at_s=1, target="a", verb="start"), TimedEvent(at_s=50, target="a", verb="stop"))
    return World(make_spec(agents=agents, sequences=sequences, events=events, **parts))


def test_run_time_begins_when_on_start_is_done():
    world = hooks(on_start="begin")
    world.begin()
    world.run(10)
    assert world.fired("a") == [(4, "a", "start")]
    assert world.machine.info().zero_ns == 3_000_000_000
    assert {line.run_ns for line in world.lines if line.target == "setup"} == {0}


def test_when_on_start_fails_no_event_is_fired():
    world = hooks(on_start="fail")
    world.begin()
    world.run(100)
    assert world.fired("a") == []
    assert world.machine.info().failed == 1
    assert world.asked() == ["quiet", "idle"]


def test_the_end_cancels_runs_on_stop_and_ends_programs():
    world = hooks(on_stop="end")
    world.begin()
    world.send("a", "kill", in_s=20, signal="HUP")
    world.run(10)
    world.tell(h.EndRun, reason="enough", patience_ns=10**12)
    world.run(1)
    assert world.machine.info().phase == "stopping"
    assert "a" in world.machine.programs.running()
    world.run(5)
    info = world.machine.info()
    assert (info.phase, info.reason, info.failed, info.ended_ns) == ("over", "enough", 0, 12 * 10**9)
    assert kinds(world)[-1] == "run-ended"
    exited = next(line for line in world.lines if line.kind == "exited" and line.target == "a")
    assert exited.detail["stopped"] and exited.detail["signal"] == 15
    assert world.lines[-1].detail["never_fired"] == 2
    assert world.asked() == ["run-ended"]
    assert any(isinstance(output, h.Settled) and output.outcome.code == CANCELLED for output in world.outputs)


def test_on_stop_has_its_patience():
    world = hooks(on_stop="never")
    world.begin()
    world.tell(h.EndRun, reason="", patience_ns=5 * 10**9)
    world.run(20)
    info = world.machine.info()
    assert (info.phase, info.failed, info.ended_ns) == ("over", 1, 5 * 10**9)


def test_what_cannot_be_killed_does_not_hold_the_end_for_ever():
    world = World(make_spec(agents=programs(a="stubborn 9999 0")))
    world.begin()
    world.send("a", "start")
    world.run(1)
    world.future.clear()
    world._exit = lambda *_, **__: None
    world.tell(h.EndRun, reason="", patience_ns=0)
    world.run(30)
    info = world.machine.info()
    assert (info.phase, info.failed) == ("over", 1)


def test_a_second_run_begins_at_its_own_zero():
    world = hooks()
    world.begin()
    world.run(10)
    world.tell(h.EndRun, reason="", patience_ns=0)
    world.run(10)
    world.begin(2)
    world.run(10)
    assert world.fired("a") == [(1, "a", "start"), (21, "a", "start")]
    assert [line.run for line in world.lines if line.kind == "fired"] == [1, 2]


def node_spec(failure: str, on_failure: str | None = None) -> Spec:
    return Spec(nodes=(Node(name="n", failure=failure, on_failure=on_failure), Node(name="m")), agents=programs(a="99 0", b="1 0"),
                sequences=(Sequence(name="s", steps=(Event(target="a", verb="run"),)),
                           Sequence(name="procedure", steps=(Event(target="instance", verb="log", arguments={"text": "so what"}),))))


def test_a_dead_node_ends_what_ran_on_it_and_asks_for_its_policy():
    world = World(node_spec("fatal", "procedure"))
    world.begin()
    world.send("s", "run")
    world.run(1)
    world.tell(h.NodeDied, node="n", reason="its init ended")
    world.tell(h.NodeDied, node="n", reason="again")
    assert world.ended("s") == [(1, UNDELIVERED)]
    died = next(message for message in world.messages if message.kind == "node-died")
    assert (died.content["node"], died.content["failure"]) == ("n", "fatal")
    assert any(line.kind == "log" for line in world.lines)
    assert kinds(world).count("node-died") == 1


def test_a_fatal_death_ends_the_run_once_its_procedure_is_through():
    world = World(with_procedure("fatal", seconds=5))
    world.begin()
    world.run(1)
    world.tell(h.NodeDied, node="n", reason="its init ended")
    world.run(4)
    assert world.machine.info().phase == "running"
    world.run(8)
    info = world.machine.info()
    assert (info.phase, info.failed, info.failures[0].target) == ("over", 1, "n")
    assert info.reason == "n: the node died: its init ended"
    assert "run-ended" in world.asked()


def test_a_fatal_death_without_a_procedure_ends_the_run_at_once():
    world = World(node_spec("fatal"))
    world.begin()
    world.send("s", "run")
    world.run(1)
    world.tell(h.NodeDied, node="n", reason="its init ended")
    assert world.machine.info().phase != "running"
    assert world.ended("s") == [(1, UNDELIVERED)]


def test_a_procedure_that_takes_too_long_is_not_waited_for():
    world = World(with_procedure("fatal", seconds=99))
    world.begin()
    world.tell(h.NodeDied, node="n", reason="its init ended")
    world.run(59)
    assert world.machine.info().phase == "running"
    world.run(80)
    assert (world.machine.info().phase, world.machine.info().failed) == ("over", 2)


def with_procedure(failure: str, seconds: int) -> Spec:
    return Spec(nodes=(Node(name="n", failure=failure, on_failure="procedure"), Node(name="m")),
                agents=(ProgramAgent(name="b", node="m", command=f"{seconds} 0"),),
                sequences=(Sequence(name="procedure", steps=(Event(target="b", verb="run"),)),))


@pytest.mark.parametrize("failure", ["nonfatal", "restart"])
def test_a_run_outlives_a_node_that_is_not_vital(failure: str):
    world = World(node_spec(failure))
    world.begin()
    world.send("a", "start")
    world.run(1)
    world.tell(h.NodeDied, node="n", reason="its init ended")
    world.run(2)
    info = world.machine.info()
    assert (info.phase, info.failed) == ("running", 0)
    assert [message.content["failure"] for message in world.messages if message.kind == "node-died"] == [failure]


def test_a_node_that_was_dead_when_the_run_began_is_told_in_it():
    world = World(node_spec("nonfatal", "procedure"))
    world.tell(h.NodeDied, node="n", reason="its init ended")
    world.begin()
    died = [line for line in world.lines if line.kind == "node-died"]
    assert [line.run for line in died] == [None, 1]
    assert any(line.kind == "log" for line in world.lines)


def test_a_fatal_node_that_was_dead_when_the_run_began_ends_it():
    world = World(node_spec("fatal"))
    world.tell(h.NodeDied, node="n", reason="its init ended")
    world.begin()
    world.run(1)
    assert (world.machine.info().phase, world.machine.info().failed) == ("over", 1)


@pytest.mark.parametrize(("failures", "over"), [(("nonfatal", "fatal"), True), (("nonfatal", "restart"), False)])
def test_wires_are_as_fatal_as_the_strictest_node_that_hangs_on_them(failures: tuple[str, str], over: bool):
    n, m = failures
    world = World(lan_spec("n", "m", nodes={"n": Node(name="n", failure=n), "m": Node(name="m", failure=m)}))
    world.begin()
    world.tell(h.WiresDied, reason="their process ended")
    world.tell(h.WiresDied, reason="again")
    world.tell(h.WiresBack)
    world.run(1)
    assert (world.machine.info().phase == "over") is over
    assert [line.kind for line in world.lines if line.kind.startswith("wires")] == ["wires-died", "wires-back"]


def test_a_node_that_was_told_to_stop_is_no_failure():
    world = World(node_spec("fatal"))
    world.begin()
    world.send("n", "stop")
    world.tell(h.NodeDied, node="n", reason="its init ended")
    world.run(1)
    assert "node-died" not in world.asked()
    assert world.machine.info().failed == 0


def test_a_node_that_came_back_has_only_what_it_says():
    world = World(node_spec("nonfatal"))
    world.begin()
    world.send("a", "run")
    world.run(1)
    world.tell(h.NodeBack, node="n", incarnation=7, running=("a.1",))
    assert list(world.machine.programs.running()) == ["a"]
    world.tell(h.NodeBack, node="n", incarnation=7)
    assert list(world.machine.programs.running()) == []
    assert world.ended("a") == [(1, UNDELIVERED)]


def test_events_before_a_swapout_are_waited_for_together():
    world = World(make_spec(agents=programs(a="2 0", b="3 4"), events=(
        TimedEvent(on="swapout", target="a", verb="run"), TimedEvent(on="swapout", target="b", verb="run"))))
    world.begin()
    world.run(5)
    assert world.fired() == []
    token = next(output.token for output in world.tell(h.FireSwapout) if isinstance(output, h.Accepted))
    world.run(5)
    settled = [(output.outcome.code, world.now_ns) for output in world.outputs if isinstance(output, h.Settled) and output.token == token]
    assert settled == [(4, 10 * 10**9)]


def petition(number: int) -> h.Petitioned:
    return h.Petitioned(node="n", number=number)


def test_a_recording_leaves_its_pauses_out():
    world = World(make_spec(agents=programs(a="1 0")))
    world.begin()
    world.run(10)
    world.tell(h.ChangeRecording, action="start", name="r")
    world.run(5)
    world.send("a", "start")
    world.tell(h.ChangeRecording, action="pause")
    world.run(100)
    world.tell(h.ChangeRecording, action="continue")
    start_ns = world.now_ns
    world.run(2)
    world.tell(h.RecordCommand, node="n", command="make", directory="/src", start_ns=start_ns, petition=petition(1))
    world.tell(h.ChangeRecording, action="stop")
    world.send("a", "stop")
    recording = world.machine.recorder.stage.state.recordings[0]
    assert recording.state == "finished"
    assert [(event.offset_ns / 10**9, event.target, event.verb, event.node) for event in recording.events] == [
        (5, "a", "start", None), (5, "recorded-n", "run", "n")]
    assert recording.events[1].arguments.command == "make"


def test_step_goes_on_for_one_event():
    world = World(make_spec(agents=programs(a="1 0")))
    world.begin()
    world.tell(h.ChangeRecording, action="start", name="r")
    world.tell(h.ChangeRecording, action="pause")
    world.run(10)
    world.tell(h.ChangeRecording, action="step")
    world.run(3)
    world.send("a", "start")
    recording = world.machine.state.recordings[0]
    assert recording.state == "paused"
    assert recording.events[0].offset_ns == 3 * 10**9
    assert world.machine.recorder.objection(h.ChangeRecording(now_ns=0, wall=world.lines[0].at, action="start", name="x"))


def test_what_vanishes_from_the_template_while_it_is_in_progress_fails():
    world = World(node_spec("fatal"))
    world.begin()
    world.send("s", "run")
    world.run(1)
    world.machine.take(make_spec(agents=programs(a="99 0")))
    world.send("a", "stop")
    world.run(1)
    assert world.ended("s") == [(1, NOT_STARTED)]
