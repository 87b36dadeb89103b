"""What is said to and by the wires: the state of a pipe, and the control socket's operations.

All times are virtual (nanoseconds since the instance began to live) or relative to the instant of saving (`…_in_ns`), so
that a state means the same on any host, at any later wall-clock time. Nothing here names an fd, a path or a process.
"""

from __future__ import annotations

from typing import Literal

from pydantic import ConfigDict, Field

from models.events import Arguments
from models.protocol.control import Message, Nothing, Operation
from models.spec import Shaping

LATE_STEP_NS = 8192


class RandomState(Message):
    """A generator is a seed and how many numbers were drawn from it."""

    seed: int
    drawn: int = 0


class RedState(Message):
    """ns-2's v_ave, count, count_bytes and old."""

    average: float = 0
    count: int = 0
    count_bytes: int = 0
    above: bool = False


class WaitingFrame(Message):
    """A frame whose transmission has not begun. extra_ns: what it will spend after transmission; None: it will be lost."""

    start_in_ns: int
    size_bytes: int
    packets: int
    extra_ns: int | None


class HeldFrame(Message):
    """A frame in a pipe, as read from the node with its virtio-net header, and when it is due to leave."""

    model_config = ConfigDict(ser_json_bytes="base64", val_json_bytes="base64")

    due_in_ns: int
    data: bytes


class Tally(Message):
    """Ethernet frames that passed a pipe since it was made; a super-frame counts as the frames it stands for.

    in = out + dropped_* + held, in frames and in bytes. Bytes are those of Ethernet frames without FCS.
    """

    in_frames: int = 0
    in_bytes: int = 0
    out_frames: int = 0
    out_bytes: int = 0
    dropped_queue: int = 0
    dropped_red: int = 0
    dropped_loss: int = 0
    dropped_down: int = 0
    dropped_bytes: int = 0
    marked: int = 0


class Punctuality(Message):
    """How late frames really left: actual minus planned departure, and bytes that left back to back over the time that took.

    histogram: lateness in units of LATE_STEP_NS → departures; a super-frame is one departure.
    """

    histogram: dict[int, int] = {}
    total_ns: int = 0
    worst_ns: int = 0
    paced_bytes: int = 0
    paced_ns: int = 0


class PipeState(Message):
    """Everything a pipe knows at one instant; `Pipe.restore` at any other instant goes on as if no time had passed."""

    shaping: Shaping
    up: bool = True
    random: RandomState
    red: RedState = RedState()
    waiting: tuple[WaitingFrame, ...] = ()
    held: tuple[HeldFrame, ...] = ()
    sent_in_ns: int = 0
    remainder: int = 0
    last_due_in_ns: int = 0
    tally: Tally = Tally()
    punctuality: Punctuality = Punctuality()


class SavedPipe(Message):
    """The content of one file of `save`. early: frames of an uplink that the node sent after the network was frozen."""

    lan: str
    node: str
    interface: str
    direction: Literal["uplink", "downlink"]
    pipe: PipeState
    early: tuple[HeldFrame, ...] = ()


class Hello(Message):
    """restarts: how often these wires had to be started again after dying; frames held then were lost."""

    protocol: Literal[1] = 1
    pid: int
    restarts: int
    frozen: bool
    virtual_ns: int
    lans: int
    members: int
    detached: tuple[str, ...] = Field(default=(), description="LAN:node:interface whose device is not there")


class Target(Message):
    """member: a node, `node:interface` where it has two places in the LAN; None: all."""

    lan: str
    member: str | None = None


class Change(Message):
    """Only what is set in values changes. Values of the whole link are divided among its pipes, those of a member or direction are not."""

    lan: str
    values: Arguments


class Show(Message):
    """Pipes after the first `skip`, at most `limit` and fewer if the wires think so: showing a thousand at once would hold up frames."""

    lan: str | None = None
    member: str | None = None
    skip: int = Field(default=0, ge=0)
    limit: int = Field(default=64, gt=0, le=256)


class ShownPipe(Message):
    """One pipe: as the spec asks, as it is shaped now, and what it did.

    late_*: actual minus planned departure, in virtual time; None before any frame was held. It does not add up: how late a path's frames
    arrived is its downlink's lateness alone. achieved_bps: while saturated, since the bandwidth last
    changed. missed_frames (uplink): sent by the node, never seen by the wires. refused_frames (downlink): not taken by the node.
    """

    lan: str
    node: str
    interface: str
    direction: Literal["uplink", "downlink"]
    requested: Shaping
    shaping: Shaping
    up: bool
    attached: bool
    tally: Tally
    held_frames: int
    held_bytes: int
    late_mean_ns: int | None = None
    late_p50_ns: int | None = None
    late_p99_ns: int | None = None
    late_worst_ns: int | None = None
    achieved_bps: int | None = None
    missed_frames: int = 0
    refused_frames: int = 0


class Shown(Message):
    virtual_ns: int
    restarts: int
    total: int
    pipes: tuple[ShownPipe, ...]


class Reloaded(Message):
    """LANs by what happened to them."""

    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()


class At(Message):
    """An instant of this host's CLOCK_MONOTONIC, not more than a few seconds ahead; None: now."""

    monotonic_ns: int | None = None


class Frozen(Message):
    virtual_ns: int
    held_frames: int


class Resumed(Message):
    """virtual time = CLOCK_MONOTONIC - origin_ns."""

    origin_ns: int


class Directory(Message):
    """Absolute; exists; of this operation alone."""

    path: str


class Saved(Message):
    """files: relative to the directory, one per pipe, each a SavedPipe."""

    virtual_ns: int
    frames: int
    files: tuple[str, ...]


class CaptureStart(Message):
    """path: absolute; a file that is made anew, or a named pipe that somebody reads. program: classic BPF, see nodeops.wires.filter.

    zero_ns: the virtual time that the file calls 0. sent_only: what the nodes send, not what they get. counts: how much passed in each
    second, as CSV, instead of the frames.
    """

    lan: str
    member: str | None = None
    path: str
    snap_bytes: int = Field(default=0, ge=0, description="0: whole frames")
    program: tuple[tuple[int, int, int, int], ...] = ()
    zero_ns: int = 0
    sent_only: bool = False
    counts: bool = False


class CaptureNumber(Message):
    number: int


class CaptureEnded(Message):
    """dropped: frames that the reader or the disk was too slow for. written: the file is complete; if not, ask again."""

    frames: int
    dropped: int
    written: bool


OPERATIONS: dict[str, Operation] = {
    "hello": Operation(takes=Nothing, gives=Hello),
    "show": Operation(takes=Show, gives=Shown),
    "measure": Operation(takes=Nothing, gives=Nothing),
    "change": Operation(takes=Change, gives=Nothing),
    "up": Operation(takes=Target, gives=Nothing),
    "down": Operation(takes=Target, gives=Nothing),
    "reset": Operation(takes=Target, gives=Nothing),
    "reload": Operation(takes=Nothing, gives=Reloaded),
    "suspend": Operation(takes=At, gives=Frozen),
    "resume": Operation(takes=At, gives=Resumed),
    "save": Operation(takes=Directory, gives=Saved),
    "restore": Operation(takes=Directory, gives=Nothing),
    "capture_start": Operation(takes=CaptureStart, gives=CaptureNumber),
    "capture_stop": Operation(takes=CaptureNumber, gives=CaptureEnded),
    "stop": Operation(takes=Nothing, gives=Nothing),
}
