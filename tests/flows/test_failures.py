"""Nodes, inits, wires and conductors that are killed: the run, the instance and the record do as the template says."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from models.database import reading
from models.errors import HostProblem
from models.settings import settings
from models.states import RunState
from models.tables import Instance, Run
from nodeops import daemons
from nodeops.layout import InstanceLayout
from nodeops.reach import read_inits
from swapbed import deploy, past
from swapbed.instance import Instance as Net
from swapbed.living import mending

TEMPLATE = """
nodes:
  a: {{failure: {failure}{procedure}}}
  b: {{failure: {other}}}
links:
  - {{name: wire, endpoints: [a, b], delay: 2ms}}
agents:
  works: {{node: a, command: "echo first > /root/kept; exec sleep 100"}}
  mourns: {{node: b, command: "echo a is dead"}}
sequences:
  procedure:
    - mourns run
timeline:
  0s: works start
"""
Failing = Callable[..., Net]


@pytest.fixture
def failing(installation: Path, tmp_path: Path) -> Iterator[Failing]:
    """failing("fatal", other="nonfatal", procedure=False) → two nodes on a link, a program running in the first."""
    made: list[Net] = []

    def one(failure: str, other: str = "nonfatal", *, procedure: bool = False) -> Net:
        (tmp_path / "pair.yml").write_text(TEMPLATE.format(failure=failure, other=other,
                                                           procedure=", on_failure: procedure" if procedure else ""))
        made.append(deploy(tmp_path / "pair.yml"))
        return made[-1]

    yield one
    for net in made:
        net.destroy()


def _layout(net: Net) -> InstanceLayout:
    return InstanceLayout(settings().instances_dir / net.id)


def _kill_node(net: Net, node: str) -> int:
    init = read_inits(_layout(net))[node]
    assert init.signal(signal.SIGKILL)
    return init.pid


def _kill_daemon(net: Net, name: str) -> None:
    identity = daemons.identity_of(_layout(net), name)  # type: ignore[arg-type]
    assert identity is not None and identity.signal(signal.SIGKILL)


def _pid(net: Net, node: str) -> int:
    return read_inits(_layout(net))[node].pid


def _told(run: Run) -> list[str]:
    return [f"{event.target} {event.kind}".strip() for event in past.of_run(run)]


def _pings(net: Net) -> bool:
    return net["b"].run("ping -c 1 -W 2 a").exit_code == 0


def test_a_fatal_death_ends_the_run_as_failed_and_the_record_tells_why(failing: Failing) -> None:
    net = failing("fatal", procedure=True)
    _kill_node(net, "a")
    run = net.wait(timeout_s=30)
    assert (run.state, run.outcome) == (RunState.OVER, "failed")
    assert "a failure: the node died" in (run.reason or "")
    assert "a node-died" in _told(run) and "procedure completed" in _told(run)
    with pytest.raises(HostProblem, match="node a is dead since before this run"):
        net.start()
    assert net.runs[-1].state is RunState.FAILED and net.state == "up"
    assert net.mend() == ("a",)
    assert net["a"].read("/root/kept") == b"first\n"
    again = net.start()
    assert again.state is RunState.RUNNING and _pings(net)


def test_a_death_that_is_not_fatal_leaves_run_and_other_nodes_alone(failing: Failing, until: Callable[..., None]) -> None:
    net = failing("nonfatal", procedure=True)
    spared = _pid(net, "b")
    _kill_node(net, "a")
    until(lambda: any(line.kind == "completed" and line.target == "procedure" for line in net.events()))
    assert net.runs[-1].state is RunState.RUNNING
    run = net.stop()
    assert (run.outcome, _pid(net, "b")) == ("ok", spared)
    assert "a node-died" in _told(run) and "a node-back" not in _told(run)
    assert net.start().state is RunState.RUNNING
    second = net.stop()
    assert "a node-died" in _told(second), "the record of the next run tells it, too"


def test_a_node_that_is_to_be_restarted_comes_back_as_the_spec_has_it(failing: Failing, until: Callable[..., None]) -> None:
    net = failing("restart")
    before = _kill_node(net, "a")
    until(lambda: any(line.kind == "node-back" for line in net.events()))
    assert _pid(net, "a") != before
    assert net["a"].read("/root/kept") == b"first\n"
    until(lambda: _pings(net))
    assert net["a"].run("ip -brief address show eth1").stdout.split()[2] == net["a"].addresses["eth1"][0]
    net.event("works", "start", command="exec sleep 50")
    run = net.stop()
    assert run.outcome == "ok" and _told(run).index("a node-died") < _told(run).index("a node-back")


def test_wires_that_die_are_started_again_and_as_fatal_as_the_nodes_on_them(failing: Failing, until: Callable[..., None]) -> None:
    net = failing("nonfatal")
    net.link("wire").set(delay="30ms")
    _kill_daemon(net, "wires")
    until(lambda: any(line.kind == "wires-back" for line in net.events()))
    until(lambda: _pings(net))
    assert max(pipe.shaping.delay_s for pipe in net.link("wire").show()) > 0.01, "as it was changed"
    run = net.stop()
    assert run.outcome == "ok" and "wires-died" in _told(run)


def test_wires_that_die_under_a_fatal_node_end_the_run(failing: Failing, until: Callable[..., None]) -> None:
    net = failing("nonfatal", "fatal")
    _kill_daemon(net, "wires")
    run = net.wait(timeout_s=30)
    assert run.outcome == "failed" and "the wires died" in (run.reason or "")
    assert net.start().state is RunState.RUNNING and _pings(net)


def test_everything_on_a_host_found_dead_between_two_runs_is_started_again(failing: Failing) -> None:
    """As after a crash of the host, which leaves the files."""
    net = failing("restart", "restart")
    net.stop()
    for daemon in ("conductor", "wires"):
        _kill_daemon(net, daemon)
    pids = {node: _kill_node(net, node) for node in ("a", "b")}
    run = net.start()
    assert run.state is RunState.RUNNING
    assert all(_pid(net, node) != pid for node, pid in pids.items())
    assert _pings(net)
    assert net.stop().outcome == "ok"


def test_a_conductor_that_dies_is_started_again_by_the_controller(failing: Failing, until: Callable[..., None]) -> None:
    net = failing("fatal")
    before = daemons.identity_of(_layout(net), "conductor")
    _kill_daemon(net, "conductor")
    until(lambda: daemons.identity_of(_layout(net), "conductor") != before)
    daemons.await_ready(_layout(net), "conductor")
    assert any(line.kind == "restarted" for line in net.events())
    run = net.stop()
    assert run.outcome == "ok"


def test_mending_what_is_well_does_nothing(failing: Failing) -> None:
    net = failing("fatal")
    before = _pid(net, "a")
    assert mending.mend(net.name) == ()
    assert _pid(net, "a") == before
    with reading() as session:
        assert session.get_one(Instance, net.id).state == "up"
