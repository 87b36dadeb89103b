"""What the control socket can ask of the wires, and what it does to the network."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from itertools import islice
from pathlib import Path

from pydantic import BaseModel

from models.errors import HostProblem, NotFound
from models.protocol.control import Nothing
from models.protocol.wires import (
    LATE_STEP_NS,
    At,
    CaptureEnded,
    CaptureNumber,
    CaptureStart,
    Change,
    Directory,
    Frozen,
    Hello,
    Punctuality,
    Reloaded,
    Resumed,
    Saved,
    Show,
    Shown,
    ShownPipe,
    Target,
)
from models.shaping import Direction
from models.spec import Shaping
from nodeops.wires import snapshot
from nodeops.wires.capture import Capture
from nodeops.wires.counting import Counting
from nodeops.wires.deviations import Deviation
from nodeops.wires.observer import Observer
from nodeops.wires.place import DIRECTIONS, Place
from nodeops.wires.punctuality import Record
from nodeops.wires.reshape import reshaped
from nodeops.wires.service import Service

CLOSING_S = 10.0
PAGE_PIPES = 64  # looking at that many takes a few milliseconds, in which no frame is carried
MEASURABLE_NS = 10_000_000  # a rate over less than this says more about wake-ups than about the pipe


class Operations:
    """One method per row of `models.protocol.wires.OPERATIONS`; `handle` is the control server's handler."""

    def __init__(self, service: Service):
        self.service = service
        self.network = service.network
        self._captures: dict[int, Observer] = {}
        self._ending: dict[int, Observer] = {}
        self._captured = 0

    def handle(self, operation: str, arguments: BaseModel) -> BaseModel:
        method: Callable[[BaseModel], BaseModel] = getattr(self, operation)
        try:
            return method(arguments)
        except OSError as error:
            raise HostProblem(f"'{operation}' failed: {error.strerror}", where=error.filename) from error

    def hello(self, _: Nothing) -> Hello:
        places = list(self.network.places())
        detached = tuple(str(place) for place in places if not place.attached)
        return Hello(pid=os.getpid(), restarts=self.service.deviations.restarts, frozen=self.network.frozen,
                     virtual_ns=self.service.now_ns(), lans=len(self.network.lans), members=len(places), detached=detached)

    def show(self, wanted: Show) -> Shown:
        names = [wanted.lan] if wanted.lan else list(self.network.lans)
        pipes = [(place, direction) for name in names for place in self.network.lan(name).places if place.answers_to(wanted.member)
                 for direction in DIRECTIONS]
        page = islice(pipes, wanted.skip, wanted.skip + min(wanted.limit, PAGE_PIPES))
        return Shown(virtual_ns=self.service.now_ns(), restarts=self.service.deviations.restarts, total=len(pipes),
                     pipes=tuple(_shown(place, direction) for place, direction in page))

    def measure(self, _: Nothing) -> Nothing:
        """Lateness and achieved rates from now on; the counters of frames stay."""
        for place in self.network.places():
            for direction in DIRECTIONS:
                place.pipe(direction).punctuality = Record()
        return Nothing()

    def change(self, change: Change) -> Nothing:
        for place in self._targets(change.lan, change.values.member):
            for direction in DIRECTIONS:
                if change.values.direction in (None, direction):
                    self._shape(place, direction, reshaped(place.pipe(direction).shaping, change.values, direction))
        return Nothing()

    def up(self, target: Target) -> Nothing:
        return self._set_up(target, True)

    def down(self, target: Target) -> Nothing:
        return self._set_up(target, False)

    def reset(self, target: Target) -> Nothing:
        for place in self._targets(target.lan, target.member):
            for direction in DIRECTIONS:
                self._shape(place, direction, place.requested(direction))
        return self._set_up(target, True)

    def reload(self, _: Nothing) -> Reloaded:
        reloaded = self.service.reload()
        self._note(place for name in (*reloaded.added, *reloaded.changed) for place in self.network.lan(name).places)
        return reloaded

    def suspend(self, at: At) -> Frozen:
        virtual_ns = self.service.suspend(at.monotonic_ns)
        held = sum(1 for place in self.network.places() for direction in DIRECTIONS for _ in place.pipe(direction).held())
        return Frozen(virtual_ns=virtual_ns, held_frames=held)

    def resume(self, at: At) -> Resumed:
        return Resumed(origin_ns=self.service.resume(at.monotonic_ns))

    def save(self, directory: Directory) -> Saved:
        return snapshot.save(self.network, self.service.frozen_ns(), Path(directory.path))

    def restore(self, directory: Directory) -> Nothing:
        snapshot.restore(self.network, self.service.frozen_ns(), Path(directory.path))
        self._note(self.network.places())
        return Nothing()

    def capture_start(self, wanted: CaptureStart) -> CaptureNumber:
        places = self._targets(wanted.lan, wanted.member)
        capture: Observer
        if wanted.counts:
            capture = Counting(Path(wanted.path), places, program=wanted.program, zero_ns=wanted.zero_ns)
        else:
            capture = Capture(Path(wanted.path), places, snap_bytes=wanted.snap_bytes, program=wanted.program, zero_ns=wanted.zero_ns,
                              now_ns=self.service.now_ns(), sent_only=wanted.sent_only)
        for place in places:
            place.captures += (capture,)
        self.network.settle(self.network.lan(wanted.lan))
        self._captured += 1
        self._captures[self._captured] = capture
        return CaptureNumber(number=self._captured)

    def capture_stop(self, which: CaptureNumber) -> CaptureEnded:
        """Repeated until all is written, since waiting for a disk here would hold up the frames."""
        capture = self._captures.pop(which.number, None)
        if capture is not None:
            self._end(capture)
            self._ending[which.number] = capture
        elif which.number not in self._ending:
            raise NotFound(f"no capture {which.number} is running")
        capture = self._ending[which.number]
        if capture.written:
            del self._ending[which.number]
        return CaptureEnded(frames=capture.frames, dropped=capture.dropped, written=capture.written)

    def stop(self, _: Nothing) -> Nothing:
        self.service.stopping = True
        return Nothing()

    def flush(self) -> None:
        """What captures have pending; one whose reader has gone ends."""
        for number, capture in list(self._captures.items()):
            capture.flush()
            if capture.broken:
                self._end(self._captures.pop(number))

    def close(self) -> None:
        for capture in self._captures.values():
            self._end(capture)
        for capture in (*self._captures.values(), *self._ending.values()):
            capture.wait(CLOSING_S)

    def _end(self, capture: Observer) -> None:
        for place in capture.places:
            place.captures = tuple(other for other in place.captures if other is not capture)
        for lan in {place.lan for place in capture.places} & set(self.network.lans):
            self.network.settle(self.network.lan(lan))
        capture.end()

    def _targets(self, lan: str, member: str | None) -> list[Place]:
        places = [place for place in self.network.lan(lan).places if place.answers_to(member)]
        if not places:
            members = ", ".join(place.member.node for place in self.network.lan(lan).places)
            raise NotFound(f"'{member}' is not a member of '{lan}'", next=f"Its members: {members}")
        return places

    def _shape(self, place: Place, direction: Direction, shaping: Shaping) -> None:
        self.network.reshape(place, direction, shaping, self.service.advanced_ns())
        self._note([place])

    def _set_up(self, target: Target, up: bool) -> Nothing:
        self.service.advanced_ns()
        places = self._targets(target.lan, target.member)
        for place in places:
            place.uplink.up = place.downlink.up = up
        self._note(places)
        return Nothing()

    def _note(self, places: Iterable[Place]) -> None:
        self.service.deviations.note([
            Deviation(lan=place.lan, node=place.member.node, interface=place.member.interface, direction=direction,
                      shaping=place.pipe(direction).shaping, up=place.pipe(direction).up)
            for place in places for direction in DIRECTIONS])


def _shown(place: Place, direction: Direction) -> ShownPipe:
    pipe = place.pipe(direction)
    late = pipe.punctuality.save()
    held = [(size, packets) for _, _, size, packets in pipe.held()]
    counted = sum(late.histogram.values())
    lan, node, interface = place.name
    return ShownPipe(
        lan=lan, node=node, interface=interface, direction=direction, requested=place.requested(direction), shaping=pipe.shaping,
        up=pipe.up, attached=place.attached, tally=pipe.tally(),
        held_frames=sum(packets for _, packets in held), held_bytes=sum(size for size, _ in held),
        late_mean_ns=late.total_ns // counted if counted else None, late_p50_ns=_percentile(late, 0.5), late_p99_ns=_percentile(late, 0.99),
        late_worst_ns=late.worst_ns if counted else None,
        achieved_bps=late.paced_bytes * 8 * 10**9 // late.paced_ns if late.paced_ns >= MEASURABLE_NS else None,
        missed_frames=place.port.missed() if place.port and direction == "uplink" else 0,
        refused_frames=place.refused if direction == "downlink" else 0)


def _percentile(late: Punctuality, fraction: float) -> int | None:
    """The upper end of the histogram's step in which the fraction is reached."""
    rest = fraction * sum(late.histogram.values())
    for step in sorted(late.histogram):
        rest -= late.histogram[step]
        if rest <= 0:
            return (step + 1) * LATE_STEP_NS
    return None
