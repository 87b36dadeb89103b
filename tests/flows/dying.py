"""A flow in a process of its own that is killed, with all it started, as soon as one of its steps has returned.

    python -m tests.flows.dying FLOW INSTANCE_ID STEP NUMBER [ID]     (NUMBER: the how manieth call of that step; ID: of another instance)

STEP is a name in the flow's module, or MODULE:NAME for a step of one of its steps.
"""

from __future__ import annotations

import os
import signal
import sys
from importlib import import_module
from types import ModuleType
from typing import Any

NOT_STEPS = ("working_on", "named", "host_of")  # they change nothing


def steps(module: ModuleType) -> dict[str, Any]:
    """What a flow's module has from the floor below it: its steps, whatever they are; the table is the module itself."""
    return {name: value for name, value in vars(module).items()
            if name not in NOT_STEPS and getattr(getattr(value, "fn", value), "__module__", "").startswith("tasks.") and callable(value)}


def main(flow: str, instance_id: str, step: str, number: str, *others: str) -> None:
    module = import_module(f"flows.{flow}")
    where, _, name = step.rpartition(":")
    owner = import_module(where) if where else module
    whole, calls = getattr(owner, name), []

    def dying(*args: Any, **kwargs: Any) -> Any:
        result = whole(*args, **kwargs)
        calls.append(step)
        if len(calls) == int(number):
            os.kill(os.getpid(), signal.SIGKILL)
        return result

    dying.fn = getattr(whole, "fn", None)  # type: ignore[attr-defined]  # of a task: how the undoing calls it
    setattr(owner, name, dying)
    from prefect.settings import get_current_settings

    get_current_settings().flows.heartbeat_frequency = None
    getattr(module, flow)(instance_id, *others)


if __name__ == "__main__":
    main(*sys.argv[1:])
