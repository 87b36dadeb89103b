"""What the control socket, and processes in nodes, can ask of the conductor."""

from __future__ import annotations

import os
from collections.abc import Callable

from pydantic import BaseModel

from models.errors import Conflict, HostProblem, InvalidInput, NotFound
from models.protocol.conductor import (
    CANCELLED,
    ActivityLines,
    At,
    AwaitEvent,
    Complete,
    ControlRecording,
    Hello,
    OutboxLines,
    Outcome,
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
from models.spec import Event, Spec, TargetKind, check_event
from nodeops.conductor.happenings import (
    Accepted,
    BeginRun,
    ChangeRecording,
    Completed,
    EndRun,
    FireSwapout,
    Petitioned,
    RecordCommand,
    Send,
    Settled,
)
from nodeops.conductor.service import Service
from nodeops.conductor.suspension import Suspension
from nodeops.conductor.waiting import Waiting
from nodeops.control import Deferred

SECOND = 1_000_000_000
CONNECT_S = 15.0  # until the nodes answer, before a run begins without those that do not
SEARCHED_AT_ONCE = 1000
ALWAYS = (TargetKind.INSTANCE, TargetKind.NODE, TargetKind.LAN)  # can be told events while no run goes on


class Operations:
    """One method per row of `models.protocol.conductor.OPERATIONS`; `handle` is the control server's handler."""

    def __init__(self, service: Service):
        self.service, self.waiting = service, Waiting(service)
        self.suspension = Suspension(service, self.waiting)

    def handle(self, operation: str, arguments: BaseModel) -> BaseModel | Deferred:
        method: Callable[[BaseModel], BaseModel | Deferred] = getattr(self, operation)
        try:
            return method(arguments)
        except OSError as error:
            raise HostProblem(f"'{operation}' failed: {error.strerror}", where=error.filename) from error

    def hello(self, _: Nothing) -> Hello:
        service = self.service
        return Hello(pid=os.getpid(), virtual_ns=service.clock.now_ns(), suspended=service.suspended, restarts=service.memory.kept.restarts,
                     nodes=len(service.nodes.links), absent=tuple(sorted(service.nodes.absent())),
                     halted=tuple(sorted(service.memory.machine.state.halted)))

    def start_run(self, wanted: StartRun) -> RunInfo | Deferred:
        """Asked again for the run that goes on, it says how that stands."""
        current = self._info()
        if current is not None and current.number == wanted.number:
            return current
        if current is not None and current.phase != "over":
            raise Conflict(f"run {current.number} goes on", next="Stop it first")
        if current is not None and wanted.number < current.number:
            raise Conflict(f"run {wanted.number} is over long ago: the last was {current.number}")
        self._must_run()
        return self.waiting.until(lambda: not self.service.nodes.undecided(), lambda: self._begin(wanted), CONNECT_S,
                                  on_timeout=lambda: self._begin(wanted))

    def stop_run(self, wanted: StopRun) -> RunInfo | Deferred:
        current = self._current()
        if wanted.number is not None and wanted.number != current.number:
            raise NotFound(f"run {wanted.number} does not go on: the last was {current.number}")
        if current.phase in ("starting", "running"):
            self._must_run()
            self.service.tell(EndRun, reason=wanted.reason, patience_ns=round(wanted.patience_s * SECOND))
        return self.waiting.until(lambda: self._current().phase == "over", self._ended)

    def run(self, _: Nothing) -> Runs:
        return Runs(current=self._info())

    def send_event(self, wanted: SendEvent) -> Sent | Deferred:
        settled: list[Outcome] = []
        event = Event(target=wanted.target, verb=wanted.verb, arguments=wanted.arguments)
        token = self.send(event, in_s=wanted.in_s, origin=wanted.origin, settled=settled.append)
        if not wanted.wait:
            return Sent(token=token)
        return self.waiting.until(lambda: bool(settled), lambda: Sent(token=token, outcome=settled[0]), wanted.timeout_s,
                                  what=f"event {token} ({wanted.target} {wanted.verb}) to complete")

    def await_event(self, wanted: AwaitEvent) -> Sent | Deferred:
        state = self.service.memory.machine.state
        if wanted.token >= state.next_token:
            raise NotFound(f"no event {wanted.token} was sent")
        if wanted.token not in state.activities and wanted.token not in state.coming:
            return Sent(token=wanted.token, outcome=self._outcome(wanted.token))
        settled: list[Outcome] = []
        self.when_settled(wanted.token, settled.append)
        return self.waiting.until(lambda: bool(settled), lambda: Sent(token=wanted.token, outcome=settled[0]), wanted.timeout_s,
                                  what=f"event {wanted.token} to complete")

    def complete(self, wanted: Complete) -> Nothing:
        if wanted.token not in self.service.memory.machine.state.activities:
            raise NotFound(f"no event {wanted.token} is in progress")
        self.service.tell(Completed, token=wanted.token, outcome=wanted.outcome)
        return Nothing()

    def wait(self, wanted: Wait) -> RunInfo | Deferred:
        self._current()

        def reached() -> bool:
            run = self.service.memory.machine.state.run
            if run is None or run.phase == "over":
                return True
            return {"quiet": run.quiet, "idle": run.idle}.get(wanted.until, False)

        return self.waiting.until(reached, self._current, wanted.timeout_s, what=f"the run to be {wanted.until}")

    def events(self, wanted: Since) -> ActivityLines | Deferred:
        ledger = self.service.events
        return self.waiting.until(lambda: ledger.count > wanted.since, lambda: ActivityLines(lines=ledger.read(wanted.since, wanted.limit)),
                                  wanted.wait_s, on_timeout=lambda: ActivityLines(lines=()))

    def outbox(self, wanted: Since) -> OutboxLines | Deferred:
        ledger = self.service.outbox
        return self.waiting.until(lambda: ledger.count > wanted.since, lambda: OutboxLines(lines=ledger.read(wanted.since, wanted.limit)),
                                  wanted.wait_s, on_timeout=lambda: OutboxLines(lines=()))

    def control_recording(self, wanted: ControlRecording) -> Recordings:
        self.change_recording(wanted.action, wanted.name, None)
        return self.recordings(Nothing())

    def recordings(self, _: Nothing) -> Recordings:
        return Recordings(recordings=tuple(self.service.memory.machine.state.recordings))

    def swapout_events(self, _: Nothing) -> Outcome | Deferred:
        """A run that is over has nothing to be fired before a swapout."""
        if self.service.memory.machine.state.run is None or self._current().phase not in ("starting", "running"):
            return Outcome()
        settled: list[Outcome] = []
        self._expect(self.service.tell(FireSwapout), settled.append)
        return self.waiting.until(lambda: bool(settled), lambda: settled[0])

    def suspend(self, at: At) -> Suspended | Deferred:
        return self.suspension.suspend(at.monotonic_ns)

    def resume(self, at: At) -> Nothing:
        self.suspension.resume(at.monotonic_ns)
        return Nothing()

    def save(self, wanted: Save) -> Nothing:
        self.suspension.save(wanted.path)
        return Nothing()

    def restore(self, wanted: Restore) -> Nothing:
        self.suspension.restore(wanted.path, wanted.next_message, wanted.came)
        return Nothing()

    def reload(self, _: Nothing) -> Nothing:
        self.service.reload()
        return Nothing()

    def connect(self, wanted: SomeNodes) -> Hello | Deferred:
        nodes = self.service.nodes
        if unknown := set(wanted.nodes) - nodes.links.keys():
            raise NotFound(f"there is no node '{min(unknown)}' here")
        names = wanted.nodes or tuple(nodes.links)
        nodes.retry_now(names)
        return self.waiting.until(lambda: not set(names) & set(nodes.absent()), lambda: self.hello(Nothing()), CONNECT_S,
                                  what="the nodes' inits to answer")

    def stop(self, _: Nothing) -> Nothing:
        self.service.stopping = True
        return Nothing()

    # What processes in nodes ask (`nodeops.conductor.petitions.Doer`), and the operations above have in common with it

    def spec(self) -> Spec:
        return self.service.spec

    def send(self, event: Event, *, in_s: float, origin: str, petition: Petitioned | None = None,
             settled: Callable[[Outcome], None] | None = None) -> int:
        """Fires it after in_s. Raises InvalidInput for what the template does not know, Conflict if it needs a run and none goes on."""
        spec = self.service.spec
        kinds = spec.targets()
        try:
            check_event(event, kinds, spec.groups)
        except ValueError as error:
            raise InvalidInput(str(error)) from error
        current = self._info()
        if kinds[event.target] not in ALWAYS and (current is None or current.phase == "over"):
            raise Conflict("no run goes on", next="Start one first")
        due_ns = self.service.clock.now_ns() + round(in_s * SECOND)
        return self._expect(self.service.tell(Send, event=event, due_ns=due_ns, origin=origin, petition=petition), settled)

    def when_settled(self, token: int, then: Callable[[Outcome], None]) -> None:
        self.service.settled.setdefault(token, []).append(then)

    def change_recording(self, action: str, name: str, petition: Petitioned | None) -> None:
        service = self.service
        wanted = ChangeRecording.model_validate({"now_ns": 0, "wall": 0, "action": action, "name": name})
        if objection := service.memory.machine.recorder.objection(wanted):
            raise Conflict(objection)
        service.tell(ChangeRecording, action=action, name=name, petition=petition)

    def record(self, node: str, command: str, directory: str, start_node_ns: int, petition: Petitioned) -> None:
        if self.service.memory.machine.recorder.current() is None:
            raise Conflict("nothing is being recorded", next="`record-events start NAME` begins a recording")
        self.service.tell(RecordCommand, node=node, command=command, directory=directory,
                          start_ns=self.service.nodes.links[node].virtual_ns(start_node_ns), petition=petition)

    def answer(self, node: str, petition: int, *, error: str | None = None, text: str | None = None) -> None:
        self.service.nodes.answer(node, petition, error=error, text=text)

    def taken(self, node: str) -> int:
        return self.service.memory.machine.state.petitions.get(node, 0)

    def _expect(self, outputs: list, settled: Callable[[Outcome], None] | None) -> int:
        """The token of what was just sent; settled is told how it ended, also if that has happened already."""
        token = next(output.token for output in outputs if isinstance(output, Accepted))
        if settled is not None:
            over = [output.outcome for output in outputs if isinstance(output, Settled) and output.token == token]
            if over:
                settled(over[0])
            else:
                self.service.settled.setdefault(token, []).append(settled)
        return token

    def _begin(self, wanted: StartRun) -> RunInfo:
        self.service.tell(BeginRun, run=wanted)
        return self._current()

    def _outcome(self, token: int) -> Outcome:
        """Of an event that is over, as events.jsonl has it."""
        ledger = self.service.events
        for since in range(0, ledger.count, SEARCHED_AT_ONCE):
            for line in ledger.read(since, SEARCHED_AT_ONCE):
                if line.token == token and line.kind in ("fired", "completed", "cancelled") and (line.outcome or line.kind == "cancelled"):
                    return line.outcome or Outcome(code=CANCELLED, error="its run was stopped")
        return Outcome()

    def _ended(self) -> RunInfo:
        self.service.events.flush(durable=True)
        return self._current()

    def _info(self) -> RunInfo | None:
        return self.service.memory.machine.info()

    def _current(self) -> RunInfo:
        if (info := self._info()) is None:
            raise Conflict("no run has been started yet", next="Start one first")
        return info

    def _must_run(self) -> None:
        if self.service.suspended:
            raise Conflict("the instance is suspended", next="Resume it first")

