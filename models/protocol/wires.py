"""What is said to and by the wires: the state of a pipe, and the control socket's operations.

All times are virtual (nanoseconds since the instance began to live) or relative to the instant of saving (`…_in_ns`), so
that a state means the same on any host, at any later wall-clock time. Nothing here names an fd, a path or a process.
"""

from __future__ import annotations

from pydantic import ConfigDict

from models.protocol.control import Message
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
