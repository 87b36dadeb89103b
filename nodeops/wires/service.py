"""The wires of one instance: its network, ports and clock, and the loop that drives them in real time."""

from __future__ import annotations

import contextlib
import gc
import os
import resource
import select
import signal
import socket
import time
from collections.abc import Callable

from models.errors import Conflict, InvalidInput, NotFound, SwapbedError
from models.protocol.wires import Reloaded
from models.spec import Lan, Spec
from nodeops.clock import ClockState, VirtualClock
from nodeops.layout import InstanceLayout
from nodeops.linux import set_timer_slack
from nodeops.wires.deviations import Deviations
from nodeops.wires.network import Network
from nodeops.wires.place import DIRECTIONS, Place, places_of
from nodeops.wires.port import TapPort

AGREED_AHEAD_LIMIT_NS = 5 * 10**9
SPARE_FILES = 256
NICE = -15  # an experiment's programs must not be what delays its frames
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
        _allow_files(sum(len(lan.members) for lan in self.spec.lans) + SPARE_FILES)
        self._epoll = select.epoll()
        self._interrupts = socket.socketpair()
        for end in self._interrupts:
            end.setblocking(False)
        self._epoll.register(self._interrupts[0].fileno(), select.EPOLLIN)
        self._by_fd: dict[int, Place] = {}
        self._control: dict[int, Callable[[int], None]] = {}
        self.network = Network(self.spec.lans, seed=layout.root.name)
        self.network.frozen = self.clock.state.frozen_ns is not None
        self.deviations = Deviations(layout.daemon("wires", "state"))
        self._deviate()
        for place in self.network.places():
            self._attach(place)
        self._settle()

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

    def run(self, filenos: Callable[[], set[int]], ready: Callable[[int], None], idle: Callable[[], None]) -> None:
        """Until `stopping`. filenos, ready: the control server's; idle: called before waiting."""
        _be_punctual()
        self._ready = ready
        signal.set_wakeup_fd(self._interrupts[1].fileno(), warn_on_full_buffer=False)
        while not self.stopping:
            self._watch_control(filenos())
            self._turn(idle)

    def suspend(self, monotonic_ns: int | None) -> int:
        """Deliver what is due up to that instant and nothing after it; returns its virtual time. Nodes' frames are kept from then on."""
        if not self.network.frozen:
            now_ns = time.monotonic_ns()
            instant = now_ns if monotonic_ns is None else monotonic_ns
            if not now_ns - AGREED_AHEAD_LIMIT_NS <= instant <= now_ns + AGREED_AHEAD_LIMIT_NS:
                raise InvalidInput("the agreed instant is more than 5 s away", where=str(self.layout.root))
            limit_ns = self.clock.at_ns(max(instant, now_ns))
            while not self.network.frozen:
                self._turn(None, limit_ns)
        return self.frozen_ns()

    def resume(self, monotonic_ns: int | None) -> int:
        """Let time go on from the frozen reading at that instant (which may be ahead); returns the clock's new origin."""
        self.clock.resume(monotonic_ns)
        self._origin_ns = self.clock.state.origin_ns
        self.network.frozen = False
        return self._origin_ns

    def reload(self) -> Reloaded:
        """Take over a changed spec: what did not change is not touched. Devices that were missing are looked for again."""
        spec = _read_spec(self.layout)
        old, new = ({lan.name: lan for lan in s.lans} for s in (self.spec, spec))
        now_ns = self.advanced_ns()
        removed, added = [name for name in old if name not in new], [name for name in new if name not in old]
        changed = [name for name in new if name in old and new[name] != old[name]]
        for name in removed:
            for place in self.network.lans.pop(name).places:
                self._detach(place)
        for name in added:
            self.network.add(name, new[name].kind, places_of(new[name], self.network.seed), now_ns)
        for name in changed:
            self._modify(old[name], new[name], now_ns)
        self.spec = spec
        for place in self.network.places():
            if not place.attached:
                self._attach(place)
        self._settle()
        return Reloaded(added=tuple(added), removed=tuple(removed), changed=tuple(changed))

    def close(self) -> None:
        """After a clean stop nothing is left to take up again."""
        for place in self.network.places():
            self._detach(place)
        self._epoll.close()
        self.deviations.forget()

    def _turn(self, idle: Callable[[], None] | None, limit_ns: int | None = None) -> None:
        """Wait for frames or the next one due, and carry them. limit_ns: the virtual instant at which the network freezes."""
        due = limit_ns if limit_ns is not None else None
        if not self.network.frozen and (following := self.network.next_ns()) is not None:
            due = following if due is None else min(due, following)
        events = self._wait(due, idle)
        for fd, _ in events:
            place = self._by_fd.get(fd)
            if place is None or place.port is None:
                if idle and fd in self._control:
                    self._ready(fd)
                elif fd == self._interrupts[0].fileno():
                    self._interrupts[0].recv(64)
                continue
            at = self._stamp_ns()
            if limit_ns is not None and at >= limit_ns:
                break
            self.network.receive(place, place.port.receive(at))
            if not self.network.frozen:
                self.network.advance(self._stamp_ns() if limit_ns is None else min(limit_ns, self._stamp_ns()))
        if self.network.frozen:
            return
        now_ns = self._stamp_ns()
        if limit_ns is not None and now_ns >= limit_ns:
            self.network.advance(limit_ns)
            self.clock.suspend(self.clock.monotonic_ns(limit_ns))
            self.network.frozen = True
        else:
            self.network.advance(now_ns)

    def _wait(self, due_ns: int | None, idle: Callable[[], None] | None) -> list[tuple[int, int]]:
        """epoll's timeout counts milliseconds, select's microseconds; so select waits, for the epoll fd."""
        if due_ns is None:
            if idle:
                idle()
            return self._epoll.poll(-1)
        rest_ns = due_ns - self._stamp_ns()
        if rest_ns > 0:
            if idle:
                idle()
            select.select((self._epoll,), (), (), rest_ns / 1e9)
        return self._epoll.poll(0)

    def _stamp_ns(self) -> int:
        """The virtual time of what a node does now: it goes on until the node itself is frozen."""
        if self._origin_ns is None:
            return self.clock.now_ns()
        return time.monotonic_ns() - self._origin_ns

    def _watch_control(self, filenos: set[int]) -> None:
        for fd in filenos - self._control.keys():
            self._epoll.register(fd, select.EPOLLIN)
            self._control[fd] = self._ready
        for fd in self._control.keys() - filenos:
            del self._control[fd]

    def _deviate(self) -> None:
        places = {place.name: place for place in self.network.places()}
        for deviation in self.deviations.all():
            place = places.get((deviation.lan, deviation.node, deviation.interface))
            if place:
                pipe = place.pipe(deviation.direction)
                pipe.change(0, deviation.shaping)
                pipe.up = deviation.up

    def _attach(self, place: Place) -> None:
        lan, node, interface = place.name
        try:
            port = TapPort(self.layout.node(node), interface, lambda: self._gone(place))
        except SwapbedError as error:
            self.report(f"{lan}, {node}, {interface}: {error}")
            return
        place.port = port
        self._by_fd[port.fd] = place
        self._epoll.register(port.fd, select.EPOLLIN)

    def _detach(self, place: Place) -> None:
        if place.port and place.port.attached:
            del self._by_fd[place.port.fd]
            self._epoll.unregister(place.port.fd)
            place.port.close()
        place.port = None

    def _gone(self, place: Place) -> None:
        self.report(f"{place.lan}: the interface '{place.member.interface}' of {place.member.node} has gone")
        if place.port:
            del self._by_fd[place.port.fd]
            with contextlib.suppress(OSError):
                self._epoll.unregister(place.port.fd)

    def _modify(self, old: Lan, new: Lan, now_ns: int) -> None:
        """Members that stay keep their pipes and what is in them; where the spec's shaping changed it is the new one."""
        before = {place.name: place for place in self.network.lans[old.name].places}
        places = places_of(new, self.network.seed)
        for index, place in enumerate(places):
            stays = before.pop(place.name, None)
            if stays is None:
                continue
            for direction in DIRECTIONS:
                if stays.requested(direction) != place.requested(direction):
                    stays.pipe(direction).change(now_ns, place.requested(direction))
            stays.take(place.member)
            places[index] = stays
        for place in before.values():
            self._detach(place)
        self.network.add(new.name, new.kind, places, now_ns)

    def _settle(self) -> None:
        for lan in self.network.lans.values():
            lan.refeed(self.now_ns())
            self.network.settle(lan)


def _read_spec(layout: InstanceLayout) -> Spec:
    try:
        return Spec.model_validate_json(layout.spec.read_text())
    except FileNotFoundError as error:
        raise NotFound("there is no instance here", where=str(layout.root)) from error


def _allow_files(needed: int) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < needed:
        resource.setrlimit(resource.RLIMIT_NOFILE, (needed, max(hard, needed)))


def _be_punctual() -> None:
    set_timer_slack(1)
    os.setpriority(os.PRIO_PROCESS, 0, NICE)
    gc.collect()
    gc.freeze()
    gc.set_threshold(GARBAGE_THRESHOLD, 20, 100)
