"""The conductor in real time: one loop around the machine, with its memory, its ledgers, the inits and the wires."""

from __future__ import annotations

import os
import select
import time
from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from models.protocol.conductor import ActivityLine, OutboxLine, Outcome
from models.protocol.init import Petition
from nodeops import daemons
from nodeops.clock import ClockState, VirtualClock
from nodeops.conductor.happenings import (
    Accepted,
    ChangeLan,
    Done,
    Noted,
    Order,
    Output,
    Settled,
    Tick,
    Told,
    WiresBack,
    WiresDied,
    WriteStatus,
)
from nodeops.conductor.ledger import Ledger
from nodeops.conductor.memory import Memory
from nodeops.conductor.network import Network
from nodeops.conductor.node_link import NodeLink
from nodeops.conductor.nodes import Nodes
from nodeops.conductor.spawning import Speaker
from nodeops.conductor.wires_link import WiresLink
from nodeops.instance import read_record, read_spec
from nodeops.layout import InstanceLayout
from nodeops.wires.filter import compile_filter

LONGEST_WAIT_S = 1.0
WIRES_RETRY_S = 0.05
WIRES_LOOK_S = 0.5  # how often to see whether they live
PRIORITY = -10  # setpriority(2)


class Service:
    """`tell` it what happens; `run` it. petition: set by whoever answers processes in nodes. stopping: leave the loop.

    settled: token → whom to call when that event is over. checks: called after every round of the loop, for whoever waits.
    """

    def __init__(self, layout: InstanceLayout):
        self.layout = layout
        self.clock = VirtualClock(ClockState.model_validate_json(layout.clock.read_bytes()))
        self.spec = read_spec(layout)
        self.memory = Memory(layout.root, self.spec)
        self.events = Ledger(layout.events, ActivityLine)
        self.outbox = Ledger(layout.outbox, OutboxLine)
        self.stopping = False
        self.petition: Callable[[str, Petition], None] = lambda node, asked: None
        self.settled: dict[int, list[Callable[[Outcome], None]]] = {}
        self.checks: list[Callable[[], None]] = []
        self.deadline_s: Callable[[], float | None] = lambda: None
        self._queue: deque[tuple[type[Told], dict[str, Any]]] = deque()
        self._working = False
        self._wires_next_s = self._wires_look_s = 0.0
        self.nodes = Nodes(layout, self._names(), self.memory, Speaker(self.spec, layout.root.name), tell=self.tell,
                           petition=lambda node, asked: self.petition(node, asked), clock=self.clock.now_ns)
        self.nodes.held = self.suspended
        self.wires = WiresLink(layout.daemon("wires", "sock"))
        self.network = Network(self.wires, layout.root / "traces", self.spec, self.memory.kept.captures,
                               self._wires_done, lambda: self.memory.save(running=True), compile_filter)
        self._epoll = select.epoll()
        self._others: set[int] = set()
        self._links: dict[int, NodeLink] = {}

    @property
    def suspended(self) -> bool:
        return self.clock.state.frozen_ns is not None

    def begin(self) -> None:
        """Take up what a predecessor left: what it had decided is written down and done, as far as it is not yet."""
        for output in self.memory.replayed:
            if not isinstance(output, Order):
                self._act(output)
        if self.memory.was_interrupted:
            self.memory.kept.restarts += 1
            dropped: dict[str, int | str] = {"dropped": self.memory.poison} if self.memory.poison else {}
            self.tell(Noted, about="restarted", detail={"restarts": self.memory.kept.restarts, **dropped})
        for order in list(self.memory.machine.state.outstanding.values()):
            self._order(order)
        self.memory.save(running=True)

    def tell(self, kind: type[Told], **fields: Any) -> list[Output]:
        """Note it, feed it to the machine, carry out what follows, and what follows from that. Returns all outputs, or none if this was
        told while another happening was worked on."""
        self._queue.append((kind, fields))
        if self._working:
            return []
        self._working = True
        told: list[Output] = []
        try:
            while self._queue:
                kind, fields = self._queue.popleft()
                happening = kind(now_ns=self.clock.now_ns(), wall=datetime.now(UTC), **fields)
                self.memory.note(happening)  # type: ignore[arg-type]  # every kind of Told is one of Happening
                outputs = self.memory.machine.feed(happening)  # type: ignore[arg-type]
                told += outputs
                for output in outputs:
                    self._act(output)
        finally:
            self._working = False
        return told

    def run(self, filenos: Callable[[], set[int]], ready: Callable[[int], None]) -> None:
        """Until `stopping`. filenos, ready: the control server's."""
        while not self.stopping:
            others = {*filenos(), self.wires.fileno()} - {-1}
            if self.nodes.changed or self.nodes.unsent or self.wires.wants_to_write or others != self._others:
                self._watch(others)
            for fd in self._wait():
                self._others.discard(fd)  # it may be closed and its number given to another before the next round
                if (link := self._links.get(fd)) is not None:
                    link.ready()
                elif fd == self.wires.fileno():
                    self.wires.ready()
                else:
                    ready(fd)
            self.round()

    def round(self) -> None:
        """Everything that is due, and what follows from it, out to disk and to the inits."""
        due_ns = self.memory.machine.next_due_ns()
        if due_ns is not None and due_ns <= self.clock.now_ns():
            self.tell(Tick)
        self.nodes.maintain()
        self._look_at_wires()
        self._tend_wires()
        for check in list(self.checks):
            check()
        self.events.flush()
        self.outbox.flush()
        for link in list(self.nodes.unsent):
            link.flush()
        self.wires.flush()
        self.memory.save_if_due()

    def reload(self) -> None:
        """Takes over spec.json as it is now."""
        self.spec = read_spec(self.layout)
        self.memory.machine.take(self.spec)
        self.network.take(self.spec)
        self.nodes.take(self._names(), Speaker(self.spec, self.layout.root.name))
        self.memory.save(running=True)

    def close(self) -> None:
        self.nodes.let_go()
        self.wires.close()
        self.memory.save(running=False)
        self.memory.close()
        self.events.close()
        self.outbox.close()
        self._epoll.close()

    def _names(self) -> list[str]:
        record = read_record(self.layout)
        return [node.name for node in self.spec.nodes if record is None or node.name in record.nodes]

    def _act(self, output: Output) -> None:
        if isinstance(output, ActivityLine):
            self.events.append(output)
        elif isinstance(output, OutboxLine):
            self.outbox.append(output)
        elif isinstance(output, WriteStatus):
            self.nodes.write_status(output)
        elif isinstance(output, Settled):
            for then in self.settled.pop(output.token, ()):
                then(output.outcome)
        elif not isinstance(output, Accepted):
            self._order(output)

    def _order(self, order: Order) -> None:
        if isinstance(order, ChangeLan):
            run = self.memory.machine.state.run
            if run is not None:
                self.network.run, self.network.zero_ns = run.number, run.began_ns if run.zero_ns is None else run.zero_ns
            self.network.order(order)
        else:
            self.nodes.order(order)

    def _wires_done(self, order: int, outcome: Outcome) -> None:
        self.tell(Done, order=order, outcome=outcome)

    def _look_at_wires(self) -> None:
        """Wires that were started again capture again what those that died did."""
        if self.suspended or time.monotonic() < self._wires_look_s:
            return
        self._wires_look_s = time.monotonic() + WIRES_LOOK_S
        identity, dead = daemons.identity_of(self.layout, "wires"), self.memory.machine.state.wires_dead
        if identity is None or identity.alive() is not dead:
            return
        if dead:
            self.tell(WiresBack)
            captures = list(self.network.captures)
            self.network.captures.clear()
            self.network.capture_again(captures)
        else:
            self.tell(WiresDied, reason="their process ended")

    def _tend_wires(self) -> None:
        if self.wires.fileno() < 0 and self.wires.wanted and time.monotonic() >= self._wires_next_s:
            self._wires_next_s = time.monotonic() + WIRES_RETRY_S
            if not self.wires.connect():
                self.wires.expire()

    def _watch(self, others: set[int]) -> None:
        """Make epoll watch what is open now. What was closed is not in it any more by itself (epoll(7))."""
        self._others, self.nodes.changed = others, bool(self.nodes.unsent)
        self._links = {link.fileno(): link for link in self.nodes.links.values() if link.fileno() >= 0}
        writers = {link.fileno() for link in self.nodes.unsent} | ({self.wires.fileno()} if self.wires.wants_to_write else set())
        for fd in others | self._links.keys():
            events = select.EPOLLIN | (select.EPOLLOUT if fd in writers else 0)
            try:
                self._epoll.modify(fd, events)
            except FileNotFoundError:
                self._epoll.register(fd, events)

    def _wait(self) -> list[int]:
        """What is readable, at the latest when something is due. epoll_wait(2) counts milliseconds, select(2) microseconds."""
        select.select([self._epoll], [], [], self._patience_s())
        return [fd for fd, events in self._epoll.poll(0) if events & ~select.EPOLLOUT]

    def _patience_s(self) -> float:
        limits = [LONGEST_WAIT_S]
        due_ns = self.memory.machine.next_due_ns()
        if due_ns is not None and not self.suspended:
            limits.append((self.clock.monotonic_ns(due_ns) - time.monotonic_ns()) / 1e9)
        if (next_s := self.nodes.next_s()) is not None:
            limits.append(next_s)
        if self.wires.fileno() < 0 and self.wires.wanted:
            limits.append(WIRES_RETRY_S)
        if (deadline_s := self.deadline_s()) is not None:
            limits.append(deadline_s)
        return max(0.0, min(limits))


def sharpen_timers() -> None:
    """A timer may be late by this much to save power (prctl(2), PR_SET_TIMERSLACK): 50 µs unless told otherwise. And whatever the
    experiment's programs do to the CPUs, the conductor, which needs little, is on time."""
    Path("/proc/self/timerslack_ns").write_text("1")
    os.setpriority(os.PRIO_PROCESS, 0, PRIORITY)
