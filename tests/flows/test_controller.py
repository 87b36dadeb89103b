"""The controller runs flows for commands, hears what instances ask for, and finishes what died; and may itself be killed at any moment."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlmodel import select

from models.database import reading
from models.errors import InvalidInput, NotFound, SwapbedError
from models.protocol.control import Progress
from models.states import InstanceState, RunState, Subject
from models.tables import Instance, LeaseRow, OutboxMessage, Run
from swapbed.serving import server
from swapbed.serving.launch import launch
from tasks.holder import is_dead

TERMINATES = """
nodes:
  a: {}
agents:
  worker: {node: a, command: "sleep 0.2"}
sequences:
  all:
    - worker run
    - instance terminate
on_start: all
"""
RUNS_TWICE = """
nodes:
  a: {}
agents:
  worker: {node: a, command: "true"}
sequences:
  all:
    - worker run
    - instance stop-run
    - instance start-run
on_start: all
"""

THIRTY = "nodes:\n" + "".join(f"  n{number}: {{}}\n" for number in range(30))


@pytest.fixture(autouse=True)
def _installed(installation: Path) -> None:
    """Server and controller of the session."""


def _messages(instance: Instance) -> list[OutboxMessage]:
    with reading() as session:
        return list(session.exec(select(OutboxMessage).where(OutboxMessage.instance_id == instance.id).order_by(OutboxMessage.number)))


def _runs(instance: Instance) -> list[Run]:
    with reading() as session:
        return list(session.exec(select(Run).where(Run.instance_id == instance.id).order_by(Run.number)))


def test_a_command_sees_progress_and_result_and_errors(define: Callable[..., Instance]) -> None:
    instance = define()
    seen: list[Progress] = []
    result = launch("instantiate", seen.append, instance_id=instance.id)
    assert result["run_id"] and any(progress.total for progress in seen)
    launch("destroy", instance_id=instance.id)
    with pytest.raises(NotFound, match="no such instance"):
        launch("destroy", instance_id="i-aaaaaaaaaa")
    with pytest.raises(NotFound, match="no flow 'explode'"):
        launch("explode", instance_id="i-aaaaaaaaaa")
    with pytest.raises(InvalidInput, match="is not an id"):
        launch("destroy", instance_id="../../etc")


def test_a_sequence_that_says_terminate_ends_the_instance(define: Callable[..., Instance], look: Callable[[str], Instance],
                                                          until: Callable[..., None]) -> None:
    instance = define(TERMINATES)
    launch("instantiate", instance_id=instance.id)
    until(lambda: look(instance.id).state is InstanceState.DESTROYED)
    until(lambda: all(message.handled_at for message in _messages(instance)))
    assert [message.state for message in _messages(instance) if message.kind == "terminate"] == ["handled"]
    (run,) = _runs(instance)
    assert run.state is RunState.OVER


def test_a_sequence_may_stop_its_run_and_start_the_next(define: Callable[..., Instance], until: Callable[..., None]) -> None:
    instance = define(RUNS_TWICE)
    launch("instantiate", instance_id=instance.id)
    until(lambda: len(_runs(instance)) >= 2 and _runs(instance)[1].state in (RunState.RUNNING, RunState.OVER))
    first, second, *_ = _runs(instance)
    assert (first.state, first.outcome, second.origin) == (RunState.OVER, "ok", "event")
    _destroy(instance)


def _destroy(instance: Instance) -> None:
    """The controller may be at work on it."""
    while True:
        try:
            launch("destroy", instance_id=instance.id)
            return
        except SwapbedError as error:
            assert error.exit_code == 5, error
            time.sleep(0.1)


def test_each_message_is_handled_once_though_the_controller_is_killed(define: Callable[..., Instance], look: Callable[[str], Instance],
                                                                     until: Callable[..., None]) -> None:
    instance = define(TERMINATES)
    launch("instantiate", instance_id=instance.id)
    for _ in range(4):  # at whatever it is doing
        controller = server.status().controller
        if controller is not None:
            controller.signal(signal.SIGKILL)
        time.sleep(0.2)
        server.ensure()
    until(lambda: look(instance.id).state is InstanceState.DESTROYED, 40)
    until(lambda: bool(_messages(instance)) and all(message.handled_at for message in _messages(instance)), 40)
    numbers = [message.number for message in _messages(instance)]
    assert numbers == list(range(len(numbers)))
    assert {message.state for message in _messages(instance)} == {"handled"}


def test_an_interrupted_command_leaves_nothing(define: Callable[..., Instance], look: Callable[[str], Instance]) -> None:
    instance = define(THIRTY)
    told = "lambda progress: print(progress.text, flush=True)"
    code = f"from swapbed.serving.launch import launch; launch('instantiate', {told}, instance_id='{instance.id}')"
    command = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ)
    assert command.stdout and command.stdout.readline()
    command.send_signal(signal.SIGINT)
    _, said = command.communicate(timeout=60)
    assert "KeyboardInterrupt" in said
    failed = look(instance.id)
    assert failed.state is InstanceState.FAILED and "cancelled" in (failed.reason or "")


def test_a_flow_that_is_killed_is_told_of_and_recovered(define: Callable[..., Instance], look: Callable[[str], Instance],
                                                        until: Callable[..., None]) -> None:
    instance = define(THIRTY)

    def kill(progress: Progress) -> None:
        with reading() as session:
            holder = session.get_one(LeaseRow, (Subject.INSTANCE, instance.id)).holder
        if not is_dead(holder):
            os.kill(int(holder.split()[2]), signal.SIGKILL)

    with pytest.raises(SwapbedError, match="died"):
        launch("instantiate", kill, instance_id=instance.id)
    until(lambda: look(instance.id).state is InstanceState.FAILED)

