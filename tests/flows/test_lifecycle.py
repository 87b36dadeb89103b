"""One instance from its definition to its end, through Prefect and on real nodes; and what a person sees of it in Prefect."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest
from sqlalchemy import Engine
from sqlmodel import select

from flows import load
from models.database import reading, writing
from models.errors import Conflict, HostProblem
from models.instances import current_run, define_run, placements
from models.leases import acquire, release
from models.protocol.conductor import ActivityLine, ActivityLines, RunInfo, Since, Wait
from models.protocol.control import Nothing
from models.protocol.host import ChangeInstance, ProgramEnded, RunProgram
from models.settings import settings
from models.states import InstanceState, RunOutcome, RunState, Subject
from models.tables import ActivityEvent, Instance, Run
from nodeops.session import HostSession
from tasks.daemons import ask_conductor

EXPERIMENT = """
parameters:
  GREETING: hello
nodes:
  a: {}
  b: {}
links:
  - {name: wire, endpoints: [a, b], delay: 5ms}
agents:
  talker: {node: a, command: "echo $GREETING from $NODE; ping -c 1 b"}
sequences:
  work:
    - talker run
on_start: work
"""
FAILING = EXPERIMENT.replace("ping -c 1 b", "exit 3")


pytestmark = pytest.mark.usefixtures("prefect_server", "state_dir")


def _runs(instance: Instance) -> list[Run]:
    with reading() as session:
        return list(session.exec(select(Run).where(Run.instance_id == instance.id).order_by(Run.number)))


def _events(run: Run) -> list[ActivityEvent]:
    with reading() as session:
        return list(session.exec(select(ActivityEvent).where(ActivityEvent.run_id == run.id).order_by(ActivityEvent.number)))


def _wait_quiet(instance: Instance) -> None:
    ask_conductor(instance.id, "wait", Wait(until="quiet", timeout_s=20), RunInfo, timeout_s=30)


def test_from_definition_through_two_runs_to_nothing(database: Engine, define: Callable[..., Instance],
                                                     look: Callable[[str], Instance]) -> None:
    instance = define(EXPERIMENT, name=f"life-{database.dialect.name}")  # artifacts of the other tests' instances have other names
    outcome = load("instantiate")(instance.id)
    assert look(instance.id).state is InstanceState.UP
    with reading() as session:
        assert {place.node: place.state for place in placements(session, instance.id)} == {"a": "placed", "b": "placed"}
    (first,) = _runs(instance)
    assert (first.id, first.state, first.number) == (outcome["run_id"], RunState.RUNNING, 1)
    _wait_quiet(instance)
    assert load("stop_run")(first.id)["outcome"] == RunOutcome.OK
    (first,) = _runs(instance)
    assert first.begin_ns is not None and first.end_ns is not None and first.end_ns > first.begin_ns
    events = _events(first)
    exited = next(event for event in events if event.kind == "exited")
    assert exited.target == "talker" and exited.detail
    assert [event.kind for event in events if event.kind.startswith("run-")] == ["run-began", "run-ended"]
    assert [event.number for event in events] == sorted({event.number for event in events})
    _second_run_with_another_parameter(instance)
    _what_prefect_shows(instance)
    load("destroy")(instance.id)
    ended = look(instance.id)
    assert ended.state is InstanceState.DESTROYED and ended.ended_at is not None
    assert not list(settings().instances_dir.iterdir())
    load("destroy")(instance.id)  # again: nothing to do, and no error


def _second_run_with_another_parameter(instance: Instance) -> None:
    with writing() as session:
        second = define_run(session, session.get_one(Instance, instance.id), created_by="test", parameters={"GREETING": "bye"})
    load("start_run")(second.id)
    load("start_run")(second.id)  # again: it goes on, and is not begun anew
    _wait_quiet(instance)
    with HostSession() as host:
        said = host.do("run", RunProgram(instance=instance.id, node="a", command="cat /swapbed/logs/talker/*"), ProgramEnded)
    assert b"bye from a" in said.stdout
    load("stop_run")(second.id)
    load("stop_run")(second.id)
    assert [(run.number, run.state, run.outcome) for run in _runs(instance)] == [(1, RunState.OVER, "ok"), (2, RunState.OVER, "ok")]
    first, second = (_events(run) for run in _runs(instance))
    assert second and first[-1].number < second[0].number


def _what_prefect_shows(instance: Instance) -> None:
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterKey, FlowRunFilter, FlowRunFilterName

    with get_client(sync_client=True) as client:
        mine = FlowRunFilter(name=FlowRunFilterName(like_=instance.name))  # the session's server knows many others
        names = {run.name for run in client.read_flow_runs(flow_run_filter=mine)}
        wanted = ArtifactFilter(key=ArtifactFilterKey(any_=[f"topology-{instance.name}", f"links-{instance.name}"]))
        shown = {artifact.key: str(artifact.data) for artifact in client.read_artifacts(artifact_filter=wanted)}
    assert {f"instantiate {instance.name}", f"start {instance.name} run 2", f"stop {instance.name} run 1"} <= names
    assert "graph LR" in shown[f"topology-{instance.name}"]
    assert "5ms" in shown[f"links-{instance.name}"] or "2.5ms" in shown[f"links-{instance.name}"]


def test_a_program_that_fails_makes_a_failed_run_with_the_reason(define: Callable[..., Instance]) -> None:
    instance = define(FAILING)
    run_id = load("instantiate")(instance.id)["run_id"]
    try:
        _wait_quiet(instance)
        outcome = load("stop_run")(run_id)
        assert outcome["outcome"] == RunOutcome.FAILED and "exit code 3" in outcome["reason"]
    finally:
        load("destroy")(instance.id)


@pytest.mark.parametrize(("ending", "outcome"), [("instance stop-run", RunOutcome.OK), ("talker run", RunOutcome.STOPPED)])
def test_a_run_that_its_own_template_ends_early_is_as_it_should_be(define: Callable[..., Instance], ending: str, outcome: str) -> None:
    """Events of its timeline were still to come; ended by somebody else at that point, it is one that was stopped."""
    timed = EXPERIMENT.replace("on_start: work", "timeline: {0s: work start, 1h: wire down}")
    instance = define(timed.replace("    - talker run\n", f"    - talker run\n    - {ending}\n"))
    run_id = load("instantiate")(instance.id)["run_id"]
    try:
        deadline = time.monotonic() + 30
        while not any(line.verb == ending.split()[-1] and line.kind in ("fired", "completed") for line in _lines_so_far(instance)):
            assert time.monotonic() < deadline
        assert load("stop_run")(run_id)["outcome"] == outcome
    finally:
        load("destroy")(instance.id)


def _lines_so_far(instance: Instance) -> tuple[ActivityLine, ...]:
    return ask_conductor(instance.id, "events", Since(since=0, limit=100), ActivityLines, timeout_s=10).lines


def test_a_run_that_is_cut_short_by_the_end_of_its_instance_is_stopped(define: Callable[..., Instance]) -> None:
    instance = define(EXPERIMENT.replace("ping -c 1 b", "sleep 600"))
    load("instantiate")(instance.id)
    load("destroy")(instance.id)
    (run,) = _runs(instance)
    assert (run.state, run.outcome) == (RunState.OVER, RunOutcome.STOPPED)
    assert any(event.kind == "run-ended" for event in _events(run))


def test_a_full_disk_creates_nothing(define: Callable[..., Instance], look: Callable[[str], Instance],
                                     monkeypatch: pytest.MonkeyPatch) -> None:
    instance = define(EXPERIMENT)
    monkeypatch.setenv("SWAPBED_FREE_SPACE_BYTES", str(1 << 60))
    with pytest.raises(HostProblem, match="space|disk|free"):
        load("instantiate")(instance.id)
    failed = look(instance.id)
    assert failed.state is InstanceState.FAILED and failed.reason and failed.ended_at
    assert not settings().instances_dir.exists() or not list(settings().instances_dir.iterdir())
    monkeypatch.delenv("SWAPBED_FREE_SPACE_BYTES")
    assert define(EXPERIMENT, name=instance.name).id != instance.id  # the name is free again


def test_while_somebody_works_on_it_others_are_told_so(define: Callable[..., Instance], look: Callable[[str], Instance]) -> None:
    instance = define(EXPERIMENT)
    lease = acquire(Subject.INSTANCE, instance.id, holder="anna", purpose="swapout")
    with pytest.raises(Conflict, match="anna works on it .swapout."):
        load("destroy")(instance.id)
    assert look(instance.id).state is InstanceState.DEFINED
    release(lease)
    load("destroy")(instance.id)
    assert look(instance.id).state is InstanceState.FAILED  # it never was up


def test_a_lower_fence_is_refused_by_the_host(define: Callable[..., Instance]) -> None:
    instance = define(EXPERIMENT, start_run=False)
    load("instantiate")(instance.id)
    with HostSession() as host, pytest.raises(Conflict):
        host.do("destroy", ChangeInstance(instance=instance.id, fence=0), Nothing)
    assert _runs(instance) == []
    load("destroy")(instance.id)


def test_two_instances_of_one_template_do_not_meet(define: Callable[..., Instance], look: Callable[[str], Instance]) -> None:
    one, other = define(EXPERIMENT), define(EXPERIMENT)
    for instance in (one, other):
        load("instantiate")(instance.id)
    load("destroy")(one.id)
    assert look(other.id).state is InstanceState.UP
    with reading() as session:
        assert current_run(session, other.id) is not None
    _wait_quiet(other)
    load("destroy")(other.id)
