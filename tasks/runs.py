"""A run's two ends: telling the conductor to begin, and ending it with all its events in the table."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from datetime import datetime
from typing import Any

from prefect import task
from sqlalchemy import insert, update
from sqlmodel import Session, col, func, select

from models.database import reading, writing
from models.errors import HostLost, HostProblem, NotFound, SwapbedError, TimedOut
from models.instances import current_run, define_run, instance_by_id, run_by_id
from models.leases import Lease
from models.protocol.conductor import ActivityLine, ActivityLines, RunInfo, Runs, Since, StartRun, StopRun
from models.protocol.control import Nothing
from models.states import RUN, RunOutcome, RunState
from models.tables import SCHEMA, ActivityEvent, Run
from models.tables.columns import now
from models.transition import transition
from tasks.daemons import ask_conductor, revive_conductor
from tasks.inputs import give_inputs
from tasks.keeping import define_record, keep_on_hosts, prepare_on_hosts
from tasks.progress import report
from tasks.work import RETRIES, RETRY_PAUSES_S, worth_retrying

ON_STOP_PATIENCE_S = 60.0  # of virtual time, for the template's on_stop
STOP_ANSWER_S = 120.0
EVENTS_AT_ONCE = 2000


@task(task_run_name="begin run", retries=RETRIES, retry_delay_seconds=RETRY_PAUSES_S, retry_condition_fn=worth_retrying)
def begin_run(run_id: str, lease: str, pristine: bool = False) -> None:
    """The run is going on when this returns. One that was begun already, by an attempt that did not live to say so, is left alone.

    pristine: the instance was made this very moment, so that its nodes are fresh anyway.
    """
    held = Lease.parse(lease)
    with writing() as session:
        run = run_by_id(session, run_id)
        if run.state is RunState.RUNNING:
            return
        transition(session, Run, run_id, RunState.STARTING, lease=held)
    report(f"beginning run {run.number}")
    info = ask_conductor(run.instance_id, "run", Nothing(), Runs).current
    if info is None or info.number != run.number:
        prepare_on_hosts(run, held, fresh=run.environment_of_run == "fresh" and not pristine)
        _give_inputs(run, held)
        wanted = StartRun.model_validate({"number": run.number, "parameters": run.parameters, "environment_of_run": run.environment_of_run})
        info = ask_conductor(run.instance_id, "start_run", wanted, RunInfo)
    with writing() as session:
        transition(session, Run, run_id, RunState.RUNNING, lease=held, begin_ns=info.zero_ns or info.began_ns, began_at=info.began_at)


def _give_inputs(run: Run, lease: Lease) -> None:
    """A run whose inputs cannot be had does not begin."""
    try:
        give_inputs(run)
    except SwapbedError as error:
        refuse_run(run.id, lease, str(error))
        raise


@task(task_run_name="end run", retries=RETRIES, retry_delay_seconds=RETRY_PAUSES_S, retry_condition_fn=worth_retrying)
def end_run(run_id: str, lease: str, reason: str = "asked to") -> None:
    """The run is over, with every event in the table. One that never began is `failed`; one whose conductor cannot be revived is `lost`."""
    held = Lease.parse(lease)
    with reading() as session:
        run = run_by_id(session, run_id)
    if run.state in RUN.final:
        return
    with ThreadPoolExecutor(1) as beside:
        try:
            known = _known(run, held) if run.state is not RunState.DEFINED else None
            if known is None and run.state in (RunState.DEFINED, RunState.STARTING):
                _finish(run_id, held, RunState.FAILED, reason=f"never began: {reason}")
                return
            with writing() as session:
                transition(session, Run, run_id, RunState.STOPPING, lease=held)
            if known is None:
                raise NotFound("the conductor knows nothing of this run", where=run_id)
            report(f"stopping run {run.number}")
            info = ask_conductor(run.instance_id, "stop_run", StopRun(reason=reason, patience_s=ON_STOP_PATIENCE_S, number=run.number),
                                 RunInfo, timeout_s=STOP_ANSWER_S)
            events_written = collect_events(run, held, beside)
        except (NotFound, HostProblem) as error:
            if isinstance(error, HostLost):
                raise
            lose(run_id, held, str(error))
            return
        report(f"keeping what run {run.number} left")
        left_out = keep_on_hosts(run, held)
        events_written.result()
    outcome, why = judge(info, known.phase != "over" and bool(known.pending or known.waiting) and not _ended_itself(run_id))
    _finish(run_id, held, RunState.OVER, left_out=left_out, outcome=outcome, reason=why, end_ns=info.ended_ns, at=info.ended_at)


def refuse_run(run_id: str, lease: Lease, reason: str) -> None:
    """Of a run that cannot begin."""
    _finish(run_id, lease, RunState.FAILED, reason=reason)


def lose(run_id: str, lease: Lease, reason: str) -> None:
    """What happened in it is not known, or not wholly."""
    with writing() as session:
        transition(session, Run, run_id, RunState.STOPPING, lease=lease)
        run = run_by_id(session, run_id)
    _finish(run_id, lease, RunState.OVER, left_out=keep_on_hosts(run, lease, whatever_happens=True), outcome=RunOutcome.LOST, reason=reason)


def judge(info: RunInfo, unfinished: bool) -> tuple[RunOutcome, str | None]:
    """Failed, if anything did that no sequence took care of; stopped, if somebody ended it before its time; else it is as it should be."""
    if info.failed:
        first = info.failures[0]
        more = f", and {info.failed - 1} more" if info.failed > 1 else ""
        return RunOutcome.FAILED, f"{first.target} {first.verb}: {first.outcome.error or f'ended with {first.outcome.code}'}{more}"
    if unfinished:
        return RunOutcome.STOPPED, info.reason or None
    return RunOutcome.OK, None


def _ended_itself(run_id: str) -> bool:
    """Whether the template's own events said that it is enough, so that what they still had to come was not to happen."""
    ends = select(ActivityEvent.origin).where(ActivityEvent.run_id == run_id, ActivityEvent.kind == "fired",
                                              ActivityEvent.target == "instance", col(ActivityEvent.verb).in_(("stop-run", "terminate")))
    with reading() as session:
        return any(origin.startswith(("timeline", "sequence")) for origin in session.exec(ends))


def begin_first_run(instance_id: str, lease: str) -> str | None:
    """Define and begin it, if the instance was defined to have it begin by itself; its id."""
    with writing() as session:
        instance = instance_by_id(session, instance_id)
        if not instance.start_run:
            return None
        run = current_run(session, instance_id) or define_run(session, instance, created_by=instance.created_by)
    begin_run(run.id, lease, pristine=True)
    return run.id


def end_current_run(instance_id: str, lease: str, reason: str) -> None:
    """Before the instance goes: a run that cannot be ended in good order any more is `lost`. Nothing if no run is going on."""
    with reading() as session:
        run = current_run(session, instance_id)
    if run is None:
        return
    try:
        end_run(run.id, lease, reason)
    except (HostProblem, TimedOut) as error:  # a full disk, too: destroying is what frees it
        lose(run.id, Lease.parse(lease), str(error))


def collect_events(run: Run, lease: Lease, beside: Executor) -> Future[None]:
    """Bring the rest of the conductor's log into the table, page by page; the last one is still being written down when this returns."""
    count = 0
    with reading() as session:
        since = collected(session, run.instance_id)
    while True:
        lines = ask_conductor(run.instance_id, "events", Since(since=since, limit=EVENTS_AT_ONCE), ActivityLines).lines
        mine = [line for line in lines if line.run == run.number]
        since = lines[-1].number + 1 if lines else since
        written = beside.submit(_write_down, run.id, lease, mine, since)
        count += len(mine)
        report("collecting events", count)
        if len(lines) < EVENTS_AT_ONCE:
            return written
        written.result()


def _write_down(run_id: str, lease: Lease, lines: Sequence[ActivityLine], since: int) -> None:
    with writing() as session:
        lease.check(session)
        insert_events(session, run_id, lines, since)


def collected(session: Session, instance_id: str) -> int:
    """The number of the conductor's first line that is not in the table yet."""
    return session.exec(select(func.max(Run.events_collected)).where(Run.instance_id == instance_id)).one() or 0


def insert_events(session: Session, run_id: str, lines: Sequence[ActivityLine], since: int) -> None:
    """since: the number of the first line that is not in the table then."""
    if lines:
        session.connection().execute(insert(SCHEMA.tables["activity_event"]), [_values(run_id, line) for line in lines])
    session.execute(update(Run).where(col(Run.id) == run_id).values(events_collected=since))


def _values(run_id: str, line: ActivityLine) -> dict[str, Any]:
    outcome = line.outcome
    return line.model_dump(exclude={"run", "outcome"}) | {"run_id": run_id, "outcome_code": outcome.code if outcome else None,
                                                          "outcome_error": outcome.error if outcome else None}


def _known(run: Run, lease: Lease) -> RunInfo | None:
    """The run as its conductor, revived if it was dead, has it; None: it has another or none."""
    try:
        current = ask_conductor(run.instance_id, "run", Nothing(), Runs).current
    except NotFound:
        revive_conductor(run.instance_id, lease)
        current = ask_conductor(run.instance_id, "run", Nothing(), Runs).current
    return current if current is not None and current.number == run.number else None


def _finish(run_id: str, lease: Lease, state: RunState, *, at: datetime | None = None, left_out: Sequence[str] = (),
            **columns: Any) -> None:
    """With the row of the record that is to be committed, if the run ever began. left_out: what its record will lack."""
    with writing() as session:
        if run_by_id(session, run_id).state is state:
            return
        transition(session, Run, run_id, state, lease=lease, ended_at=at or now(), **columns)
        if state is RunState.OVER:
            define_record(session, run_by_id(session, run_id), list(left_out))
