"""Seeing a run through without anybody watching: until it has done all that it does by itself."""

from __future__ import annotations

import time
from typing import Literal

from prefect import task

from models.database import reading
from models.errors import NotFound, TimedOut
from models.instances import run_by_id
from models.protocol.conductor import RunInfo, Runs, Wait
from models.protocol.control import Nothing
from models.tables import Run
from tasks.daemons import ask_conductor
from tasks.progress import report

PIECE_S = 10.0


@task(task_run_name="see run through")
def see_through(run_id: str, at_least_s: float = 0.0, limit_s: float | None = None) -> None:
    """Returns when nothing more will happen by itself, and all programs have ended or at_least_s are over. Raises TimedOut at limit_s.

    A server that was started and never ends by itself is no reason to wait on.
    """
    with reading() as session:
        run = run_by_id(session, run_id)
    begun = time.monotonic()

    def left_s(until_s: float | None) -> float:
        return PIECE_S if until_s is None else max(0.0, min(PIECE_S, until_s - (time.monotonic() - begun)))

    while _goes_on(info := _wait(run, "quiet", left_s(limit_s)), run):
        if limit_s is not None and left_s(limit_s) == 0:
            raise TimedOut(f"run {run.number} is not done after {limit_s:g} s", where=run.instance_id)
        report(f"run {run.number} is going on")
    while info is not None and info.phase == "running" and info.running and left_s(at_least_s) > 0:
        info = _wait(run, "idle", left_s(at_least_s))


def _goes_on(info: RunInfo | None, run: Run) -> bool:
    """Whether more is to happen by itself. A conductor that is gone, or has another run, says no: stopping the run will tell why."""
    return info is not None and info.number == run.number and (info.phase == "starting" or (
        info.phase == "running" and bool(info.pending or info.waiting)))


def _wait(run: Run, until: Literal["quiet", "idle"], wait_s: float) -> RunInfo | None:
    """The run as it stands when it has come so far, or when time is up."""
    try:
        return ask_conductor(run.instance_id, "wait", Wait(until=until, timeout_s=wait_s), RunInfo, timeout_s=wait_s + 30)
    except TimedOut:
        return ask_conductor(run.instance_id, "run", Nothing(), Runs).current
    except NotFound:
        return None
