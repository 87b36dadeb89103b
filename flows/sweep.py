"""The flow `sweep`: a template under many combinations of parameters, each point a run with a record."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from queue import Empty, Queue
from threading import Event

from prefect import flow, task
from prefect.artifacts import create_table_artifact
from prefect.cache_policies import NO_CACHE
from prefect.task_runners import ThreadPoolTaskRunner

from flows.destroy import destroy
from flows.instantiate import instantiate
from flows.start_run import start_run
from flows.whole_run import carried_out, committed, patiently
from models.database import reading, writing
from models.errors import SwapbedError
from models.instances import define_instance, define_run
from models.states import RunState
from models.sweep import Point, Sweep
from models.tables import Instance, Run, Template
from models.templates import load_spec, project_named
from tasks.progress import report
from tasks.sessions import sessions_kept
from tasks.sweeps import working_on_sweep, write_sweep

ROWS_LIMIT = 500
WORKERS_LIMIT = 32


@dataclass
class Going:
    """A sweep that this process carries out: its plan, and what no worker has taken yet. interrupted: no further point is begun."""

    plan: Sweep
    shards: Queue[list[Point]]
    interrupted: Event = field(default_factory=Event)


_going: dict[str, Going] = {}  # a task's parameters are copied, and its threads must share the plan


@flow(flow_run_name="sweep {sweep_id}", task_runner=ThreadPoolTaskRunner(max_workers=WORKERS_LIMIT))  # type: ignore[arg-type]
def sweep(sweep_id: str) -> dict[str, str | int]:
    """Runs what has no outcome yet. A point that fails is noted, and stops no other. Interrupted, it sees the runs that go on to their
    end, and begins no other; it can be resumed."""
    with working_on_sweep(sweep_id) as plan, sessions_kept():
        _take_up(plan)
        going = _going[sweep_id] = Going(plan, Queue())
        for shard in plan.shards():
            going.shards.put(shard)
        workers = [work.submit(sweep_id) for _ in range(min(plan.parallel, going.shards.qsize(), WORKERS_LIMIT))]
        try:
            for worker in workers:
                worker.result()
        except BaseException:
            going.interrupted.set()
            for worker in workers:  # else they would go on without the claim on the sweep
                worker.wait()
            raise
        _publish(plan)
    failed = sum(point.outcome != "ok" for point in plan.points)
    return {"sweep_id": sweep_id, "points": len(plan.points), "failed": failed}


def _take_up(plan: Sweep) -> None:
    """What a process that was killed left: runs that had begun are seen to their end, so that no point is run twice, and nothing stays."""
    interrupted = plan.interrupted()
    for point in interrupted:
        if point.outcome is None:
            _see_through(plan, point)
    for instance_id in list(plan.instances):
        _free(plan, instance_id)
    for point in interrupted:
        if point.run_id:
            _collect(plan, point)


def _see_through(plan: Sweep, point: Point) -> None:
    assert point.run_id
    with reading() as session:
        run = session.get(Run, point.run_id)
    if run is None or run.state in (RunState.DEFINED, RunState.FAILED):  # it never began
        _note(plan, point, run_id=None)
        return
    try:
        over = carried_out(run.id, limit_s=plan.limit_s)
    except SwapbedError as error:
        _note(plan, point, outcome="error", error=str(error))
        return
    if over.state is RunState.FAILED:
        _note(plan, point, run_id=None)
    else:
        _note(plan, point, outcome=over.outcome or "error", error=over.reason)


@task(task_run_name="instances of the sweep, one after the other", cache_policy=NO_CACHE)
def work(sweep_id: str) -> None:
    """Take lists of points, each for one instance, until none is left."""
    going = _going[sweep_id]
    while not going.interrupted.is_set():
        try:
            points = going.shards.get_nowait()
        except Empty:
            return
        _go_through(going, points)


def _go_through(going: Going, points: list[Point]) -> None:
    """In one instance as long as that works; after an error in another one."""
    plan, waiting = going.plan, list(points)
    while waiting and not going.interrupted.is_set():
        try:
            with _instance(plan, waiting[0]) as instance_id:
                while waiting and not going.interrupted.is_set():
                    point = waiting.pop(0)
                    _run(plan, point, instance_id)
                    if point.outcome == "error":
                        break
        except SwapbedError as error:  # of the instance as a whole: the point that it was made for has not been run
            if not waiting:
                report(f"an instance of the sweep: {error}")
                break
            _note(plan, waiting.pop(0), outcome="error", error=str(error))
    for point in points:
        if point.run_id:
            _collect(plan, point)


@contextmanager
def _instance(plan: Sweep, first: Point) -> Iterator[str]:
    with writing() as session:
        project = project_named(session, plan.project)
        template, spec = session.get_one(Template, plan.template_id), load_spec(session, plan.groups[first.group])
        instance = define_instance(session, project, template, spec, created_by=plan.created_by, parameters=first.parameters,
                                   start_run=False)
        plan.instances.append(instance.id)
        write_sweep(plan)  # before the row is there for anybody else: what is killed from here on finds it
    try:
        instantiate(instance.id)
        yield instance.id
    finally:
        _free(plan, instance.id)


def _free(plan: Sweep, instance_id: str) -> None:
    with reading() as session:
        there = session.get(Instance, instance_id)
    if there is not None and there.ended_at is None:
        patiently(destroy, instance_id)
    plan.instances.remove(instance_id)
    write_sweep(plan)


def _run(plan: Sweep, point: Point, instance_id: str) -> None:
    begun = time.monotonic()
    try:
        with writing() as session:
            run = define_run(session, session.get_one(Instance, instance_id), created_by=plan.created_by, parameters=point.parameters,
                             origin="sweep", environment_of_run=plan.environment_of_run)
        _note(plan, point, run_id=run.id)
        patiently(start_run, run.id)
        over = carried_out(run.id, limit_s=plan.limit_s)
    except SwapbedError as error:
        _note(plan, point, outcome="error", error=str(error))
        return
    lasted_s = (over.end_ns - over.begin_ns) / 1e9 if over.end_ns and over.begin_ns else 0.0
    _note(plan, point, outcome=over.outcome or "error", error=over.reason, overhead_s=round(time.monotonic() - begun - lasted_s, 3))


def _collect(plan: Sweep, point: Point) -> None:
    assert point.run_id
    try:
        record = committed(point.run_id)
    except SwapbedError as error:
        _note(plan, point, error=f"{point.error + '; ' if point.error else ''}no record: {error}")
        return
    _note(plan, point, record_id=record.id, results=record.summary.get("results", {}))


def _note(plan: Sweep, point: Point, **values: object) -> None:
    for name, value in values.items():
        setattr(point, name, value)
    plan.points[point.number] = point
    write_sweep(plan)
    report(f"sweep {plan.name}", sum(one.outcome is not None for one in plan.points), len(plan.points))


def _publish(plan: Sweep) -> None:
    rows = [{**point.parameters, "repeat": str(point.repeat), "outcome": point.outcome or "", "record": point.record_id or "",
             **point.results} for point in plan.points[:ROWS_LIMIT]]
    create_table_artifact(rows, key=f"sweep-{plan.id}", description=f"Sweep of {plan.name}: {len(plan.points)} points")
