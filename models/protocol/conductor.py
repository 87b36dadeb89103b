"""What is said to and by the conductor: what happened (events.jsonl), what the controller must hear (outbox.jsonl), and the
control socket's operations.

Times ending in `_ns` are virtual, but for `at`, the wall clock of the conductor's host. Run time is virtual time since the
run's own timeline began; it stands at 0 while `on_start` runs.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from pydantic import Field

from models.events import Arguments, Seconds
from models.protocol.checkpoint import Came
from models.protocol.control import Message, Nothing, Operation

EnvironmentOfRun = Literal["inherit", "fresh"]
Phase = Literal["starting", "running", "stopping", "ending", "over"]

# Codes of outcomes that no program's exit code stands behind; programs' own are 1 to 255, 128 + N for signal N.
BUSY, TIMED_OUT, NOT_STARTED, UNDELIVERED, CANCELLED = 16, 124, 127, 254, 255


class Outcome(Message):
    """How something ended. code 0: as it should; worse is higher."""

    code: int = 0
    error: str | None = None

    @property
    def ok(self) -> bool:
        return self.code == 0


class ActivityLine(Message):
    """A line of events.jsonl: something as it really happened. Lines of one token belong to one event.

    kind: `fired` (told to its target), `completed`, `started` and `exited` (of a program), `gone` (nothing is left of an exited
    program that left daemons behind), `cancelled` (its run was stopped first), `warning`, `log`, `message`, `report`, `node-died`,
    `node-back`, `wires-died`, `wires-back`, `run-began`, `timeline-began`, `run-ended`, `suspended`, `resumed`, `restarted` (the
    conductor itself).
    cause: token of the sequence, timeline or group it stands in. origin: `timeline`, `sequence NAME`, `timeline NAME`,
    `group NAME`, `user`, `node NAME`, `hook NAME`, `run`.
    """

    number: int
    run: int | None = None
    kind: str
    token: int | None = None
    cause: int | None = None
    origin: str = ""
    target: str = ""
    verb: str = ""
    arguments: dict[str, Any] = {}
    planned_ns: int | None = None
    actual_ns: int
    run_ns: int | None = None
    at: datetime
    outcome: Outcome | None = None
    detail: dict[str, Any] = Field(default={}, description="of `exited`: code or signal, times, cpu, memory, tag, files")


class OutboxLine(Message):
    """Something the controller, or whoever waits, must hear. Numbers begin at 0 and have no gaps.

    kind: `terminate`, `swapout`, `stop-run`, `start-run`, `message` (asked for by events, content says by which),
    `run-ended`, `quiet` (no event is pending and nothing is waited for; content names the programs that run on), `idle` (nor does any
    program run), `node-died` and `wires-died` (content says by `failure` what that does; see `models.spec.Node.failure`).
    """

    number: int
    kind: str
    content: dict[str, Any] = {}
    run: int | None = None
    virtual_ns: int
    at: datetime


class Hello(Message):
    """absent: nodes whose init does not answer. halted: those that an event told to stop. restarts: how often this instance's
    conductor had to be started again."""

    protocol: Literal[1] = 1
    pid: int
    virtual_ns: int
    suspended: bool
    restarts: int
    nodes: int
    absent: tuple[str, ...] = ()
    halted: tuple[str, ...] = ()


class StartRun(Message):
    """number: greater than that of the run before. parameters: all of them, as the run shall have them. environment: for programs, besides.

    environment_of_run: None: as the template says (`environment_of_runs`). The conductor only notes it: files are the caller's matter.
    """

    number: int = Field(ge=1)
    parameters: dict[str, str] = {}
    environment: dict[str, str] = {}
    environment_of_run: EnvironmentOfRun | None = None


class StopRun(Message):
    """patience_s: virtual seconds for `on_stop`, which is cancelled after that."""

    reason: str = "asked to"
    patience_s: Seconds = 60
    number: int | None = Field(default=None, description="which is meant; nothing if that one is over already")


class Failure(Message):
    """Something of a run that did not end as it should, and that no sequence took care of."""

    token: int
    target: str
    verb: str
    outcome: Outcome


class RunInfo(Message):
    """A run as it stands. began_ns: when it was started; zero_ns: when its timeline began, run time 0.

    pending: events of timelines, and sent ones, that are still to come. waiting: tokens of what is in progress and will complete.
    running: agents whose program runs. failures: at most the first hundred.
    """

    number: int
    phase: Phase
    environment_of_run: EnvironmentOfRun
    parameters: dict[str, str]
    began_ns: int
    began_at: datetime
    zero_ns: int | None = None
    ended_ns: int | None = None
    ended_at: datetime | None = None
    reason: str = ""
    pending: int = 0
    waiting: tuple[int, ...] = ()
    running: tuple[str, ...] = ()
    failures: tuple[Failure, ...] = ()
    failed: int = 0


class Runs(Message):
    """current: the run that goes on, or the last one; None before the first."""

    current: RunInfo | None = None


class SendEvent(Message):
    """in_s: virtual seconds from now. wait: answer when it has completed (or been delivered, if it does not complete)."""

    target: str
    verb: str
    arguments: Arguments = Arguments()
    in_s: Seconds = 0
    wait: bool = False
    timeout_s: Seconds | None = Field(default=None, description="of waiting, by the wall clock")
    origin: str = "user"


class Sent(Message):
    """outcome: None unless waited for."""

    token: int
    outcome: Outcome | None = None


class AwaitEvent(Message):
    """An event that was sent before; one that is over is answered at once, one that nobody knows never was."""

    token: int
    timeout_s: Seconds = 30


class Complete(Message):
    """What a controller did about an event that it was asked to do."""

    token: int
    outcome: Outcome = Outcome()


class Wait(Message):
    """until: the run is quiet or idle (see OutboxLine) or over; a run that is over is all of them."""

    until: Literal["quiet", "idle", "over"]
    timeout_s: Seconds = 30


class Since(Message):
    """Lines from number `since` on, at most limit. wait_s: if there is none yet, wait so long for one, by the wall clock."""

    since: int = Field(default=0, ge=0)
    limit: int = Field(default=1000, gt=0, le=10000)
    wait_s: Seconds = 0


class ActivityLines(Message):
    lines: tuple[ActivityLine, ...]


class OutboxLines(Message):
    lines: tuple[OutboxLine, ...]


class RecordedEvent(Message):
    """offset_ns: recorded time since the recording began. node: where a command was run by hand; its target is then no agent of the
    template yet."""

    offset_ns: int
    target: str
    verb: str
    arguments: Arguments = Arguments()
    node: str | None = None


class Recording(Message):
    """Recorded time = virtual time - begin_ns - skipped_ns; it stands still while paused. step: it pauses after the next event."""

    name: str
    state: Literal["recording", "paused", "finished"] = "recording"
    begin_ns: int
    skipped_ns: int = 0
    paused_ns: int | None = None
    step: bool = False
    events: tuple[RecordedEvent, ...] = ()


class ControlRecording(Message):
    """name: of the recording to start; the others are about the one that is not finished."""

    action: Literal["start", "stop", "pause", "continue", "step"]
    name: str = ""


class Recordings(Message):
    recordings: tuple[Recording, ...]


class At(Message):
    """An instant of this host's CLOCK_MONOTONIC; None: now."""

    monotonic_ns: int | None = None


class Suspended(Message):
    virtual_ns: int


class Save(Message):
    """Into a directory that exists and is of this operation alone: conductor.json, events.jsonl, outbox.jsonl. Nothing names the host."""

    path: str


class Restore(Message):
    """next_message: number of the next outbox line; the controller has heard what comes before. 0: a fork, whose outbox is empty.

    None: as saved, or as this instance's own outbox stands, whichever is higher. came: told when it goes on.
    """

    path: str
    next_message: int | None = None
    came: Came | None = None


class SomeNodes(Message):
    """Some of the instance's nodes; empty: all."""

    nodes: tuple[str, ...] = ()


OPERATIONS: dict[str, Operation] = {
    "hello": Operation(takes=Nothing, gives=Hello),
    # Answers when the run has begun; its on_start may still be under way.
    "start_run": Operation(takes=StartRun, gives=RunInfo),
    # Answers when on_stop has completed, everything that ran has ended, and events.jsonl is on disk.
    "stop_run": Operation(takes=StopRun, gives=RunInfo),
    "run": Operation(takes=Nothing, gives=Runs),
    "send_event": Operation(takes=SendEvent, gives=Sent),
    "await_event": Operation(takes=AwaitEvent, gives=Sent),
    "complete": Operation(takes=Complete, gives=Nothing),
    "wait": Operation(takes=Wait, gives=RunInfo),
    "events": Operation(takes=Since, gives=ActivityLines),
    "outbox": Operation(takes=Since, gives=OutboxLines),
    "control_recording": Operation(takes=ControlRecording, gives=Recordings),
    "recordings": Operation(takes=Nothing, gives=Recordings),
    # Fires what the spec has `on: swapout` and answers when all of it has completed.
    "swapout_events": Operation(takes=Nothing, gives=Outcome),
    # Stands still at that instant and lets go of every init, so that nodes can be dumped. The caller writes clock.json.
    "suspend": Operation(takes=At, gives=Suspended),
    "resume": Operation(takes=At, gives=Nothing),
    # Both only while suspended.
    "save": Operation(takes=Save, gives=Nothing),
    "restore": Operation(takes=Restore, gives=Nothing),
    # Takes over spec.json as it is now; what is in progress goes on.
    "reload": Operation(takes=Nothing, gives=Nothing),
    # Answers when the nodes' inits are connected (after a node was started again).
    "connect": Operation(takes=SomeNodes, gives=Hello),
    "stop": Operation(takes=Nothing, gives=Nothing),
}
