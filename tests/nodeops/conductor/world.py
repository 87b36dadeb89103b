"""A simulated world for the machine alone: programs that take a given time, orders that are done after a given delay.

A program's command is `SECONDS CODE`; SIGTERM ends it at once, unless it begins with `stubborn`.
"""

from __future__ import annotations

import heapq
from datetime import UTC, datetime, timedelta

from models.protocol.conductor import ActivityLine, OutboxLine, StartRun
from models.spec import Event, Group, Node, ProgramAgent, Sequence, Spec, TimedEvent, Timeline, TimelineEntry
from nodeops.conductor import happenings as h
from nodeops.conductor.machine import Machine
from nodeops.conductor.state import State

SECOND = 1_000_000_000
EPOCH = datetime(2026, 1, 1, tzinfo=UTC)


def programs(**commands: str) -> tuple[ProgramAgent, ...]:
    return tuple(ProgramAgent(name=name, node="n", command=command) for name, command in commands.items())


def make_spec(**parts) -> Spec:
    return Spec(nodes=(Node(name="n"), Node(name="m")), **parts)


__all__ = ["SECOND", "Event", "Group", "ProgramAgent", "Sequence", "Spec", "TimedEvent", "Timeline", "TimelineEntry", "World", "make_spec",
           "programs"]


class World:
    """Feed it what a user does (`tell`), let time pass (`run`), read `lines` and `messages`. reload_at: steps before which the machine is
    thrown away and made anew from its saved state."""

    def __init__(self, spec: Spec, *, latency_ns: int = 0, reload_at: frozenset[int] | None = frozenset()):
        self.spec, self.machine, self.latency_ns, self.reload_at = spec, Machine(spec), latency_ns, reload_at
        self.now_ns, self.steps, self._rank = 0, 0, 0
        self.future: list[tuple[int, int, type[h.Told], dict]] = []
        self.running: dict[str, bool] = {}
        self.lines: list[ActivityLine] = []
        self.messages: list[OutboxLine] = []
        self.outputs: list[h.Output] = []

    def tell(self, kind: type[h.Told], **fields) -> list[h.Output]:
        if self.reload_at is None or self.steps in self.reload_at:
            self.machine = Machine(self.spec, State.model_validate_json(self.machine.state.model_dump_json()))
        self.steps += 1
        outputs = self.machine.feed(kind(now_ns=self.now_ns, wall=EPOCH + timedelta(microseconds=self.now_ns // 1000), **fields))
        self.outputs += outputs
        for output in outputs:
            self._act(output)
        return outputs

    def begin(self, number: int = 1) -> None:
        self.tell(h.BeginRun, run=StartRun(number=number))

    def send(self, target: str, verb: str, in_s: float = 0, **arguments) -> int:
        event = Event(target=target, verb=verb, arguments=arguments)
        told = self.tell(h.Send, event=event, due_ns=self.now_ns + round(in_s * SECOND), origin="user")
        return next(output.token for output in told if isinstance(output, h.Accepted))

    def run(self, seconds: float) -> None:
        """Until then, everything in its order."""
        end_ns = self.now_ns + round(seconds * SECOND)
        while True:
            due_ns, coming_ns = self.machine.next_due_ns(), self.future[0][0] if self.future else None
            next_ns = min((at for at in (due_ns, coming_ns) if at is not None), default=None)
            if next_ns is None or next_ns > end_ns:
                break
            self.now_ns = max(self.now_ns, next_ns)
            if coming_ns is not None and coming_ns <= next_ns:
                _, _, kind, fields = heapq.heappop(self.future)
                if kind is not h.ProgramExited or self.running.pop(fields["invocation"], False):
                    self.tell(kind, **fields)
            else:
                self.tell(h.Tick)
        self.now_ns = end_ns

    def fired(self, target: str | None = None) -> list[tuple[float, str, str]]:
        """(run time, target, verb) of what was fired, in order."""
        return [(line.actual_ns / SECOND, line.target, line.verb) for line in self.lines
                if line.kind == "fired" and target in (None, line.target)]

    def ended(self, target: str) -> list[tuple[float, int]]:
        """(virtual time, code) of completions."""
        return [(line.actual_ns / SECOND, line.outcome.code) for line in self.lines
                if line.kind == "completed" and line.target == target and line.outcome]

    def asked(self) -> list[str]:
        return [message.kind for message in self.messages]

    def _later(self, delay_ns: int, kind: type[h.Told], **fields) -> None:
        self._rank += 1
        heapq.heappush(self.future, (self.now_ns + delay_ns, self._rank, kind, fields))

    def _act(self, output: h.Output) -> None:
        if isinstance(output, ActivityLine):
            self.lines.append(output)
        elif isinstance(output, OutboxLine):
            self.messages.append(output)
        elif isinstance(output, h.StartProgram):
            self._later(self.latency_ns, h.Done, order=output.number)
            words = output.arguments.command.split()
            self.running[output.invocation] = True
            self._exit(output.invocation, round(float(words[-2]) * SECOND), code=int(words[-1]), stubborn="stubborn" in words)
        elif isinstance(output, h.SignalProgram):
            self._later(self.latency_ns, h.Done, order=output.number)
            if self.running.get(output.invocation) and (output.signal == "KILL" or not self.stubborn[output.invocation]):
                self._exit(output.invocation, 0, signal=9 if output.signal == "KILL" else 15, stubborn=self.stubborn[output.invocation])
        elif isinstance(output, h.Order):
            self._later(self.latency_ns, h.Done, order=output.number)

    stubborn: dict[str, bool] = {}

    def _exit(self, invocation: str, delay_ns: int, *, stubborn: bool, **how) -> None:
        self.stubborn = {**self.stubborn, invocation: stubborn}
        at = self.now_ns + delay_ns
        self._later(delay_ns, h.ProgramExited, invocation=invocation, start_ns=self.now_ns, end_ns=at, **how)
        self._later(delay_ns, h.ProgramGone, invocation=invocation, end_ns=at)
