"""Trace orders of one LAN are carried out one after the other, however slow the wires are."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from models.events import Arguments
from models.protocol.conductor import Outcome
from models.spec import Spec, Trace
from nodeops.conductor.happenings import ChangeLan
from nodeops.conductor.network import Network
from tests.nodeops.conductor.test_live import with_parts
from tests.nodeops.instances import lan_spec

Then = Callable[[dict[str, Any], Outcome], None]


class SlowWires:
    """Answers when told to."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, BaseModel, Then]] = []
        self.captures = 0

    def ask(self, operation: str, takes: BaseModel, then: Then) -> None:
        self.asked.append((operation, takes, then))

    def answer(self) -> str:
        operation, _, then = self.asked.pop(0)
        self.captures += operation == "capture_start"
        then({"number": self.captures} if operation == "capture_start" else {"written": True, "frames": 0, "dropped": 0}, Outcome())
        return operation


def network_of(spec: Spec, directory: Path, wires: SlowWires, done: Callable[[int, Outcome], None]) -> Network:
    return Network(wires, directory, spec, {}, done, lambda: None, lambda text: ())  # type: ignore[arg-type]


def test_each_sees_what_the_one_before_came_to(tmp_path: Path) -> None:
    spec = lan_spec("h1", "h2")
    traced = with_parts(spec, lans=(spec.lans[0].model_copy(update={"trace": Trace()}),))
    wires = SlowWires()
    done: list[tuple[int, bool]] = []
    network = network_of(traced, tmp_path, wires, lambda number, outcome: done.append((number, outcome.ok)))
    verbs = ("trace-start", "trace-start", "trace-stop", "trace-start", "trace-snapshot", "trace-stop", "trace-stop")
    for number, verb in enumerate(verbs):
        network.order(ChangeLan(number=number, lan="net", verb=verb, arguments=Arguments()))
    said = []
    while wires.asked:
        said.append(wires.answer())
    assert said == ["capture_start", "capture_stop", "capture_start", "capture_stop", "capture_start", "capture_stop"]
    assert done == [(number, True) for number in range(len(verbs))]
    assert not network.captures


def test_other_orders_do_not_wait_for_them(tmp_path: Path) -> None:
    wires = SlowWires()
    network = network_of(lan_spec("h1", "h2"), tmp_path, wires, lambda number, _: None)
    for number, verb in enumerate(("trace-start", "trace-stop", "down")):
        network.order(ChangeLan(number=number, lan="net", verb=verb, arguments=Arguments()))
    assert [operation for operation, _, _ in wires.asked] == ["capture_start", "down"]
