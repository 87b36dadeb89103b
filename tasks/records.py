"""A run's record: what its hosts put aside, and what the database knows, as one tree in the store.

Committing works on the spool, where nothing of a further run can get in, and may be done again from the beginning at any time.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

from prefect import task
from sqlmodel import Session, col, select

from models.database import reading, writing
from models.errors import HostProblem, SwapbedError
from models.instances import instance_by_id, run_by_id
from models.leases import Lease, held
from models.manifest import TreePolicy
from models.protocol.conductor import Outcome
from models.recorded import AgentEnded, Agents, PlacedFrom, Recorded, RecordedEvent, TemplateOfRun, dropped_by, reported
from models.spec import Parameter, Rules, Spec
from models.states import RecordState, Subject
from models.tables import ActivityEvent, Instance, Record, Run, Template
from models.tables.columns import now
from models.templates import load_spec
from models.transition import transition
from nodeops.run_files import content_of
from storage.roots import RootKind
from storage.store import Store
from tasks.bringing import bring_run
from tasks.holder import is_dead, own_name
from tasks.keeping import forget_on_hosts
from tasks.places import hosts_of_record
from tasks.record_trees import project_of, record_by_id
from tasks.sessions import sessions_kept
from tasks.work import RETRIES, RETRY_PAUSES_S, untagged, worth_retrying

POLICY = TreePolicy(times=False, owners=False, xattrs=False, links=False)
RESULTS_LIMIT_BYTES = 16 << 20  # of one program's output that is searched for results
PIECE_BYTES = 32 << 10  # stays in the processor's cache: half the time of all at once


@contextmanager
def working_on_record(record_id: str, purpose: str) -> Iterator[Lease]:
    """Raises Conflict while somebody else works on it."""
    with held(Subject.RECORD, record_id, holder=own_name(), purpose=purpose, is_dead=is_dead) as lease, sessions_kept(), untagged():
        yield lease


@task(task_run_name="commit record", retries=RETRIES, retry_delay_seconds=RETRY_PAUSES_S, retry_condition_fn=worth_retrying)
def commit_record(record_id: str, lease: str) -> None:
    """From `committing` to `open`, or to `final` at once if its template gives it no window. Failing, it says why and loses nothing."""
    record = record_by_id(record_id)
    if record.state is not RecordState.COMMITTING:
        return
    try:
        content = gathered(record)
        summary = write_content(record, content)
        with Store.of(project_of(record)) as store:
            stored = store.store_tree(content, POLICY)
            store.pin(RootKind.RECORD, record.id, stored.manifest)
    except (SwapbedError, OSError) as error:
        problem = error if isinstance(error, SwapbedError) else _disk_problem(error)
        with writing() as session:
            session.get_one(Record, record_id).reason = str(problem)
        raise problem from error
    window_s = Rules.model_validate(record.rules).window_s
    with writing() as session:
        transition(session, Record, record_id, RecordState.OPEN if window_s else RecordState.FINAL, lease=Lease.parse(lease), reason=None,
                   root=stored.hash, size_bytes=stored.manifest.size_bytes, files=stored.manifest.files, summary=record.summary | summary,
                   committed_at=now(), window_closes_at=now() + timedelta(seconds=window_s) if window_s else None,
                   finalized_at=None if window_s else now())
    forget_on_hosts(record.run_id, hosts_of_record(record))
    remove_spool(record.run_id)  # what was brought here from others


@task(task_run_name="close record", retries=RETRIES, retry_delay_seconds=RETRY_PAUSES_S, retry_condition_fn=worth_retrying)
def close_record(record_id: str, lease: str) -> None:
    """An open record's window is over: its rules decide what stays, and it is final."""
    from tasks.amending import changed_tree  # which needs this module

    record = record_by_id(record_id)
    if record.state is not RecordState.OPEN:
        return
    with changed_tree(record) as directory, Store.of(project_of(record)) as store:
        _say_dropped(directory, apply_rules(Rules.model_validate(record.rules), directory))
        stored = store.store_tree(directory, POLICY)
        store.pin(RootKind.RECORD, record.id, stored.manifest)
    with writing() as session:
        transition(session, Record, record_id, RecordState.FINAL, lease=Lease.parse(lease), root=stored.hash,
                   size_bytes=stored.manifest.size_bytes, files=stored.manifest.files, finalized_at=now())


def gathered(record: Record) -> Path:
    """The directory with what the hosts put aside; what others than this one did is brought here."""
    content = content_of(record.run_id)
    content.mkdir(parents=True, exist_ok=True, mode=0o700)
    for host in hosts_of_record(record):
        if host.address is not None:
            shutil.rmtree(content)
            bring_run(host, project_of(record), record.run_id, content)
    return content


def write_content(record: Record, content: Path) -> dict[str, object]:
    """The files that tell what the others are, next to them; returns what lists show of the record."""
    with reading() as session:
        run = run_by_id(session, record.run_id)
        instance = instance_by_id(session, run.instance_id)
        template, spec = session.get_one(Template, run.template_id), _under(load_spec(session, run.spec_id), run.parameters)
        parent = session.get(Template, template.parent_id) if template.parent_id else None
        replayed = session.get(Record, instance.replay_of_id) if instance.replay_of_id else None
        events = events_of(session, run.id)
    agents = Agents(agents=tuple(_agent(content, spec, event) for event in events if event.kind == "exited"))
    recorded = _recorded(record, run, instance, spec, replayed).model_copy(update={"placements": _placements(run, events)})
    _write(content / "spec.json", json.dumps(json.loads(spec.model_dump_json(exclude_defaults=True)), indent=1))
    _write(content / "template.json", _template(template, parent).model_dump_json(indent=1))
    if template.source is not None:
        (content / "source").mkdir(exist_ok=True)
        _write(content / "source" / Path(template.source_name).name, template.source)
    _write(content / "events.jsonl", "".join(event.model_dump_json(exclude_defaults=True) + "\n" for event in events))
    _write(content / "agents.json", agents.model_dump_json(indent=1))
    rules = Rules.model_validate(record.rules)
    dropped = [] if rules.window_s else apply_rules(rules, content)
    _write(content / "record.json", recorded.model_copy(update={"dropped": tuple(dropped)}).model_dump_json(indent=1))
    return {"results": agents.results()}


def _under(spec: Spec, values: Mapping[str, str]) -> Spec:
    """The instance's spec, with the values that the run had of its own."""
    parameters = tuple(one.model_copy(update={"value": values.get(one.name, one.value)}) for one in spec.parameters)
    return spec.model_copy(update={"parameters": parameters})


def apply_rules(rules: Rules, directory: Path) -> list[str]:
    """Delete what the rules let go; returns the paths."""
    files = [path for path in directory.rglob("*") if path.is_file() and not path.is_symlink()]
    dropped = dropped_by(rules, {str(path.relative_to(directory)): path.stat().st_size for path in files})
    for path in dropped:
        (directory / path).unlink()
    return dropped


def _say_dropped(directory: Path, dropped: list[str]) -> None:
    """In the record.json that is there already."""
    said = Recorded.model_validate_json((directory / "record.json").read_bytes())
    _write(directory / "record.json", said.model_copy(update={"dropped": tuple(dropped)}).model_dump_json(indent=1))


def _write(path: Path, text: str) -> None:
    """In place of what an earlier attempt may have left."""
    path.unlink(missing_ok=True)
    path.write_text(text, encoding="utf-8", errors="surrogateescape")


def _recorded(record: Record, run: Run, instance: Instance, spec: Spec, replayed: Record | None) -> Recorded:
    return Recorded(experiment=spec.name, instance=instance.name, run=run.number, origin=run.origin, parameters=run.parameters,
                    environment_of_run=run.environment_of_run, inputs=tuple(run.inputs), seed=instance.seed, outcome=run.outcome or "lost",
                    reason=run.reason, begin_ns=run.begin_ns, end_ns=run.end_ns, began_at=run.began_at, ended_at=run.ended_at,
                    created_by=run.created_by, replay_of=replayed.root if replayed else None, placement=record.summary["placement"],
                    collect=spec.collect.model_dump(mode="json", exclude_defaults=True), left_out=tuple(record.summary["left_out"]))


def _placements(run: Run, events: Sequence[RecordedEvent]) -> tuple[PlacedFrom, ...]:
    """As the conductor was told when it came back; older checkpoints do not say where they were made."""
    returns = [event for event in events if event.kind == "resumed" and "host" in event.detail]
    first = [PlacedFrom(host=one.detail["host_before"], since_ns=run.begin_ns or 0) for one in returns[:1] if "host_before" in one.detail]
    return (*first, *(PlacedFrom(host=one.detail["host"], since_ns=one.actual_ns) for one in returns))


def _template(template: Template, parent: Template | None) -> TemplateOfRun:
    return TemplateOfRun(name=template.name, digest=template.digest, language=template.language, source_name=template.source_name,
                         datastore=template.datastore, parameters=tuple(map(Parameter.model_validate, template.parameters)),
                         parent=parent.digest if parent else None, datastore_name=template.datastore_name,
                         externals=tuple(dict(sorted(pin.items())) for pin in template.externals))


def events_of(session: Session, run_id: str) -> list[RecordedEvent]:
    rows = session.exec(select(ActivityEvent).where(ActivityEvent.run_id == run_id).order_by(col(ActivityEvent.number)))
    return [_event(row) for row in rows]


def _event(row: ActivityEvent) -> RecordedEvent:
    outcome = Outcome(code=row.outcome_code, error=row.outcome_error) if row.outcome_code is not None else None
    fields = {name: getattr(row, name) for name in RecordedEvent.model_fields if name != "outcome"}
    return RecordedEvent(outcome=outcome, **fields)


def _agent(content: Path, spec: Spec, event: RecordedEvent) -> AgentEnded:
    node = next((agent.node for agent in spec.agents if agent.name == event.target), "")
    detail, log = event.detail, str(event.detail.get("log", ""))
    fields = {name: detail[name] for name in ("code", "signal", "user_s", "system_s", "max_rss_kib") if detail.get(name) is not None}
    lasted_s = (detail["end_ns"] - detail["start_ns"]) / 1e9 if "end_ns" in detail and "start_ns" in detail else 0.0
    return AgentEnded(agent=event.target, node=node, log=log, lasted_s=lasted_s, error=event.outcome.error if event.outcome else None,
                      results=_results(content / "nodes" / node / "logs" / event.target / f"{log}.out"), **fields)


def _results(output: Path) -> dict[str, str]:
    """The end of a long output counts. A link that a program put there is not followed."""
    if output.is_symlink() or not output.is_file():
        return {}
    with output.open("rb") as file:
        file.seek(max(0, output.stat().st_size - RESULTS_LIMIT_BYTES))
        found: dict[str, str] = {}
        while lines := file.read(PIECE_BYTES) + file.readline():
            found |= reported(lines)
        return found


def _disk_problem(error: OSError) -> SwapbedError:
    return HostProblem(f"the record cannot be written: {error.strerror}", where=error.filename,
                       next="Make room; it is tried again by itself")


def leftover_spools(runs: list[str]) -> list[str]:
    """Of the runs in the spool: those that need no spool any more, since their record is in the store, or since they never began."""
    with reading() as session:
        waiting = set(session.exec(select(Record.run_id).where(col(Record.run_id).in_(runs), Record.state == RecordState.COMMITTING)))
        going_on = set(session.exec(select(Run.id).where(col(Run.id).in_(runs), col(Run.ended_at).is_(None))))
    return [run for run in runs if run not in waiting | going_on]


def remove_spool(run: str) -> None:
    shutil.rmtree(content_of(run).parent, ignore_errors=True)
