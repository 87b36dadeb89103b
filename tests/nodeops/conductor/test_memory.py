"""What a conductor that died had decided, and written, is still there."""

from __future__ import annotations

import tempfile
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_machine_properties import PLANS, Builder
from world import World

from models.errors import Corrupt
from models.protocol.conductor import OutboxLine
from models.spec import Event, Spec, TimedEvent
from nodeops.conductor import memory
from nodeops.conductor.happenings import EndRun, Send
from nodeops.conductor.ledger import Ledger
from nodeops.conductor.memory import Memory
from nodeops.conductor.runs import Runs


class Remembering(World):
    """Its conductor dies before some happenings, perhaps while it is writing one down, and another takes over."""

    def __init__(self, spec: Spec, directory: Path, crashes: frozenset[int]):
        super().__init__(spec)
        self.directory, self.crashes = directory, crashes
        self.memory = Memory(directory, spec)

    def tell(self, kind, **fields):
        if self.steps in self.crashes:
            with self.memory._path().open("ab") as file:
                file.write(b'{"what":"tick","now_')
            self.memory = Memory(self.directory, self.spec)
        self.machine = self.memory.machine
        feed = self.machine.feed

        def noted(happening):
            self.memory.note(happening)
            return feed(happening)

        self.machine.feed = noted  # type: ignore[method-assign]
        outputs = super().tell(kind, **fields)
        self.machine.feed = feed  # type: ignore[method-assign]
        self.memory.save_if_due()
        return outputs


@settings(max_examples=40, deadline=None)
@given(PLANS, st.frozensets(st.integers(0, 30)), st.sampled_from([1, 3, 1000]))
def test_a_conductor_that_dies_at_any_time_loses_no_decision(plans, crashes: frozenset[int], lines_before_saving: int):
    builder = Builder()
    timed = [(at, builder.event(plan)) for at, plan in plans]
    spec = builder.spec(events=tuple(TimedEvent(at_s=at, **dict(event)) for at, event in timed))
    with tempfile.TemporaryDirectory() as directory, pytest.MonkeyPatch.context() as patch:
        patch.setattr(memory, "LINES_BEFORE_SAVING", lines_before_saving)
        worlds = [World(spec), Remembering(spec, Path(directory), crashes)]
        for world in worlds:
            world.begin()
            world.run(8)
            world.tell(EndRun, reason="", patience_ns=0)
            world.run(50)
    assert worlds[1].outputs == worlds[0].outputs
    assert worlds[1].machine.state == worlds[0].machine.state


def test_a_happening_that_killed_a_conductor_does_not_kill_the_next(tmp_path: Path):
    spec = Builder().spec()
    world = Remembering(spec, tmp_path, frozenset())
    world.begin()
    world.run(1)
    before = world.machine.state.model_copy(deep=True)
    poison = Send(now_ns=world.now_ns, wall=world.lines[0].at, event=Event(target="instance", verb="log"), due_ns=0, origin="user")
    world.memory.note(poison)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Runs, "send", lambda *_: 1 / 0)
        again = Memory(tmp_path, spec)
    assert "ZeroDivisionError" in again.poison
    assert again.machine.state == before
    assert Memory(tmp_path, spec).poison == ""


def test_a_state_that_cannot_be_read_is_named(tmp_path: Path):
    (tmp_path / "conductor.state").write_text('{"format": 1, "stat')
    with pytest.raises(Corrupt, match="conductor.state"):
        Memory(tmp_path, Builder().spec())


def line(number: int) -> OutboxLine:
    return OutboxLine(number=number, kind="message", content={"text": f"line {number}"}, virtual_ns=number, at=datetime.now(UTC))


def test_a_ledger_holds_each_line_once_and_drops_a_torn_one(tmp_path: Path):
    path = tmp_path / "outbox.jsonl"
    ledger = Ledger(path, OutboxLine)
    for number in range(2500):
        ledger.append(line(number))
    ledger.flush()
    with path.open("ab") as file:
        file.write(b'{"number":2500,"kin')
    again = Ledger(path, OutboxLine)
    assert again.count == 2500
    for number in (2499, 2500, 2501):
        again.append(line(number))
    assert [one.number for one in again.read(2498, 10)] == [2498, 2499, 2500, 2501]
    assert [one.number for one in again.read(999, 3)] == [999, 1000, 1001]
    assert again.read(2502, 10) == ()
    assert len(path.read_bytes().splitlines()) == 2502
    ledger.close()
    again.close()
