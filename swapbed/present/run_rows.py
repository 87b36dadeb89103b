"""Runs in lists and one by one."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict

from models.tables import Run
from swapbed.present import units
from swapbed.present.output import Format, print_json, print_text, table

if TYPE_CHECKING:
    from rich.table import Table

    from swapbed.living.runs import Known


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
    hidden_at: datetime | None
    expunged_at: datetime | None


class RunDetails(RunShown):
    """template: `name@number`, as the instance was during this run. record: id of the newest revision."""

    id: str
    instance: str
    template: str
    inputs: list[dict[str, str]]
    created_by: str
    record: str | None
    record_state: str | None


def details(known: Known) -> RunDetails:
    row, record = known.row, known.record
    return RunDetails(**RunShown.model_validate(row).model_dump(), id=row.id, instance=known.instance.name, inputs=row.inputs,
                      template=f"{known.template.name}@{known.template.number}", created_by=row.created_by,
                      record=record.id if record else None,
                      record_state=("expunged" if record.expunged_at else record.state) if record else None)


def facts_table(run: RunDetails) -> Table:
    outcome = f"{run.outcome or ''}{f': {run.reason}' if run.reason else ''}"
    began, ended = (f"{at:%Y-%m-%d %H:%M:%S} UTC" if at else "" for at in (run.began_at, run.ended_at))
    gone = " (expunged)" if run.expunged_at else " (hidden)" if run.hidden_at else ""
    pairs = [("run", f"{run.instance}/{run.number}{gone}"), ("id", run.id), ("template", run.template),
             ("state", run.state), ("outcome", outcome), ("began", began), ("ended", ended), ("lasted", lasted(run)),
             ("files in nodes", run.environment_of_run), ("started by", f"{run.created_by} ({run.origin})"),
             ("record", f"{run.record}, {run.record_state}" if run.record else "none yet"),
             *((f"parameter {name}", value) for name, value in run.parameters.items()),
             *((f"input for {given['node']}", f"{given['target']} from {given['path']} of {given['record'][:12]}") for given in run.inputs)]
    return table(None, ("what", "value"), [(name, value) for name, value in pairs if value])


def show(runs: Sequence[Run], output: Format, *, one: bool = False, hidden: bool = False) -> None:
    """hidden: these are shown like the others."""
    shown = [RunShown.model_validate(run) for run in runs]
    if output is Format.JSON:
        print_json(shown[0] if one else shown)
    elif one:
        print_text(sentence(shown[0]))
    else:
        print_text(table(None, ("#run", "state", "outcome", "lasted", "parameters"), [_row(run, hidden) for run in shown],
                         empty="none yet"))


def _row(run: RunShown, hidden: bool) -> tuple[object, ...]:
    if run.expunged_at or (run.hidden_at and not hidden):
        return run.number, "(expunged)" if run.expunged_at else "(hidden)", "", "", ""
    return (run.number, run.state + (", hidden" if run.hidden_at else ""), f"{run.outcome or ''}{f': {run.reason}' if run.reason else ''}",
            lasted(run), " ".join(f"{name}={value}" for name, value in run.parameters.items()))


def sentence(run: RunShown) -> str:
    """`run 2 is over: ok, after 10.3 s`."""
    outcome = f": {run.outcome}{f' ({run.reason})' if run.reason else ''}" if run.outcome else ""
    return f"run {run.number} is {run.state}{outcome}{f', after {lasted(run)}' if lasted(run) else ''}"


def lasted(run: RunShown) -> str:
    if run.begin_ns is None or run.end_ns is None:
        return ""
    return units.duration((run.end_ns - run.begin_ns) / 1e9)
