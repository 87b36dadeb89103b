"""The wires of one instance: its network, ports and clock, and the loop that drives them in real time."""

from __future__ import annotations

import gc
import os
import resource
import select
import signal
import socket
import time
from collections.abc import Callable

from models.errors import Conflict, InvalidInput, NotFound
from models.protocol.wires import Reloaded
from models.spec import Spec
from nodeops.clock import ClockState, VirtualClock
from nodeops.control import ControlServer
from nodeops.layout import InstanceLayout
from nodeops.linux import set_timer_slack
from nodeops.wires.attachments import Attachments
from nodeops.wires.deviations import Deviations
from nodeops.wires.network import Network
from nodeops.wires.reload import take_over

AGREED_AHEAD_LIMIT_NS = 5 * 10**9
SPARE_FILES = 256
REALTIME_PRIORITY = 1  # an experiment's programs must not be what delays its frames; the kernel keeps 5 % of each CPU for the others
GARBAGE_THRESHOLD = 50_000  # frames held are tuples, never cycles: looking through them often would cost their punctuality


class Service:
    """Reads spec and clock of an instance, attaches to its TAPs, and carries frames until `stopping`.

    A device that is not there is reported (`detached` in hello), and looked for again by `reload`.
    """

    def __init__(self, layout: InstanceLayout, report: Callable[[str], None]):
        self.layout, self.report = layout, report
        self.stopping = False
        self.spec = _read_spec(layout)
        self.clock = VirtualClock(ClockState.model_validate_json(layout.clock.read_text()))
        self._origin_ns = self.clock.state.origin_ns if self.clock.state.frozen_ns is None else None
        self._epoll = select.epoll()
        self._interrupts = socket.socketpair()
        for end in self._interrupts:
            end.setblocking(False)
        self._epoll.register(self._interrupts[0].fileno(), select.EPOLLIN)
        self.attachments = Attachments(layout, self._epoll, report)
        self._control: set[int] = set()
        self.network = Network(self.spec.lans, seed=layout.root.name)
        self.network.frozen = self.clock.state.frozen_ns is not None
        self.deviations = Deviations(layout.daemon("wires", "state"))
        self._deviate()
        self._attach_all()

    def now_ns(self) -> int:
        """Virtual time now; while frozen, the frozen reading."""
        return self.clock.now_ns()

    def frozen_ns(self) -> int:
        """Raises Conflict while time goes on."""
        if self.clock.state.frozen_ns is None:
            raise Conflict("the network is running", where=str(self.layout.root), next="Suspend it first")
        return self.clock.state.frozen_ns

    def advanced_ns(self) -> int:
        """Virtual time now, with everything done that was due before: what changes now starts with the next frame."""
        now_ns = self.now_ns()
        if not self.network.frozen:
            self.network.advance(now_ns)
        return now_ns

    def run(self, server: ControlServer, idle: Callable[[], None]) -> None:
        """Until `stopping`. idle: called before waiting."""
        _be_punctual(self.report)
        self._watch_control(server)
        signal.set_wakeup_fd(self._interrupts[1].fileno(), warn_on_full_buffer=False)
        while not self.stopping:
            for fd in self._turn(idle):
                server.ready(fd)
                self._watch_control(server)

    def suspend(self, monotonic_ns: int | None) -> int:
        """Deliver what is due up to that instant and nothing after it; returns its virtual time. Nodes' frames are kept from then on."""
        if not self.network.frozen:
            now_ns = time.monotonic_ns()
            instant = now_ns if monotonic_ns is None else monotonic_ns
            if not now_ns - AGREED_AHEAD_LIMIT_NS <= instant <= now_ns + AGREED_AHEAD_LIMIT_NS:
                raise InvalidInput("the agreed instant is more than 5 s away", where=str(self.layout.root))
            limit_ns = self.clock.at_ns(max(instant, now_ns))
            while not self.network.frozen:
                self._turn(_nothing, limit_ns)
        return self.frozen_ns()

    def resume(self, monotonic_ns: int | None) -> int:
        """Let time go on from the frozen reading at that instant (which may be ahead); returns the clock's new origin."""
        self.clock.resume(monotonic_ns)
        self._origin_ns = self.clock.state.origin_ns
        self.network.frozen = False
        return self._origin_ns

    def reload(self) -> Reloaded:
        """Take over a changed spec. Devices that were missing are looked for again."""
        spec = _read_spec(self.layout)
        reloaded = take_over(self.network, self.spec, spec, self.advanced_ns(), self.attachments.detach)
        self.spec = spec
        self._attach_all()
        return reloaded

    def close(self) -> None:
        """After a clean stop nothing is left to take up again."""
        self.attachments.close(self.network.places())
        self._epoll.close()
        self.deviations.forget()

    def _turn(self, idle: Callable[[], None], limit_ns: int | None = None) -> list[int]:
        """Wait for frames or the next one due, and carry them; returns the control fds that want to be served.

        limit_ns: the virtual instant at which the network freezes.
        """
        due = limit_ns if limit_ns is not None else None
        if not self.network.frozen and (following := self.network.next_ns()) is not None:
            due = following if due is None else min(due, following)
        events = self._wait(due, idle)
        asking: list[int] = []
        for fd, event in events:
            place = self.attachments.place(fd)
            if place is None or place.port is None:
                if fd in self._control:
                    asking.append(fd)
                elif not self.attachments.ended(fd) and fd == self._interrupts[0].fileno():
                    self._interrupts[0].recv(64)
                continue
            if event & select.EPOLLOUT:
                place.port.writable()
            at = self._stamp_ns()
            if limit_ns is not None and at >= limit_ns:
                break
            self.network.receive(place, place.port.receive(at))
            if not self.network.frozen:
                self.network.advance(self._stamp_ns() if limit_ns is None else min(limit_ns, self._stamp_ns()))
        if self.network.frozen:
            return asking
        now_ns = self._stamp_ns()
        if limit_ns is not None and now_ns >= limit_ns:
            self.network.advance(limit_ns)
            self.clock.suspend(self.clock.monotonic_ns(limit_ns))
            self.network.frozen = True
        else:
            self.network.advance(now_ns)
        return asking

    def _wait(self, due_ns: int | None, idle: Callable[[], None]) -> list[tuple[int, int]]:
        """epoll's timeout counts milliseconds, select's microseconds; so select waits, for the epoll fd."""
        if due_ns is None:
            idle()
            return self._epoll.poll(-1)
        rest_ns = due_ns - self._stamp_ns()
        if rest_ns > 0:
            idle()
            select.select((self._epoll,), (), (), rest_ns / 1e9)
        return self._epoll.poll(0)

    def _stamp_ns(self) -> int:
        """The virtual time of what a node does now: it goes on until the node itself is frozen."""
        if self._origin_ns is None:
            return self.clock.now_ns()
        return time.monotonic_ns() - self._origin_ns

    def _watch_control(self, server: ControlServer) -> None:
        """To be called after each `ready`: a number that a closed connection had may be the next one's at once."""
        filenos = server.filenos()
        for fd in filenos - self._control:
            self._epoll.register(fd, select.EPOLLIN)
        self._control = filenos

    def _deviate(self) -> None:
        places = {place.name: place for place in self.network.places()}
        for deviation in self.deviations.all():
            place = places.get((deviation.lan, deviation.node, deviation.interface))
            if place:
                pipe = place.pipe(deviation.direction)
                pipe.change(0, deviation.shaping)
                pipe.up = deviation.up

    def _attach_all(self) -> None:
        kinds = {node.name: node.kind for node in self.spec.nodes}
        _allow_files(2 * sum(len(lan.members) for lan in self.spec.lans) + SPARE_FILES)
        for place in self.network.places():
            if not place.attached:
                self.attachments.attach(place, kinds[place.member.node])
        for lan in self.network.lans.values():
            lan.refeed(self.now_ns())
            self.network.settle(lan)


def _nothing() -> None:
    """What there is to do before waiting while an agreed instant is awaited."""


def _read_spec(layout: InstanceLayout) -> Spec:
    try:
        return Spec.model_validate_json(layout.spec.read_text())
    except FileNotFoundError as error:
        raise NotFound("there is no instance here", where=str(layout.root)) from error


def _allow_files(needed: int) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < needed:
        resource.setrlimit(resource.RLIMIT_NOFILE, (needed, max(hard, needed)))


def _be_punctual(report: Callable[[str], None]) -> None:
    """With programs that compute on all CPUs the 99th percentile of lateness was 4 ms at nice -15, and is 0.2 ms so."""
    set_timer_slack(1)
    try:
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(REALTIME_PRIORITY))
    except PermissionError:
        report("no right to real-time priority: frames will be late when the machine is busy")
    gc.collect()
    gc.freeze()
    gc.set_threshold(GARBAGE_THRESHOLD, 20, 100)
