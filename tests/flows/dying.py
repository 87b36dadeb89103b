"""A flow in a process of its own that is killed, with all it started, as soon as one of its steps has returned."""

from __future__ import annotations

import multiprocessing
import os
import signal
import tempfile
from importlib import import_module
from types import ModuleType
from typing import Any

from flows import FLOWS
from models.database import engine
from models.settings import settings

CONTEXT = multiprocessing.get_context("forkserver")  # importing Prefect takes seconds, and there are many steps to die after
CONTEXT.set_forkserver_preload([*FLOWS.values(), "prefect.flow_engine", "prefect.task_engine", __name__])
NOT_STEPS = ("working_on", "named", "host_of")  # they change nothing


def steps(module: ModuleType) -> dict[str, Any]:
    """What a flow's module has from the floor below it: its steps, whatever they are; the table is the module itself."""
    return {name: value for name, value in vars(module).items()
            if name not in NOT_STEPS and getattr(getattr(value, "fn", value), "__module__", "").startswith("tasks.") and callable(value)}


def dies(flow: str, instance_id: str, step: str, number: int = 1, *others: str) -> bool:
    """step: a name in the flow's module, or MODULE:NAME for a step of one of its steps. number: of its calls. others: further instances.

    False: the flow never came to that, and ended well.
    """
    with tempfile.NamedTemporaryFile() as said:
        process = CONTEXT.Process(target=_die, args=(dict(os.environ), said.name, flow, instance_id, step, number, others))
        process.start()
        process.join()
        assert process.exitcode in (0, -signal.SIGKILL), f"{step}: {said.read()[-9000:].decode()}"
    return process.exitcode != 0


def _die(environment: dict[str, str], said: str, flow: str, instance_id: str, step: str, number: int, others: tuple[str, ...]) -> None:
    os.environ.clear()
    os.environ.update(environment)
    settings.cache_clear()
    engine.cache_clear()
    out = os.open(said, os.O_WRONLY)
    for each in (1, 2):
        os.dup2(out, each)
    module = import_module(f"flows.{flow}")
    where, _, name = step.rpartition(":")
    owner = import_module(where) if where else module
    whole, calls = getattr(owner, name), []

    def dying(*args: Any, **kwargs: Any) -> Any:
        result = whole(*args, **kwargs)
        calls.append(step)
        if len(calls) == number:
            os.kill(os.getpid(), signal.SIGKILL)
        return result

    dying.fn = getattr(whole, "fn", None)  # type: ignore[attr-defined]  # of a task: how the undoing calls it
    setattr(owner, name, dying)
    from prefect.settings import get_current_settings

    get_current_settings().flows.heartbeat_frequency = None
    getattr(module, flow)(instance_id, *others)
