"""A living instance becomes another template between two runs; what did not change keeps its processes and connections."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from models.database import reading
from models.errors import Conflict, InvalidInput, NotFound
from models.settings import settings
from models.states import InstanceState
from models.tables import Run, Template
from nodeops.layout import InstanceLayout
from nodeops.reach import read_inits
from swapbed import deploy
from swapbed.instance import Instance as Net

BEFORE = """
parameters:
  SLOW: {default: 1ms}
nodes: {a: , b: , gone: }
links:
  - {name: wire, endpoints: [a, b], delay: "${SLOW}"}
  - {name: leaves, endpoints: [b, gone]}
agents:
  worker: {node: a, command: "true"}
"""
AFTER = """
parameters:
  SLOW: {default: 1ms}
nodes: {a: , b: , new: {environment: {ROLE: newcomer}}}
links:
  - {name: wire, endpoints: [a, b], delay: "${SLOW}", bandwidth: 50Mb}
  - {name: comes, endpoints: [b, new]}
agents:
  worker: {node: new, command: "echo $ROLE"}
"""


@pytest.fixture
def net(installation: Path, tmp_path: Path) -> Iterator[Net]:
    (tmp_path / "topology.yml").write_text(BEFORE)
    made = deploy(tmp_path / "topology.yml", start_run=False, SLOW="3ms")
    yield made
    made.destroy()


def _inits(net: Net) -> dict[str, int]:
    found = read_inits(InstanceLayout(settings().instances_dir / net.id))
    return {name: identity.pid for name, identity in found.items() if identity.alive()}


def _pings(net: Net, node: str, target: str) -> bool:
    return net[node].run(f"ping -c 1 -W 2 {target}").exit_code == 0


def test_a_run_may_have_another_template(net: Net, tmp_path: Path, until: Callable[..., None]) -> None:
    net.start()
    net["a"].run("echo mine > /root/kept")
    net.stop()
    before = _inits(net)
    changed = tmp_path / "changed.yml"
    changed.write_text(AFTER)
    run = net.start(template=changed)
    after = _inits(net)
    assert {name: after[name] for name in ("a", "b")} == {name: before[name] for name in ("a", "b")}, "they go on"
    assert set(after) == {"a", "b", "new"}
    assert net["a"].read("/root/kept") == b"mine\n"
    assert _pings(net, "a", "new") and _pings(net, "new", "a") and not _pings(net, "a", "gone"), "routes and names are those of the new"
    assert {pipe.requested.bandwidth_bps for pipe in net.link("wire").show()} >= {50_000_000}
    net.event("worker", "run")
    assert net.log("worker") == "newcomer\n"
    assert net.stop().outcome == "ok"
    with reading() as session:
        first, second = [session.get_one(Run, each.id) for each in net.runs]
        assert session.get_one(Template, first.template_id).source == BEFORE
        assert session.get_one(Template, second.template_id).source == AFTER
        assert run.parameters == {"SLOW": "3ms"}
    assert not (InstanceLayout(settings().instances_dir / net.id).root / "upper" / "gone").exists()


def test_values_that_shape_the_network_reshape_it(net: Net) -> None:
    """Else the record would say what the links were not."""
    before = _inits(net)
    run = net.start(SLOW="9ms")
    assert run.parameters == {"SLOW": "9ms"} and _inits(net) == before
    assert {pipe.shaping.delay_s for pipe in net.link("wire").show()} == {0.0045}
    net.stop()
    assert net.start().parameters == {"SLOW": "9ms"} and {pipe.shaping.delay_s for pipe in net.link("wire").show()} == {0.0045}
    with pytest.raises(Conflict, match="run 2 is running"):
        net.start(SLOW="1ms")
    net.stop()
    net.modify(deploy_name(net), SLOW="5ms")
    assert net.start().parameters == {"SLOW": "5ms"} and {pipe.shaping.delay_s for pipe in net.link("wire").show()} == {0.0025}


def test_there_and_back_and_the_same_again(net: Net, tmp_path: Path) -> None:
    first = deploy_name(net)
    (tmp_path / "topology.yml").write_text(AFTER)
    spared = _inits(net)["b"]
    assert net.modify(tmp_path / "topology.yml").changes.added == ("new",)
    before = _inits(net)
    again = net.modify(tmp_path / "topology.yml")
    assert again.changes.none and _inits(net) == before
    back = net.modify(first)
    assert back.changes.added == ("gone",) and _inits(net)["b"] == spared
    assert _pings(net, "a", "gone")


def deploy_name(net: Net) -> str:
    with reading() as session:
        template = session.get_one(Template, net_row(net).template_id)
        return f"{template.name}@{template.number}"


def net_row(net: Net):
    from swapbed.lifecycle import find

    return find(net.id).row


def test_what_cannot_be_is_refused_before_anything_changes(net: Net, tmp_path: Path) -> None:
    before, wrong = _inits(net), tmp_path / "wrong.yml"
    with pytest.raises(NotFound, match="no such template"):
        net.modify("topology@99")
    wrong.write_text("nodes: {a: }\nlinks: [{endpoints: [a, nobody]}]\n")
    with pytest.raises(InvalidInput, match="nobody"):
        net.modify(wrong)
    wrong.write_text("nodes: {a: , b: {image: /nowhere/at/all}}\n")
    with pytest.raises(NotFound, match="no image"):
        net.modify(wrong)
    with pytest.raises(InvalidInput, match="NOPE"):
        net.modify(tmp_path / "topology.yml", NOPE="1")
    net.start()
    wrong.write_text(AFTER)
    with pytest.raises(Conflict, match="run 1 is running"):
        net.modify(wrong)
    assert _inits(net) == before and net.state == InstanceState.UP and net.runs[-1].state == "running"
    assert _pings(net, "a", "gone")


@pytest.mark.parametrize("step", ["rewire", "_remove"])
def test_a_flow_that_is_killed_in_the_middle_leaves_it_as_it_was(net: Net, tmp_path: Path, step: str, until: Callable[..., None]) -> None:
    """The host agent dies with the flow's process; recovery brings the instance back, and modifying it can be tried again."""
    spared = {name: _inits(net)[name] for name in ("a", "b")}
    (tmp_path / "topology.yml").write_text(AFTER)
    code = KILLED.format(step=step)
    died = subprocess.run([sys.executable, "-c", code, str(tmp_path / "topology.yml"), net.id], env=os.environ, capture_output=True)
    assert died.returncode == -signal.SIGKILL, died.stderr.decode()[-2000:]
    from models.database import writing
    from models.leases import acquire, release
    from models.states import Subject
    from models.transition import transition
    from swapbed.serving.launch import launch

    lease = acquire(Subject.INSTANCE, net.id, holder="nobody pid 0", purpose="modify")
    with writing() as session:
        transition(session, type(net_row(net)), net.id, InstanceState.MODIFYING, lease=lease)
    release(lease)
    launch("recover", instance_id=net.id)
    until(lambda: net.state == InstanceState.UP)
    assert {name: _inits(net)[name] for name in ("a", "b")} == spared
    assert set(_inits(net)) == {"a", "b", "gone"}
    net._look_again()
    assert _pings(net, "a", "gone")
    net.modify(tmp_path / "topology.yml")
    assert {name: _inits(net)[name] for name in ("a", "b")} == spared and _pings(net, "a", "new")


KILLED = """
import os, signal, sys
from models.protocol.host import Create
from nodeops import modify
from nodeops.instance import layout_of, read_record, read_spec
from swapbed.sources.source import evaluated
real = modify.{step}
def deadly(*arguments, **keywords):
    real(*arguments, **keywords)
    os.kill(os.getpid(), signal.SIGKILL)
modify.{step} = deadly
record = read_record(layout_of(sys.argv[2]))
spec = evaluated(sys.argv[1], dict(SLOW="3ms"))[1].spec
modify.modify(Create(instance=record.instance, name=record.name, project=record.project, fence=record.fence, spec=spec),
              lambda text, done, total: None)
"""
