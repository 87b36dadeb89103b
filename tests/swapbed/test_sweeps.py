"""Sweeps: plans as data, and one that is really carried out, fails at a point, and is resumed."""

from __future__ import annotations

import signal
import subprocess
import threading
import time
from pathlib import Path

import pytest
from sqlalchemy import Engine
from sqlmodel import col, select

from models.database import reading, writing
from models.errors import InvalidInput, NotFound, SwapbedError
from models.instances import define_instance, define_run
from models.spec import Node, Parameter, Spec
from models.states import RunState
from models.sweep import POINTS_LIMIT, Point, Sweep, combinations, sweep_id, values_of
from models.tables import Instance, LeaseRow, Run, Template
from models.templates import add_template, project_named
from nodeops.identity import ProcessIdentity
from swapbed import lifecycle, record_verbs, sweeping
from swapbed.present.output import as_data
from tasks.holder import FORM
from tasks.sweeps import read_sweep, write_sweep
from tests.swapbed.conftest import COMMAND, Cli

EXPERIMENT = """
parameters:
  DELAY: {default: 1ms, type: duration}
  COUNT: {default: 1, type: integer}
nodes: {a: {}, b: {}}
links:
  - {name: wire, endpoints: [a, b], delay: "${DELAY}"}
agents:
  pinger: {node: a, command: "ping -q -c $COUNT -i 0.05 b && test $COUNT -lt 3 && echo RESULT count $COUNT && echo RESULT run $RUN"}
timeline:
  0.1s: pinger run
"""


def test_values_of_a_parameter() -> None:
    assert values_of("5ms, 10ms") == ["5ms", "10ms"] and values_of("1..3,9") == ["1", "2", "3", "9"]
    assert values_of("0..100..50") == ["0", "50", "100"] and values_of("-1..1") == ["-1", "0", "1"] and values_of("") == []
    for wrong in ("4..1", "1..999999999", "1..5..0"):
        with pytest.raises(InvalidInput):
            values_of(wrong)


def test_a_grid() -> None:
    assert combinations({"a": ["1", "2"], "b": ["x", "y"]}, 1) == [
        {"a": "1", "b": "x"}, {"a": "1", "b": "y"}, {"a": "2", "b": "x"}, {"a": "2", "b": "y"}]
    for grid, repeats in (({}, 1), ({"a": []}, 1), ({"a": ["1", "1"]}, 1), ({"a": ["1"]}, 0), ({"a": list(map(str, range(1000)))}, 100)):
        with pytest.raises(InvalidInput):
            combinations(grid, repeats)
    assert POINTS_LIMIT < 100_000


def test_points_are_shared_out_among_as_many_instances_as_may_live_at_once() -> None:
    def plan(parallel: int, groups: int, done: int = 0) -> list[list[int]]:
        points = [Point(number=n, repeat=1, parameters={}, group=n % groups, outcome="ok" if n < done else None) for n in range(12)]
        sweep = Sweep(id="w", name="x", project="p", template_id="t", created_by="me", parallel=parallel, groups=["s"] * groups,
                      points=points)
        return [[point.number for point in shard] for shard in sweep.shards()]

    assert plan(1, 1) == [list(range(12))] and [len(shard) for shard in plan(2, 1)] == [6, 6]
    assert [len(shard) for shard in plan(2, 3)] == [4, 4, 4] and plan(4, 1, done=12) == [] and plan(1, 1, done=11) == [[11]]
    assert sorted(number for shard in plan(5, 2) for number in shard) == list(range(12))


def test_an_instance_of_a_sweep_is_not_told_to_have_the_values_of_its_first_point(database: Engine, cli: Cli) -> None:
    parameters = tuple(Parameter(name=name, default="1", value="1") for name in ("COUNT", "FIXED"))
    with writing(database) as session:
        project = project_named(session, "default")
        template = add_template(session, project, name="pings", language="yaml", source="x", source_name="x.yml", created_by="root")
        spec = Spec(nodes=(Node(name="a"),), parameters=parameters)
        instance, lasting = (define_instance(session, project, template, spec, created_by="root", start_run=False) for _ in range(2))
        run = define_run(session, instance, created_by="root", parameters={"COUNT": "2"}, origin="sweep")
        run.state = RunState.OVER
        points = [Point(number=n, repeat=1, parameters={"COUNT": str(n + 1), "FIXED": "1", "DELAY": f"{n // 2}ms"}, group=n // 2)
                  for n in range(4)]
        plan = Sweep(id="w-some", name="pings", project="default", template_id=template.id, created_by="root", points=points,
                     groups=[instance.spec_id, "another"], instances=[instance.id])
    write_sweep(plan)
    shown = cli("inspect", instance.name, "--format", "json").parsed
    assert (shown["parameters"], shown["varied"], shown["sweep"]) == ({"COUNT": "2", "FIXED": "1"}, ["COUNT"], "w-some")
    said = cli("inspect", instance.name).stdout
    assert "parameters: COUNT=2 FIXED=1\n" in said and "varied by sweep w-some: COUNT\n" in said
    assert [one["name"] for one in cli("search", "param.COUNT = 2", "--kind", "instance", "--format", "json").parsed] == [instance.name]

    assert "COUNT=1" in cli("inspect", lasting.name).stdout and cli("inspect", lasting.name, "--format", "json").parsed["varied"] == []
    for count in ("1", "3"):
        with writing(database) as session:
            define_run(session, lasting, created_by="root", parameters={"COUNT": count}).state = RunState.OVER
    said = cli("inspect", lasting.name).stdout
    assert "parameters: COUNT=3 FIXED=1\n" in said and "not the same in all its runs: COUNT\n" in said


def test_names_that_mean_something_else_already_are_told_apart(tmp_path: Path) -> None:
    points = [Point(number=n, repeat=1, parameters={"record": str(n), "COUNT": "5"}, group=0, outcome="ok", record_id="rec-x",
                    results={"COUNT": "7", "outcome": "-1", "loss": "nan", "speed": str(n)}) for n in range(2)]
    plan = Sweep(id="w", name="x", project="p", template_id="t", created_by="me", groups=["s"], points=points)
    done = sweeping.Sweeping(plan, ["record"])
    assert as_data(done.rows()[1]) == {"param.record": 1, "COUNT": 5, "repeat": 1, "outcome": "ok", "record": "rec-x", "result.COUNT": 7,
                                       "result.outcome": -1, "loss": "nan", "speed": 1}
    for value in ("COUNT", "outcome", "loss", "speed"):
        assert done.plot(tmp_path / f"{value}.svg", value, "record").stat().st_size > 1000
    with pytest.raises(NotFound, match="'COUNT' was not swept.*There are: record"):
        done.plot(tmp_path / "x.svg", "speed", "COUNT")


def test_a_parameter_may_be_named_as_what_a_sweep_takes(tmp_path: Path, cli: Cli, state_dir: Path) -> None:
    (tmp_path / "odd.yml").write_text("parameters: {repeats: 1, report: 2}\nnodes: {a: }\nagents: {x: {node: a, command: echo}}\n")
    said = cli("sweep", "odd.yml", "report=1,1", "-S", "repeats=3")
    assert said.returncode == InvalidInput.exit_code and "given twice" in said.stderr
    said = cli("sweep", "odd.yml", "report=1,2", "-S", "report=3")
    assert said.returncode == InvalidInput.exit_code and "both swept and fixed" in said.stderr
    (tmp_path / "odd.yml").write_text("parameters: {definition: 1}\nnodes: {a: }\n")
    assert cli("graph", "odd.yml", "-S", "definition=2").returncode == 0


def test_the_same_sweep_has_the_same_id() -> None:
    assert sweep_id("d", [{"a": "1", "b": "2"}], 2) == sweep_id("d", [{"b": "2", "a": "1"}], 2) != sweep_id("d", [{"a": "1", "b": "2"}], 3)


def test_a_sweep_with_a_failing_point(installation: Path, tmp_path: Path) -> None:
    source = tmp_path / "pings.yml"
    source.write_text(EXPERIMENT)
    for grid, what in (({"NOSUCH": ["1"]}, "no parameter"), ({"COUNT": ["1", "2", "01"]}, "'1' and '01' are the same"),
                       ({"COUNT": 5}, "no list of values"), ({"COUNT": ["some"]}, "not an integer")):
        with pytest.raises(InvalidInput, match=what):
            sweeping.sweep(source, grid)  # type: ignore[arg-type]
    done = sweeping.sweep(source, {"DELAY": ["1ms", "2ms"], "COUNT": "1..3"}, parallel=2)
    assert [point.outcome for point in done.points] == ["ok", "ok", "failed"] * 2, [point.error for point in done.points]
    assert [row.get("count") for row in done.rows()] == [1, 2, None, 1, 2, None]
    for point in done.points:
        spec = Spec.model_validate_json(b"".join(record_verbs.read(record_verbs.find(point.record_id or "").row, "spec.json")))
        assert {one.name: one.value for one in spec.parameters} == point.parameters, "its own, not the first point's of its instance"
    with pytest.raises(InvalidInput, match=r"\.png"):
        done.plot(tmp_path / "x.xyz")
    instances = {record_verbs.find(point.record_id or "").instance.id for point in done.points}
    assert len(done.plan.groups) == 2 and len(instances) == 2  # delays change the network, counts do not
    assert not [one for one in lifecycle.all_living() if one.template.name == "pings"]
    assert done.plot(tmp_path / "sweep.png", "count").stat().st_size > 1000
    assert read_sweep(done.plan.id) == done.plan and done.plan.shards() == []


SLOW = """
parameters:
  COUNT: {default: 1, type: integer}
nodes: {a: {}}
agents:
  worker: {node: a, command: "sleep 1; echo RESULT count $COUNT"}
timeline:
  0s: worker run
"""


def test_a_sweep_whose_process_is_killed_is_resumed_and_runs_every_point_once(installation: Path, tmp_path: Path) -> None:
    """The instance it left goes with the rest."""
    source = tmp_path / "slow.yml"
    source.write_text(SLOW)
    doomed = threading.Thread(target=lambda: pytest.raises(SwapbedError, sweeping.sweep, source, {"COUNT": "1..3"}))
    doomed.start()
    process = _flow_of_run(2)
    process.signal(signal.SIGKILL)
    doomed.join(60)
    assert not doomed.is_alive()
    done = sweeping.sweep(source, {"COUNT": "1..3"}, resume=True)
    assert [row["count"] for row in done.rows()] == [1, 2, 3]
    with reading() as session:
        of_template = select(Run).join(Template).where(Template.name == source.stem)
        runs = list(session.exec(of_template.where(Run.state == RunState.OVER)))
    assert sorted(run.parameters["COUNT"] for run in runs) == ["1", "2", "3"], "each point was run once"
    assert {point.run_id for point in done.points} == {run.id for run in runs}
    assert done.plan.instances == [] and not [one for one in lifecycle.all_living() if one.template.name == source.stem]
    again = sweeping.sweep(source, {"COUNT": "1..3"}, resume=True)
    assert again.plan.points == done.plan.points, "nothing is left to do"


def test_a_sweep_that_is_interrupted_begins_no_further_point(installation: Path, tmp_path: Path) -> None:
    source = tmp_path / "brisk.yml"
    source.write_text(f"name: brisk\n{SLOW}")
    command = subprocess.Popen([COMMAND, "sweep", str(source), "COUNT=1..6"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _flow_of_run(1)
    command.send_signal(signal.SIGINT)
    assert command.wait(120) == 130
    (plan,) = [read_sweep(path.stem) for path in (installation / "sweeps").glob("*.json") if "brisk" in path.read_text()]
    done = [point for point in plan.points if point.outcome is not None]
    assert 0 < len(done) < 6 and {point.outcome for point in done} == {"ok"} and all(point.record_id for point in done)
    assert plan.instances == [] and not [one for one in lifecycle.all_living() if one.template.name == source.stem]
    again = sweeping.sweep(source, {"COUNT": "1..6"}, resume=True)
    assert [row["count"] for row in again.rows()] == [1, 2, 3, 4, 5, 6] and again.points[:len(done)] == done


def _flow_of_run(number: int) -> ProcessIdentity:
    """The process of the sweep, once its run of that number goes on."""
    deadline = time.monotonic() + 90
    while time.monotonic() < deadline:
        with reading() as session:
            going = select(LeaseRow.holder).join(Instance, col(LeaseRow.subject_id) == col(Instance.id)).join(Run)
            holder = session.exec(going.where(Run.state == RunState.RUNNING, Run.number == number, Run.origin == "sweep")).first()
        if holder is not None and (found := FORM.fullmatch(holder)):
            return ProcessIdentity.of(int(found["pid"]))
        time.sleep(0.02)
    raise AssertionError("no such run")
