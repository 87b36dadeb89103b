"""Killed at any step, flows leave what can be finished: run again, or recovered, they end where they would have, and nothing leaks."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from flows import load
from models.database import reading
from models.instances import current_run
from models.leases import acquire
from models.settings import settings
from models.states import InstanceState, RecordState, RunState, Subject
from models.tables import Instance
from swapbed.controller.committing import records_to_finalize
from swapbed.controller.recovery import left_by_the_dead
from tasks.holder import is_dead, own_name
from tasks.record_trees import first_record, record_by_id
from tests.flows.dying import dies

# In another process: the named function does what it does, and in the next instant the process is no more.
KILLED_AFTER = """
import importlib, os, signal, sys
module, name, flow, *ids = sys.argv[1:]
from flows import load
flow = load(flow)
owner = importlib.import_module(module)
real = getattr(owner, name)
def deadly(*arguments, **keywords):
    real(*arguments, **keywords)
    os.kill(os.getpid(), signal.SIGKILL)
setattr(owner, name, deadly)
flow(*ids)
"""


pytestmark = pytest.mark.usefixtures("prefect_server", "state_dir")


def _killed_after(module: str, name: str, flow: str, subject_id: str) -> None:
    assert dies(flow, subject_id, f"{module}:{name}"), "it never came to that step"


def _nothing_on_this_host() -> bool:
    return not settings().instances_dir.exists() or not list(settings().instances_dir.iterdir())


def test_a_dead_holder_is_known_as_such() -> None:
    assert not is_dead(own_name())
    code = "from tasks.holder import own_name; print(own_name())"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert is_dead(ended.stdout.strip())
    assert not is_dead(ended.stdout.strip().replace("pid", "on another machine pid"))


@pytest.mark.parametrize(("module", "step"), [("flows.instantiate", "place_nodes"), ("nodeops.session", "HostSession.do"),
                                              ("flows.instantiate", "placed_and_up"), ("flows.instantiate", "publish_topology")])
def test_instantiate_killed_after_a_step(define: Callable[..., Instance], look: Callable[[str], Instance], module: str, step: str) -> None:
    instance = define()
    if "." in step:
        owner, name = step.split(".")
        code = KILLED_AFTER.replace("owner = importlib.import_module(module)", f"owner = importlib.import_module(module).{owner}")
        died = subprocess.run([sys.executable, "-c", code, module, name, "instantiate", instance.id], capture_output=True, timeout=90)
        assert died.returncode == -signal.SIGKILL
    else:
        _killed_after(module, step, "instantiate", instance.id)
    if look(instance.id).state is InstanceState.UP:  # it had got that far; only its first run never began
        assert left_by_the_dead() == []
        load("destroy")(instance.id)
    else:
        assert left_by_the_dead() == [instance.id]
        assert load("recover")(instance.id)["state"] == InstanceState.FAILED
        assert "died" in (look(instance.id).reason or "")
    assert _nothing_on_this_host()
    assert left_by_the_dead() == []


def test_instantiate_killed_and_run_again_comes_up(define: Callable[..., Instance], look: Callable[[str], Instance]) -> None:
    instance = define()
    _killed_after("flows.instantiate", "place_nodes", "instantiate", instance.id)
    load("instantiate")(instance.id)
    assert look(instance.id).state is InstanceState.UP
    load("destroy")(instance.id)


@pytest.mark.parametrize("step", ["end_current_run", "change", "free_hosts"])
def test_destroy_killed_after_a_step(define: Callable[..., Instance], look: Callable[[str], Instance], step: str) -> None:
    instance = define()
    load("instantiate")(instance.id)
    _killed_after("flows.destroy", step, "destroy", instance.id)
    if look(instance.id).state is InstanceState.DESTROYING:
        assert left_by_the_dead() == [instance.id]
        load("recover")(instance.id)
    else:
        load("destroy")(instance.id)
    assert look(instance.id).state is InstanceState.DESTROYED
    assert _nothing_on_this_host()


@pytest.mark.parametrize(("flow", "step"), [("start_run", "ask_conductor"), ("stop_run", "collect_events")])
def test_a_run_whose_flow_was_killed_is_brought_to_its_end(define: Callable[..., Instance], flow: str, step: str) -> None:
    from models.database import writing
    from models.instances import define_run

    instance = define(start_run=flow == "stop_run")
    run_id = load("instantiate")(instance.id)["run_id"]
    if flow == "start_run":
        with writing() as session:
            run_id = define_run(session, session.get_one(Instance, instance.id), created_by="test").id
    _killed_after("tasks.runs", step, flow, run_id)
    assert left_by_the_dead() == [instance.id]
    load("recover")(instance.id)
    with reading() as session:
        assert current_run(session, instance.id) is None
    assert left_by_the_dead() == []
    load("destroy")(instance.id)


@pytest.mark.parametrize(("module", "step"), [("flows.stop_run", "end"), ("tasks.records", "gathered"), ("tasks.records", "write_content"),
                                              ("tasks.records", "forget_on_hosts"), ("flows.stop_run", "carried_on")])
def test_a_record_whose_flow_was_killed_is_committed_by_another(define: Callable[..., Instance], module: str, step: str) -> None:
    """The run is over, and whoever stopped it has been told so."""
    instance = define()
    run_id = load("instantiate")(instance.id)["run_id"]
    _killed_after(module, step, "stop_run", run_id)
    assert left_by_the_dead() == []
    with reading() as session:
        record = first_record(session, run_id)
    assert record is not None
    if record.state is RecordState.COMMITTING:
        deadline = time.monotonic() + 20
        while records_to_finalize() != [record.id]:
            assert time.monotonic() < deadline
            time.sleep(0.05)
    load("finalize_record")(record.id)
    assert record_by_id(record.id).state is RecordState.FINAL and records_to_finalize() == []
    load("destroy")(instance.id)


def test_who_was_thought_dead_comes_back_to_nothing(define: Callable[..., Instance], look: Callable[[str], Instance]) -> None:
    """Its lease is taken over in the middle of it; what it does then is refused by the database, and it fails."""
    instance = define()
    code = KILLED_AFTER.replace("    os.kill(os.getpid(), signal.SIGKILL)", "    os.kill(os.getpid(), signal.SIGSTOP)")
    sleeper = subprocess.Popen([sys.executable, "-c", code, "flows.instantiate", "place_nodes", "instantiate", instance.id],
                               stderr=subprocess.PIPE, text=True)
    try:
        while Path(f"/proc/{sleeper.pid}/stat").read_text().rpartition(")")[2].split()[0] != "T":
            assert sleeper.poll() is None
        acquire(Subject.INSTANCE, instance.id, holder="heir", purpose="recover", is_dead=lambda _: True)
    finally:
        sleeper.send_signal(signal.SIGCONT)
    _, said = sleeper.communicate(timeout=60)
    assert sleeper.returncode != 0 and "taken by somebody else" in said
    assert look(instance.id).state is InstanceState.INSTANTIATING  # the heir's to finish
    assert _nothing_on_this_host()
    assert RunState.RUNNING not in {run.state for run in _runs(instance)}


def _runs(instance: Instance) -> list:
    from sqlmodel import select

    from models.tables import Run

    with reading() as session:
        return list(session.exec(select(Run).where(Run.instance_id == instance.id)))
