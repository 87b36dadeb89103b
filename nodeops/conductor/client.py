"""The conductor of an instance, as tasks and face see it: one typed method per operation."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal, TypeVar

from models.errors import TimedOut
from models.events import Arguments
from models.protocol.checkpoint import Came
from models.protocol.conductor import (
    OPERATIONS,
    ActivityLine,
    ActivityLines,
    At,
    AwaitEvent,
    Complete,
    ControlRecording,
    Hello,
    OutboxLine,
    OutboxLines,
    Outcome,
    Recording,
    Recordings,
    Restore,
    RunInfo,
    Runs,
    Save,
    SendEvent,
    Sent,
    Since,
    SomeNodes,
    StartRun,
    StopRun,
    Suspended,
    Wait,
)
from models.protocol.control import Nothing
from nodeops.control import ControlClient
from nodeops.layout import InstanceLayout

PAGE = 1000
Result = TypeVar("Result")


class ConductorClient:
    """One connection; raises NotFound if no conductor answers. For the operations' contracts see `models.protocol.conductor`.

    timeout_s: for any answer, besides what an operation itself may wait.
    """

    def __init__(self, layout: InstanceLayout, *, timeout_s: float = 120):
        self.layout, self.timeout_s = layout, timeout_s
        self._control = ControlClient(layout.daemon("conductor", "sock"), OPERATIONS, timeout_s=timeout_s)

    def hello(self) -> Hello:
        return self._control.call("hello", Nothing(), Hello)

    def start_run(self, run: StartRun) -> RunInfo:
        return self._control.call("start_run", run, RunInfo)

    def stop_run(self, number: int | None = None, *, reason: str = "asked to", patience_s: float = 60) -> RunInfo:
        """Returns when everything that ran has ended."""
        return self._control.call("stop_run", StopRun(number=number, reason=reason, patience_s=patience_s), RunInfo)

    def run(self) -> RunInfo | None:
        return self._control.call("run", Nothing(), Runs).current

    def send_event(self, target: str, verb: str, arguments: Arguments | None = None, *, in_s: float = 0, wait: bool = False,
                   timeout_s: float | None = None) -> Sent:
        """wait: for its completion, timeout_s at most (None: for ever). Raises TimedOut."""
        event = SendEvent(target=target, verb=verb, arguments=arguments or Arguments(), in_s=in_s)
        sent = self._control.call("send_event", event, Sent)
        if not wait:
            return sent
        return self._patiently(timeout_s, lambda slice_s: self._control.call(
            "await_event", AwaitEvent(token=sent.token, timeout_s=slice_s), Sent))

    def complete(self, token: int, outcome: Outcome | None = None) -> None:
        self._control.call("complete", Complete(token=token, outcome=outcome or Outcome()), Nothing)

    def wait(self, until: Literal["quiet", "idle", "over"], timeout_s: float | None = 30) -> RunInfo:
        """Raises TimedOut."""
        return self._patiently(timeout_s, lambda slice_s: self._control.call("wait", Wait(until=until, timeout_s=slice_s), RunInfo))

    def events(self, since: int = 0) -> Iterator[ActivityLine]:
        """Every line there is, from number since on."""
        while lines := self._control.call("events", Since(since=since, limit=PAGE), ActivityLines).lines:
            yield from lines
            since = lines[-1].number + 1

    def outbox(self, since: int = 0, wait_s: float = 0) -> tuple[OutboxLine, ...]:
        """Lines from number since on; if there is none, those that come within wait_s."""
        return self._control.call("outbox", Since(since=since, limit=PAGE, wait_s=wait_s), OutboxLines).lines

    def control_recording(self, action: Literal["start", "stop", "pause", "continue", "step"], name: str = "") -> tuple[Recording, ...]:
        return self._control.call("control_recording", ControlRecording(action=action, name=name), Recordings).recordings

    def recordings(self) -> tuple[Recording, ...]:
        return self._control.call("recordings", Nothing(), Recordings).recordings

    def swapout_events(self) -> Outcome:
        return self._control.call("swapout_events", Nothing(), Outcome)

    def suspend(self, monotonic_ns: int | None = None) -> int:
        """Returns the virtual time at which it stands still. The caller writes clock.json."""
        return self._control.call("suspend", At(monotonic_ns=monotonic_ns), Suspended).virtual_ns

    def resume(self, monotonic_ns: int | None = None) -> None:
        self._control.call("resume", At(monotonic_ns=monotonic_ns), Nothing)

    def save(self, directory: Path) -> None:
        self._control.call("save", Save(path=str(directory)), Nothing)

    def restore(self, directory: Path, next_message: int | None = None, came: Came | None = None) -> None:
        self._control.call("restore", Restore(path=str(directory), next_message=next_message, came=came), Nothing)

    def reload(self) -> None:
        self._control.call("reload", Nothing(), Nothing)

    def connect(self, *nodes: str) -> Hello:
        """Returns when they answer (all, if none is named)."""
        return self._control.call("connect", SomeNodes(nodes=nodes), Hello)

    def stop(self) -> None:
        self._control.call("stop", Nothing(), Nothing)

    def _patiently(self, timeout_s: float | None, ask: Callable[[float], Result]) -> Result:
        """Ask again and again, each time for less than the connection's own patience."""
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        while True:
            left_s = self.timeout_s if deadline is None else deadline - time.monotonic()
            slice_s = max(0.0, min(left_s, self.timeout_s / 2))
            try:
                return ask(slice_s)
            except TimedOut:
                if deadline is not None and time.monotonic() >= deadline:
                    raise

    def close(self) -> None:
        self._control.close()

    def __enter__(self) -> ConductorClient:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
