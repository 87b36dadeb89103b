"""Runs in lists and one by one."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from pydantic import BaseModel, ConfigDict

from models.tables import Run
from swapbed.present import units
from swapbed.present.output import Format, print_json, print_text, table


class RunShown(BaseModel):
    """times are UTC; begin_ns, end_ns are virtual."""

    model_config = ConfigDict(from_attributes=True)

    number: int
    state: str
    outcome: str | None
    reason: str | None
    parameters: dict[str, str]
    environment_of_run: str
    origin: str
    began_at: datetime | None
    ended_at: datetime | None
    begin_ns: int | None
    end_ns: int | None


def show(runs: Sequence[Run], output: Format, *, one: bool = False) -> None:
    shown = [RunShown.model_validate(run) for run in runs]
    if output is Format.JSON:
        print_json(shown[0] if one else shown)
    elif one:
        print_text(sentence(shown[0]))
    else:
        print_text(table(None, ("#run", "state", "outcome", "lasted", "parameters"), [
            (run.number, run.state, f"{run.outcome or ''}{f': {run.reason}' if run.reason else ''}", lasted(run),
             " ".join(f"{name}={value}" for name, value in run.parameters.items())) for run in shown], empty="none yet"))


def sentence(run: RunShown) -> str:
    """`run 2 is over: ok, after 10.3 s`."""
    outcome = f": {run.outcome}{f' ({run.reason})' if run.reason else ''}" if run.outcome else ""
    return f"run {run.number} is {run.state}{outcome}{f', after {lasted(run)}' if lasted(run) else ''}"


def lasted(run: RunShown) -> str:
    if run.begin_ns is None or run.end_ns is None:
        return ""
    return units.duration((run.end_ns - run.begin_ns) / 1e9)
