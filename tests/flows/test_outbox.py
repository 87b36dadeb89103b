"""The outbox's logic on both databases, with flows that only pretend: each message once, in order, across deaths of the controller."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy import Engine
from sqlmodel import select

from models.database import reading, writing
from models.errors import Conflict
from models.instances import define_run
from models.protocol.conductor import OutboxLine
from models.settings import settings
from models.states import InstanceState, RunState, Subject
from models.tables import Host, Instance, OutboxMessage, Run
from models.tables.columns import now
from models.transition import transition
from nodeops.layout import InstanceLayout
from swapbed.controller.outbox import Outbox
from swapbed.controller.recovery import left_by_the_dead


@dataclass
class Pretended:
    """Flows that were started, and how the next ones end; a flow is over as soon as it is looked at."""

    started: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    exit_codes: list[int] = field(default_factory=list)

    def __call__(self, flow: str, **ids: str) -> Any:
        self.started.append((flow, ids))
        code = self.exit_codes.pop(0) if self.exit_codes else 0
        return SimpleNamespace(flow=flow, ids=ids, outcome=lambda: code)


@pytest.fixture
def up(database: Engine, define: Callable[..., Instance]) -> Instance:
    """An instance that claims to be up on this host, with a directory for its outbox."""
    instance = define()
    with writing() as session:
        host = Host(name="here")
        session.add(host)
        session.flush()
        session.get_one(Instance, instance.id).home_id = host.id
        for state in (InstanceState.INSTANTIATING, InstanceState.UP):
            transition(session, Instance, instance.id, state)
    InstanceLayout(settings().instances_dir / instance.id).root.mkdir(parents=True)
    return instance


def _say(instance: Instance, *kinds: str, content: dict[str, Any] | None = None, run: int = 1) -> None:
    path = InstanceLayout(settings().instances_dir / instance.id).outbox
    number = len(path.read_text().splitlines()) if path.exists() else 0
    with path.open("a") as outbox:
        for offset, kind in enumerate(kinds):
            line = OutboxLine(number=number + offset, kind=kind, content=content or {}, run=run, virtual_ns=0, at=now())
            outbox.write(line.model_dump_json() + "\n")


def _steps(outbox: Outbox, count: int = 6) -> None:
    for _ in range(count):
        outbox.living_due_s = 0
        outbox.pause_until_s.clear()
        outbox.step()


def _messages() -> list[tuple[int, str, str]]:
    with reading() as session:
        return [(row.number, row.kind, row.state) for row in session.exec(select(OutboxMessage).order_by(OutboxMessage.number))]


def _begin_run(instance: Instance) -> str:
    with writing() as session:
        run = define_run(session, session.get_one(Instance, instance.id), created_by="test")
        for state in (RunState.STARTING, RunState.RUNNING):
            transition(session, Run, run.id, state)
    return run.id


def _end_run(run_id: str) -> None:
    with writing() as session:
        for state in (RunState.STOPPING, RunState.OVER):
            transition(session, Run, run_id, state)


def test_messages_become_flows_in_order_and_once(up: Instance) -> None:
    run = _begin_run(up)
    flows = Pretended()
    outbox = Outbox(flows)
    _say(up, "message", "stop-run", "quiet", "terminate")
    _steps(outbox)
    assert flows.started == [("stop_run", {"run_id": run}), ("destroy", {"instance_id": up.id})]
    assert [state for _, _, state in _messages()] == ["handled"] * 4
    _steps(Outbox(flows))  # another controller finds nothing to do
    assert len(flows.started) == 2


def test_an_answer_is_heard_once_and_not_while_its_instance_is_to_be_let_be(up: Instance) -> None:
    run, asked = _begin_run(up), list[str]()
    outbox = Outbox(Pretended())
    _say(up, "stop-run")
    outbox.step()
    assert set(outbox.running) == {up.id}
    outbox.running[up.id] = SimpleNamespace(outcome=lambda: asked.append(run) or 0)  # type: ignore[assignment, func-returns-value]
    outbox.pause_until_s[up.id] = float("inf")
    outbox.step()
    assert not asked
    _steps(outbox, 1)
    assert asked == [run] and [state for _, _, state in _messages()] == ["handled"]


def test_a_message_of_a_run_that_is_over_does_not_end_the_next_one(up: Instance) -> None:
    _end_run(_begin_run(up))
    second = _begin_run(up)
    flows = Pretended()
    _say(up, "stop-run", "run-ended", run=1)
    _steps(Outbox(flows))
    assert flows.started == [] and [state for _, _, state in _messages()] == ["handled"] * 2
    _say(up, "stop-run", run=2)
    _steps(Outbox(flows))
    assert flows.started == [("stop_run", {"run_id": second})]


def test_a_swapout_that_became_needless_is_not_asked_for_again(up: Instance) -> None:
    """Its flow was done when the controller died, or somebody swapped it out by hand; else a later swapin would be undone at once."""
    flows = Pretended(exit_codes=[Conflict.exit_code])
    outbox = Outbox(flows)
    _say(up, "swapout")
    _steps(outbox, 1)
    with writing() as session:
        for state in (InstanceState.SWAPPING_OUT, InstanceState.SWAPPED_OUT):
            transition(session, Instance, up.id, state)
    _steps(outbox)
    assert flows.started == [("swapout", {"instance_id": up.id})] and _messages() == [(0, "swapout", "handled")]


def test_a_flow_that_finds_somebody_at_work_is_tried_again(up: Instance) -> None:
    flows = Pretended(exit_codes=[Conflict.exit_code, Conflict.exit_code])
    outbox = Outbox(flows)
    _say(up, "terminate")
    _steps(outbox)
    assert flows.started == [("destroy", {"instance_id": up.id})] * 3
    assert _messages() == [(0, "terminate", "handled")]


def test_a_controller_that_died_between_start_and_end_of_a_flow(up: Instance) -> None:
    flows = Pretended()
    first = Outbox(flows)
    _say(up, "terminate")
    _steps(first, 1)
    assert _messages() == [(0, "terminate", "started")]
    _steps(Outbox(flows))  # the first is gone; destroying is idempotent, so it is asked again
    assert flows.started == [("destroy", {"instance_id": up.id})] * 2
    assert _messages() == [(0, "terminate", "handled")]


def test_the_next_run_waits_for_the_end_of_the_last_and_is_defined_once(up: Instance) -> None:
    run = _begin_run(up)
    flows = Pretended()
    outbox = Outbox(flows)
    _say(up, "start-run", content={"token": 1, "environment_of_run": "fresh"})
    _steps(outbox)
    assert flows.started == [] and _messages() == [(0, "start-run", "heard")]
    with writing() as session:
        transition(session, Run, run, RunState.STOPPING)
        transition(session, Run, run, RunState.OVER)
    _steps(outbox, 1)
    _steps(Outbox(flows))
    with reading() as session:
        second = session.exec(select(Run).where(Run.number == 2)).one()
    assert flows.started == [("start_run", {"run_id": second.id})] * 2  # of one and the same run
    assert (second.origin, second.instance_id, second.environment_of_run) == ("event", up.id, "fresh")


def test_what_cannot_be_done_is_said_and_does_not_block_the_rest(up: Instance) -> None:
    flows = Pretended()
    _say(up, "dance", "terminate")
    _steps(Outbox(flows))
    assert [state for _, _, state in _messages()] == ["failed", "handled"]
    with reading() as session:
        assert "cannot do 'dance'" in (session.get_one(OutboxMessage, (up.id, _host(), 0)).reason or "")


def _host() -> str:
    with reading() as session:
        return session.exec(select(Host.id)).one()


def test_a_failed_flow_is_a_failed_message(up: Instance) -> None:
    _say(up, "terminate")
    _steps(Outbox(Pretended(exit_codes=[6])))
    assert _messages() == [(0, "terminate", "failed")]


def test_half_a_line_is_not_heard_yet(up: Instance) -> None:
    path = InstanceLayout(settings().instances_dir / up.id).outbox
    _say(up, "terminate")
    whole = path.read_text()
    path.write_text(whole[:20])
    flows = Pretended()
    outbox = Outbox(flows)
    _steps(outbox)
    assert _messages() == []
    path.write_text(whole)
    _steps(outbox)
    assert len(flows.started) == 1


def test_only_what_nobody_living_works_on_is_recovered(up: Instance) -> None:
    from models.leases import acquire, release
    from tasks.holder import own_name

    assert left_by_the_dead() == []
    with writing() as session:
        transition(session, Instance, up.id, InstanceState.DESTROYING)
    assert left_by_the_dead() == [up.id]
    lease = acquire(Subject.INSTANCE, up.id, holder=own_name(), purpose="destroy")
    assert left_by_the_dead() == []
    release(lease)
    acquire(Subject.INSTANCE, up.id, holder=own_name().replace("started ", "started 1"), purpose="destroy")
    assert left_by_the_dead() == [up.id]


def test_an_instance_that_came_to_another_host_is_not_heard_twice(up: Instance) -> None:
    """It brings its outbox along, with the numbers."""
    run = _begin_run(up)
    flows = Pretended()
    _say(up, "stop-run")
    outbox = Outbox(flows)
    _steps(outbox)
    with writing() as session:
        host = Host(name="there")
        session.add(host)
        session.flush()
        session.get_one(Instance, up.id).home_id = host.id
    _say(up, "message")
    _steps(outbox)
    assert flows.started == [("stop_run", {"run_id": run})]
    assert [number for number, _, _ in _messages()] == [0, 1]


def test_a_host_that_does_not_answer_keeps_nobody_waiting(up: Instance, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nodeops.session.SSH", ("ssh", "-p", "1", "-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=no"))
    with writing() as session:
        session.exec(select(Host)).one().address = "127.0.0.1"
    outbox = Outbox(Pretended())
    _steps(outbox)
    for asked in list(outbox.asked.values()):
        asked.exception()
    _steps(outbox)
    assert not outbox.asked and _messages() == []
