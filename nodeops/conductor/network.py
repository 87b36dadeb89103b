"""Orders about links and LANs, as operations of the wires: events, and traces for the run's record."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from models.errors import SwapbedError
from models.events import Arguments
from models.protocol.conductor import UNDELIVERED, Outcome
from models.protocol.wires import CaptureEnded, CaptureNumber, CaptureStart, Change, Target
from models.spec import Lan, Spec
from nodeops.conductor.happenings import ChangeLan
from nodeops.conductor.wires_link import WiresLink

HEADER_BYTES = 64  # what a `header` trace keeps of a frame
Program = tuple[tuple[int, int, int, int], ...]


class Step:
    """One operation of the wires. note: is told its result."""

    def __init__(self, operation: str, takes: BaseModel, note: Callable[[dict[str, Any]], None] | None = None):
        self.operation, self.takes, self.note = operation, takes, note


class Network:
    """done(order number, outcome) is called when an order was carried out. captures: LAN/MEMBER/NUMBER of a file → number that the wires
    gave it; changed is called when that is another."""

    def __init__(self, link: WiresLink, traces: Path, spec: Spec, captures: dict[str, int], done: Callable[[int, Outcome], None],
                 changed: Callable[[], None], compile_filter: Callable[[str], Program]):
        self.link, self.traces, self.captures = link, traces, captures
        self.run, self.zero_ns = 0, 0  # of the run whose traces are written
        self._done, self._changed, self._compile = done, changed, compile_filter
        self._traces: dict[str, deque[ChangeLan]] = {}  # of a LAN: the one being carried out, and those that wait for it
        self.take(spec)

    def take(self, spec: Spec) -> None:
        self._lans: dict[str, Lan] = {lan.name: lan for lan in spec.lans}

    def order(self, order: ChangeLan) -> None:
        """In their order: what a trace order does depends on what the one before it came to."""
        if order.verb.startswith("trace-"):
            waiting = self._traces.setdefault(order.lan, deque())
            waiting.append(order)
            if len(waiting) == 1 and self._carry_out(order):
                self._next_trace(order.lan)
        else:
            self._carry_out(order)

    def _carry_out(self, order: ChangeLan) -> bool:
        """Whether it is done at once."""
        try:
            steps = self._steps(order.verb, self._lans[order.lan], order.arguments)
        except (SwapbedError, KeyError) as error:
            self._done(order.number, Outcome(code=UNDELIVERED, error=str(error)))
            return True
        if not steps:
            self._done(order.number, Outcome())
            return True
        outcomes: list[Outcome] = []
        for step in steps:
            self.link.ask(step.operation, step.takes, partial(self._ended, order, step, len(steps), outcomes))
        return False

    def _next_trace(self, lan: str) -> None:
        """The first that waits is over."""
        waiting = self._traces[lan]
        waiting.popleft()
        while waiting and self._carry_out(waiting[0]):
            waiting.popleft()
        if not waiting:
            del self._traces[lan]

    def capture_again(self, names: Iterable[str]) -> None:
        """What was being captured when the instance was saved goes on in new files."""
        for name in names:
            lan, member, _ = name.split("/")
            if lan in self._lans:
                step = self._start(self._lans[lan], member)
                self.link.ask(step.operation, step.takes, partial(self._noted, step))

    def _noted(self, step: Step, result: dict[str, Any], outcome: Outcome) -> None:
        if step.note is not None and outcome.ok:
            step.note(result)

    def _ended(self, order: ChangeLan, step: Step, count: int, outcomes: list[Outcome], result: dict[str, Any], outcome: Outcome) -> None:
        """The order is done when all its steps are; the first that failed is its outcome."""
        if step.operation == "capture_stop" and outcome.ok and not CaptureEnded.model_validate(result).written:
            self.link.ask(step.operation, step.takes, partial(self._ended, order, step, count, outcomes))
            return
        self._noted(step, result, outcome)
        outcomes.append(outcome)
        if len(outcomes) == count:
            self._done(order.number, next((one for one in outcomes if not one.ok), Outcome()))
            if order.verb.startswith("trace-"):
                self._next_trace(order.lan)

    def _steps(self, verb: str, lan: Lan, arguments: Arguments) -> list[Step]:
        if verb == "modify":
            return [Step("change", Change(lan=lan.name, values=arguments))]
        if verb in ("up", "down", "reset"):
            return [Step(verb, Target(lan=lan.name, member=arguments.member))]
        return self._trace(verb, lan, arguments)

    def _trace(self, verb: str, lan: Lan, arguments: Arguments) -> list[Step]:
        """A file for the LAN, or for each member that is traced by itself."""
        trace = lan.trace
        members = [arguments.member] if arguments.member else [*(trace.members if trace is not None else ())]
        if trace is not None and trace.end_nodes and not members:
            members = [member.node for member in lan.members]
        steps: list[Step] = []
        for member in members or [""]:
            running = [name for name in self.captures if name.startswith(f"{lan.name}/{member}/")]
            if verb in ("trace-stop", "trace-snapshot"):
                steps += [Step("capture_stop", CaptureNumber(number=self.captures[name]), partial(self._stopped, name)) for name in running]
            if verb == "trace-snapshot" or (verb == "trace-start" and not running):
                steps.append(self._start(lan, member))
        return steps

    def _start(self, lan: Lan, member: str) -> Step:
        """member: empty: all of them, in one file."""
        directory = self.traces / str(self.run)
        directory.mkdir(parents=True, exist_ok=True)
        prefix = f"{lan.name}.{member}" if member else lan.name
        trace = lan.trace
        counts = trace is not None and trace.what == "monitor"
        suffix = "csv" if counts else "pcapng"
        number = 1 + len([*directory.glob(f"{prefix}.*.{suffix}")])
        snap_bytes = (trace.snap_bytes or (HEADER_BYTES if trace.what == "header" else 0)) if trace is not None else HEADER_BYTES
        program = self._compile(trace.filter) if trace is not None and trace.filter else ()
        path = str(directory / f"{prefix}.{number}.{suffix}")
        start = CaptureStart(lan=lan.name, member=member or None, path=path, snap_bytes=snap_bytes, program=program, zero_ns=self.zero_ns,
                             counts=counts)
        return Step("capture_start", start, partial(self._started, f"{lan.name}/{member}/{number}"))

    def _started(self, name: str, result: dict[str, Any]) -> None:
        self.captures[name] = result["number"]
        self._changed()

    def _stopped(self, name: str, _: dict[str, Any]) -> None:
        self.captures.pop(name, None)
        self._changed()
