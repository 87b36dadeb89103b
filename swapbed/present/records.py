"""Records in lists, one by one, and compared."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

from models.tables import Instance, Run
from swapbed.present import units
from swapbed.present.output import table
from swapbed.present.summary import result
from swapbed.record_difference import Changed, RecordDifference
from swapbed.record_verbs import Known

if TYPE_CHECKING:
    from rich.table import Table

COLUMNS = ("record", "run", "outcome", "state", "#files", "#size", "began", "parameters", "results")
DIFFERENCES_LIMIT = 60


class RecordShown(BaseModel):
    """name: INSTANCE/RUN. root: hash of all of it. instance_id, run_id: of the database, for programs. template: `name@2`; not in lists.
    *tombstone: hidden or expunged."""

    id: str
    name: str
    instance: str
    instance_id: str
    run: int
    run_id: str
    template: str | None
    revision: int
    state: str
    reason: str | None
    outcome: str | None
    parameters: dict[str, str]
    results: dict[str, str]
    root: str | None
    size_bytes: int
    files: int
    replay_of: str | None
    began_at: datetime | None
    ended_at: datetime | None
    committed_at: datetime | None
    window_closes_at: datetime | None
    imported_from: str | None
    hidden: bool
    instance_tombstone: str | None
    run_tombstone: str | None


def of(known: Known) -> RecordShown:
    row, run, instance = known.row, known.run, known.instance
    state = "expunged" if row.expunged_at else row.state
    return RecordShown(id=row.id, name=known.name, instance=instance.name, instance_id=instance.id, run=run.number, run_id=run.id,
                       revision=row.revision, state=state, reason=row.reason, outcome=run.outcome, parameters=run.parameters,
                       results=row.summary.get("results", {}), root=row.root, size_bytes=row.size_bytes, files=row.files,
                       replay_of=instance.replay_of_id, began_at=run.began_at, ended_at=run.ended_at, committed_at=row.committed_at,
                       window_closes_at=row.window_closes_at if state == "open" else None, imported_from=row.imported_from,
                       template=known.template, hidden=row.hidden_at is not None, instance_tombstone=tombstone(instance),
                       run_tombstone=tombstone(run))


def tombstone(row: Instance | Run) -> str | None:
    return "expunged" if row.expunged_at else "hidden" if row.hidden_at else None


def rows(shown: Iterable[RecordShown]) -> list[tuple[Any, ...]]:
    """Two levels: a line for each instance, and below it one for each run; of one that is hidden or expunged nothing but its place."""
    lines: list[tuple[Any, ...]] = []
    last = ""
    for one in shown:
        if one.instance_id != last:
            last = one.instance_id
            lines.append((one.instance + (f" ({one.instance_tombstone})" if one.instance_tombstone else ""), *[""] * (len(COLUMNS) - 1)))
        revision = f" rev {one.revision}" if one.revision > 1 else ""
        state = f"{one.state}{', hidden' if one.hidden else ''}{f': {one.reason}' if one.reason else ''}"
        began, told = (f"{one.began_at:%Y-%m-%d %H:%M:%S}" if one.began_at else ""), one.parameters
        outcome = one.outcome
        if one.run_tombstone:
            outcome, began, told = f"({one.run_tombstone})", "", {}
        lines.append((f"  {one.id}{revision}", one.run, outcome, state, one.files, units.size(one.size_bytes), began,
                      " ".join(f"{name}={value}" for name, value in told.items()),
                      ", ".join(result(name, value) for name, value in one.results.items())))
    return lines


def list_table(shown: Sequence[RecordShown]) -> Table:
    return table(None, COLUMNS, rows(shown), empty="none yet: a run's record is made when it stops")


def facts(one: RecordShown) -> list[tuple[str, str]]:
    until = f", until {one.window_closes_at:%H:%M:%S} UTC" if one.window_closes_at else ""
    pairs = [("record", one.id), ("of", f"run {one.run} of {one.instance}{f', revision {one.revision}' if one.revision > 1 else ''}"),
             ("template", one.template or ""), ("imported from", one.imported_from or ""),
             ("began", f"{one.began_at:%Y-%m-%d %H:%M:%S} UTC" if one.began_at else ""),
             ("ended", f"{one.ended_at:%Y-%m-%d %H:%M:%S} UTC" if one.ended_at else ""),
             ("state", f"{one.state}{', hidden' if one.hidden else ''}{until}"),
             ("reason", one.reason or ""), ("outcome", one.outcome or ""), ("replay of", one.replay_of or ""), ("root", one.root or ""),
             ("holds", f"{units.count(one.files, 'file')}, {units.size(one.size_bytes)}"),
             *((f"parameter {name}", value) for name, value in one.parameters.items()),
             *((f"result {name}", value) for name, value in one.results.items())]
    return [(name, value) for name, value in pairs if value]


def facts_table(one: RecordShown) -> Table:
    return table(None, ("what", "value"), facts(one))


def difference_tables(found: RecordDifference) -> list[Table]:
    """Those that have something to say."""
    tables = [table(title, ("what", "first", "second"), [_change(change) for change in changes], limit=DIFFERENCES_LIMIT)
              for title, changes in (("Told and found", found.facts), ("Reported", found.results), ("Happened", found.events)) if changes]
    if found.files:
        tables.append(table("Files", ("file", "change", "what", "#first", "#second"),
                            [(one.path, one.change, ", ".join(one.what), one.size_before, one.size_after) for one in found.files],
                            limit=DIFFERENCES_LIMIT))
    return tables


def _change(change: Changed) -> tuple[str, str, str]:
    return change.name, change.before if change.before is not None else "–", change.after if change.after is not None else "–"
