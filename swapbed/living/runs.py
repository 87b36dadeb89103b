"""The verbs on runs: start, stop, wait for, list."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from sqlmodel import col, select

from languages.parameters import check_value
from models.database import reading, writing
from models.errors import InvalidInput, NotFound, TimedOut
from models.instances import current_run, define_run, find_instance, run_by_id
from models.protocol.conductor import EnvironmentOfRun, RunInfo, Wait
from models.spec import Spec
from models.states import RUN
from models.tables import Instance, Record, Run, Template
from models.templates import load_spec
from swapbed import subjects
from swapbed.lifecycle import pass_on, project
from swapbed.living import ending
from swapbed.living.access import Access
from swapbed.present.progress import Report, quiet
from swapbed.privilege import user
from swapbed.serving.launch import launch
from swapbed.sources.inputs import inputs_of

if TYPE_CHECKING:
    from swapbed.sources.source import Definition

PIECE_S = 20.0
SETTLING_S = 60.0  # between a run's end and its events being in the database
POLL_S = 0.1


def start(instance: str, parameters: Mapping[str, Any] | None = None, *, environment: EnvironmentOfRun | None = None,
          template: Definition | None = None, inputs: Iterable[str] = (), report: Report = quiet) -> Run:
    """The next run begins, with these parameter values and the last run's for the others. Raises Conflict while one is going on.

    template: what the instance is to become before that (`name@4`, or a source); see `swapbed.living.modifying.modify`. Without, it becomes
    what its template is under these values, where that is another network or other events.
    inputs: files of records that it is to find, as `net/1:nodes/a/archive/trace=b:/root/trace`; see `swapbed.sources.inputs`.
    """
    mine = project()
    with reading() as session:
        row = find_instance(session, mine, instance)
    ending.await_end(row.id, report)
    from swapbed.living import modifying

    if template is None and parameters:
        template = modifying.called_for(row, parameters)
    if template is not None:
        modifying.modify(row.id, template, parameters, report=report)
    with reading() as session:
        spec = load_spec(session, find_instance(session, mine, row.id).spec_id)
    given = inputs_of(inputs, spec)
    with writing() as session:
        row = find_instance(session, mine, row.id)
        values = checked(spec, parameters or {}, row.name)
        run = define_run(session, row, created_by=user(), parameters=values, environment_of_run=environment, inputs=given)
    launch("start_run", pass_on(report), run_id=run.id)
    return by_id(run.id)


def checked(spec: Spec, parameters: Mapping[str, Any], where: str) -> dict[str, str]:
    """Values of the right type, in their canonical spelling. Unknown names are left to `define_run`."""
    types = {parameter.name: parameter.type for parameter in spec.parameters}
    try:
        return {name: check_value(types.get(name, "string"), str(value)) for name, value in parameters.items()}
    except ValueError as error:
        raise InvalidInput(str(error), where=where) from None


def stop(instance: str, *, report: Report = quiet) -> Run:
    """The run that is going on ends, and all that happened in it is in the database."""
    mine = project()
    with reading() as session:
        row = find_instance(session, mine, instance)
        run = current_run(session, row.id)
    if run is None:
        raise NotFound("no run is going on", where=row.name, next=f"`swapbed run start {row.name}` begins one")
    launch("stop_run", pass_on(report), run_id=run.id)
    return by_id(run.id)


def wait(access: Access, until: Literal["quiet", "idle", "over"] = "over", *, timeout_s: float | None = None,
         report: Report = quiet) -> Run:
    """Until nothing more is to happen in the run by itself (quiet), nor any program runs (idle), or it is over. Raises TimedOut."""
    begun = time.monotonic()
    while True:
        left = PIECE_S if timeout_s is None else min(PIECE_S, timeout_s - (time.monotonic() - begun))
        try:
            access.conductor("wait", Wait(until=until, timeout_s=max(left, 0)), RunInfo, timeout_s=left + 30)
            break
        except TimedOut:
            report(f"waiting until the run is {until}", 0, 0)
            if timeout_s is not None and time.monotonic() - begun >= timeout_s:
                raise
    run = latest(access.instance_id)
    deadline = time.monotonic() + SETTLING_S
    while until == "over" and run.state not in RUN.final and time.monotonic() < deadline:
        time.sleep(POLL_S)
        run = latest(access.instance_id)
    return run


def see_through(access: Access, *, timeout_s: float | None = None) -> Run:
    """The run that is going on, to its own end or, where it has none, until nothing happens in it. Raises TimedOut; it goes on then."""
    wait(access, "idle", timeout_s=timeout_s)
    try:
        return stop(access.instance_id)
    except NotFound:  # it ended by itself
        return wait(access, "over", timeout_s=timeout_s)


def latest(instance_id: str) -> Run:
    return all_of(instance_id)[-1]


def all_of(instance_id: str) -> list[Run]:
    with reading() as session:
        return list(session.exec(select(Run).where(Run.instance_id == instance_id).order_by(col(Run.number))))


def of_instance(instance: str) -> list[Run]:
    """First to last, hidden ones too; of an instance that is gone, too."""
    return all_of(subjects.find(f"instance:{instance}").id)


def listed(instance: str) -> list[Run]:
    """Without hidden ones whose records are hidden, too, or that have none."""
    every = of_instance(instance)
    with reading() as session:
        shown = set(session.exec(select(Record.run_id).where(col(Record.run_id).in_([run.id for run in every]),
                                                             col(Record.hidden_at).is_(None))))
    return [run for run in every if run.hidden_at is None or run.id in shown]


def find(run: str) -> Run:
    """By INSTANCE/NUMBER, INSTANCE for its last, or id; the instance may be gone."""
    return by_id(subjects.find(f"run:{run}").id)


@dataclass(frozen=True)
class Known:
    """What the database knows of one run. record: the newest revision; None: it has none (yet)."""

    row: Run
    instance: Instance
    template: Template
    record: Record | None


def about(run: str) -> Known:
    """As for `find`."""
    row = find(run)
    with reading() as session:
        record = session.exec(select(Record).where(Record.run_id == row.id).order_by(col(Record.revision).desc())).first()
        return Known(row, session.get_one(Instance, row.instance_id), session.get_one(Template, row.template_id), record)


def by_id(run_id: str) -> Run:
    with reading() as session:
        return run_by_id(session, run_id)
