"""What happened in runs of instances that are gone: from the database, or, where a run was imported or the database was lost, from its
record; and what their programs wrote: from the record always.
"""

from __future__ import annotations

from collections.abc import Iterator

from sqlmodel import col, select

from languages.nearest import nearest
from models.database import reading
from models.errors import Conflict, NotFound, SwapbedError
from models.protocol.conductor import ActivityLine, Outcome
from models.recorded import Agents, RecordedEvent
from models.tables import ActivityEvent, Record, Run
from swapbed import record_verbs
from swapbed.living import runs
from swapbed.living.results import Stream
from tasks.record_trees import tree_of


def happened(name: str, error: SwapbedError) -> Iterator[ActivityLine]:
    """In all its runs, or in the one that is named. error: why no living instance could be asked."""
    unknown: NotFound | None = None
    empty = True
    for run in _named(name):
        try:
            for line in of_run(run):
                empty = False
                yield line
        except NotFound as problem:
            unknown = problem
    if empty and unknown is not None:
        raise error if isinstance(error, Conflict) else unknown


def of_run(run: Run) -> list[ActivityLine]:
    """Of one that is over. Raises NotFound where it is kept nowhere."""
    with reading() as session:
        rows = session.exec(select(ActivityEvent).where(ActivityEvent.run_id == run.id).order_by(col(ActivityEvent.number))).all()
        record = session.exec(select(Record).where(Record.run_id == run.id).order_by(
            col(Record.root).is_(None), col(Record.revision).desc())).first()
    if rows:
        return [_line(run, row) for row in rows]
    if record is None:
        raise NotFound(f"run {run.number} is {run.state}: nothing is kept of it", where=run.id)
    store, root = tree_of(record)
    recorded = map(RecordedEvent.model_validate_json, store.read_file(root, "events.jsonl").splitlines())
    return [ActivityLine(run=run.number, **dict(event)) for event in recorded]


def log(name: str, agent: str, invocation: str | None, stream: Stream) -> bytes:
    """From the record of the run that is named, or of the instance's last; what the last program of the agent wrote, or that invocation."""
    chosen = _named(name)
    if not chosen:
        raise NotFound("this instance never had a run", where=name)
    known = record_verbs.of_run(chosen[-1].id)
    store, root = tree_of(known.row)
    every = Agents.model_validate_json(store.read_file(root, "agents.json")).agents
    ended = [one for one in every if one.agent == agent and invocation in (None, one.log)]
    if not ended:
        raise NotFound(f"no program of '{agent}' has ended in this run", where=known.name, next=nearest(agent, {e.agent for e in every}))
    path = f"nodes/{ended[-1].node}/logs/{agent}/{ended[-1].log}.{stream}"
    return b"".join(record_verbs.read(known.row, record_verbs.path_in(known.row, path)))


def _named(name: str) -> list[Run]:
    """One, or all of an instance."""
    return [runs.find(name)] if "/" in name or name.startswith("r-") else runs.of_instance(name)


def _line(run: Run, row: ActivityEvent) -> ActivityLine:
    outcome = Outcome(code=row.outcome_code, error=row.outcome_error) if row.outcome_code is not None else None
    fields = {name: getattr(row, name) for name in RecordedEvent.model_fields if name != "outcome"}
    return ActivityLine(run=run.number, outcome=outcome, **fields)
