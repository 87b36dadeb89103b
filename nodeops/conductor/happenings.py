"""What the machine is told, and what it tells: the whole interface between deciding and doing.

Happenings are kept in the conductor's memory and told again after a crash, so they carry the time at which they were first
told; times are virtual nanoseconds. Outputs that have a number are orders: they are outstanding until a `Done` of that number, and
whoever carries them out may be told them twice.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field, TypeAdapter

from models.events import Arguments
from models.protocol.conductor import ActivityLine, OutboxLine, Outcome, StartRun
from models.protocol.control import Message
from models.spec import Event


class Told(Message):
    now_ns: int
    wall: datetime


class Tick(Told):
    """Nothing but time has passed."""

    what: Literal["tick"] = "tick"


class Petitioned(Message):
    """The request from inside a node that a happening answers, so that it is not done twice."""

    node: str
    number: int


class Send(Told):
    """An event that is in no timeline or sequence of the spec. Followed by `Accepted`."""

    what: Literal["send"] = "send"
    event: Event
    due_ns: int
    origin: str
    petition: Petitioned | None = None


class Done(Told):
    """An order was carried out, or could not be."""

    what: Literal["done"] = "done"
    order: int
    outcome: Outcome = Outcome()


class ProgramStarted(Told):
    what: Literal["started"] = "started"
    invocation: str
    pid: int
    start_ns: int


class ProgramExited(Told):
    """error: it could not be started."""

    what: Literal["exited"] = "exited"
    invocation: str
    start_ns: int
    end_ns: int
    code: int | None = None
    signal: int | None = None
    error: str | None = None
    user_us: int = 0
    system_us: int = 0
    max_rss_kib: int = 0


class ProgramGone(Told):
    what: Literal["gone"] = "gone"
    invocation: str
    end_ns: int
    user_us: int = 0
    system_us: int = 0
    max_rss_kib: int = 0


class NodeDied(Told):
    what: Literal["node-died"] = "node-died"
    node: str
    reason: str


class NodeBack(Told):
    """A node's init answers (again). incarnation: another one than before if it was started anew; then nothing runs in it. running: the
    invocations it knows. last_order: the highest number it has seen; new ones must be higher."""

    what: Literal["node-back"] = "node-back"
    node: str
    incarnation: int
    running: tuple[str, ...] = ()
    last_order: int = 0


class WiresDied(Told):
    what: Literal["wires-died"] = "wires-died"
    reason: str


class WiresBack(Told):
    what: Literal["wires-back"] = "wires-back"


class BeginRun(Told):
    what: Literal["begin-run"] = "begin-run"
    run: StartRun


class EndRun(Told):
    what: Literal["end-run"] = "end-run"
    reason: str
    patience_ns: int


class Completed(Told):
    """The controller has done what an event asked of it."""

    what: Literal["completed"] = "completed"
    token: int
    outcome: Outcome


class FireSwapout(Told):
    """All that the spec has `on: swapout`. Followed by `Accepted`."""

    what: Literal["fire-swapout"] = "fire-swapout"


class RecordCommand(Told):
    """Somebody ran a command by hand in a node, and it succeeded."""

    what: Literal["record-command"] = "record-command"
    node: str
    command: str
    directory: str
    start_ns: int
    petition: Petitioned


class ChangeRecording(Told):
    what: Literal["change-recording"] = "change-recording"
    action: Literal["start", "stop", "pause", "continue", "step"]
    name: str = ""
    petition: Petitioned | None = None


class Noted(Told):
    """Something that belongs into events.jsonl and changes nothing: suspended, resumed, restarted."""

    what: Literal["noted"] = "noted"
    about: str
    detail: dict[str, int | str] = {}


Happening = Annotated[Tick | Send | Done | ProgramStarted | ProgramExited | ProgramGone | NodeDied | NodeBack | WiresDied | WiresBack
                      | BeginRun | EndRun | Completed | FireSwapout | RecordCommand | ChangeRecording | Noted, Field(discriminator="what")]
HAPPENING: TypeAdapter[Happening] = TypeAdapter(Happening)


class Order(Message):
    """token: the event that completes when this is done; None: nobody waits."""

    number: int
    token: int | None = None


class StartProgram(Order):
    """log: of its files in the agent's log directory, without .out and .err. arguments: all that count, those of the spec included."""

    do: Literal["start-program"] = "start-program"
    node: str
    invocation: str
    agent: str
    log: str
    arguments: Arguments


class StartTraffic(Order):
    do: Literal["start-traffic"] = "start-traffic"
    node: str
    invocation: str
    agent: str
    log: str
    arguments: Arguments


class PaceTraffic(Order):
    do: Literal["pace-traffic"] = "pace-traffic"
    node: str
    invocation: str
    agent: str
    arguments: Arguments


class SignalProgram(Order):
    do: Literal["signal-program"] = "signal-program"
    node: str
    invocation: str
    signal: str


class ChangeLan(Order):
    """verb: up, down, modify, reset or one of trace-…"""

    do: Literal["change-lan"] = "change-lan"
    lan: str
    verb: str
    arguments: Arguments


class ChangeNode(Order):
    do: Literal["change-node"] = "change-node"
    node: str
    verb: Literal["reboot", "stop"]


class CleanLogs(Order):
    do: Literal["clean-logs"] = "clean-logs"


class RotateFiles(Order):
    """Put away what the run leaves in a node, where the next run does not touch it: /swapbed/runs/RUN/logs and archive."""

    do: Literal["rotate-files"] = "rotate-files"
    node: str
    run: int


class KeepLogs(Order):
    """Copy a node's logs as they are now into its archive, and so into the run's record: snapshots/TOKEN of the event."""

    do: Literal["keep-logs"] = "keep-logs"
    node: str


AnyOrder = Annotated[StartProgram | StartTraffic | PaceTraffic | SignalProgram | ChangeLan | ChangeNode | CleanLogs | RotateFiles
                     | KeepLogs, Field(discriminator="do")]


class WriteStatus(Message):
    """What a program's status file shall say. Not an order: if its node dies first, events.jsonl still tells."""

    node: str
    agent: str
    log: str
    status: dict[str, int | float | str | bool | None]


class Accepted(Message):
    """The token of the event that was just sent."""

    token: int


class Settled(Message):
    """An event is over, for whoever waits: completed, or delivered if it does not complete."""

    token: int
    outcome: Outcome


Output = Order | ActivityLine | OutboxLine | WriteStatus | Accepted | Settled
