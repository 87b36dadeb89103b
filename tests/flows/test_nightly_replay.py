"""Records that are noted so are replayed unattended, one after the other; what goes otherwise than then is said, and stops no other."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from sqlmodel import col, select

from flows import load
from models.database import reading, writing
from models.errors import ExperimentFailed
from models.metadata import set_value
from models.protocol.conductor import RunInfo, Wait
from models.states import InstanceState, Subject
from models.tables import Instance, Record, Run
from tasks.daemons import ask_conductor

EXPERIMENT = """
nodes: {a: {}}
agents: {talker: {node: a, command: "echo RESULT speed 42"}}
timeline: {0s: talker run}
"""


pytestmark = pytest.mark.usefixtures("prefect_server", "state_dir")


def _records() -> list[Record]:
    with reading() as session:
        return list(session.exec(select(Record).order_by(col(Record.created_at))))


def test_what_is_noted_is_replayed_and_compared(define: Callable[..., Instance]) -> None:
    instance = define(EXPERIMENT)
    run_id = load("instantiate")(instance.id)["run_id"]
    ask_conductor(instance.id, "wait", Wait(until="idle", timeout_s=20), RunInfo, timeout_s=30)
    load("stop_run")(run_id)
    (record,) = _records()
    load("destroy")(instance.id)
    assert load("nightly_replay")() == {"replayed": 0}
    with writing() as session:
        set_value(session, Subject.RECORD, record.id, "replay", "nightly", by="test")
    assert load("nightly_replay")() == {"replayed": 1}
    _, again = _records()
    with reading() as session:
        run = session.get_one(Run, again.run_id)
        replayed = session.get_one(Instance, run.instance_id)
    assert (run.origin, run.outcome, again.summary["results"]) == ("schedule", "ok", {"speed": "42"})
    assert replayed.replay_of_id == record.id and replayed.state is InstanceState.DESTROYED
    with writing() as session:
        session.get_one(Record, record.id).summary = {"results": {"speed": "42", "weight": "1"}}
    with pytest.raises(ExperimentFailed, match="'weight'"):
        load("nightly_replay")(record.id)
    assert len(_records()) == 3
    with pytest.raises(ExperimentFailed, match="no such record"):
        load("nightly_replay")("rec-nobody")
