"""What the controller knows of a flow that it has begun: that it is done, though it goes on, or how it ended."""

from __future__ import annotations

import multiprocessing
import os
from types import SimpleNamespace

import pytest

from models.errors import SwapbedError
from swapbed.controller.flow_process import FlowProcess, Told


def _begun() -> tuple[FlowProcess, Told, SimpleNamespace]:
    process = SimpleNamespace(exitcode=None)
    answered, telling = multiprocessing.Pipe(duplex=False)
    return FlowProcess("stop_run", {}, process, 0.0, answered), Told(None, 0, telling), process  # type: ignore[arg-type]


def test_it_is_done_when_it_has_answered_whatever_it_does_then(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "nice", lambda _: None)  # it would be of all tests that follow
    flow, told, process = _begun()
    assert flow.outcome() is None
    told.answer({})
    told.refuse(SwapbedError("its picture cannot be drawn"))
    process.exitcode = 1
    assert flow.outcome() == 0


def test_one_that_never_answered_is_known_by_its_exit_code() -> None:
    flow, told, process = _begun()
    told.controller.close()
    assert flow.outcome() is None, "its process has not quite ended"
    process.exitcode = 3
    assert flow.outcome() == 3
