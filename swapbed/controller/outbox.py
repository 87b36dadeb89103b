"""Turning what instances put into their outboxes into flow runs: each message once, in order, whenever the controller dies.

A message is stored before anything follows from it, and its number is the position read up to. What follows is decided in one
transaction with the message's state; the flow is idempotent and works under a lease, so that starting it again after a crash
ends in the same state. Messages of one instance wait for each other; a flow that finds somebody else at work is tried again.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

from sqlmodel import col, func, select

from models.database import reading, writing
from models.errors import Conflict, NotFound, SwapbedError
from models.protocol import host as protocol
from models.protocol.conductor import Complete, OutboxLine, Outcome
from models.protocol.control import Nothing
from models.settings import settings
from models.states import MessageState
from models.tables import Host, Instance, OutboxMessage
from models.tables.columns import now
from nodeops.layout import InstanceLayout
from swapbed.controller.flow_process import FlowProcess
from swapbed.controller.messages import DECIDED_AGAIN, NOTHING, consequence
from tasks.daemons import ask_conductor
from tasks.sessions import HostReference, session_with

LIVING_PERIOD_S = 0.5  # how soon a new instance is noticed
REMOTE_PERIOD_S = 0.3
LOST_PERIOD_S = 10.0  # how soon a host that could not be asked is asked again
ASKED_AT_ONCE = 16  # instances on other hosts
RETRY_S = 0.5
Key = tuple[str, str]  # instance, host


class Outbox:
    """start: begins a flow in a process of its own."""

    def __init__(self, start: Callable[..., FlowProcess]):
        self.start = start
        self.followed: dict[Key, HostReference] = {}
        self.living_due_s = 0.0
        self.seen: dict[Key, int] = {}  # size of a local outbox
        self.ask_again_s: dict[Key, float] = {}
        self.next: dict[Key, int] = {}
        self.asked: dict[Key, Future[list[OutboxLine]]] = {}  # of other hosts, which may take their time: nobody waits for them
        self.asking = ThreadPoolExecutor(ASKED_AT_ONCE, "outbox")
        self.open: set[str] = set()  # instances with messages that are not handled
        self.running: dict[str, FlowProcess] = {}
        self.pause_until_s: dict[str, float] = {}

    def step(self) -> None:
        if time.monotonic() >= self.living_due_s:
            self.living_due_s = time.monotonic() + LIVING_PERIOD_S
            self._look_for_instances()
        for key, host in self.followed.items():
            self._hear(key, host)
        for instance in list(self.open):
            self._advance(instance)

    def _look_for_instances(self) -> None:
        query = (select(Instance.id, Host).join(Host, col(Instance.home_id) == Host.id).where(col(Instance.ended_at).is_(None)))
        with reading() as session:
            self.followed = {(instance, host.id): HostReference.of(host) for instance, host in session.exec(query)}
            self.open |= set(session.exec(select(OutboxMessage.instance_id).where(col(OutboxMessage.handled_at).is_(None))))
        for gone in set(self.next) - set(self.followed):
            for known in (self.next, self.seen, self.asked, self.ask_again_s):
                known.pop(gone, None)

    def _hear(self, key: Key, host: HostReference) -> None:
        """Store what is new. A local outbox is looked at by its size; another host is asked, less often."""
        instance, _ = key
        if host.address is None:
            present = _size(InstanceLayout(settings().instances_dir / instance).outbox)
            if present in (0, self.seen.get(key)):
                return
            self.seen[key] = present
            lines = _lines(instance, host, self._next(key))
        else:
            lines = self._answered(key, host)
        if lines:
            _store(key, lines)
            self.next[key] = lines[-1].number + 1
            self.open.add(instance)

    def _next(self, key: Key) -> int:
        if key not in self.next:
            self.next[key] = _stored(key[0])
        return self.next[key]

    def _answered(self, key: Key, host: HostReference) -> list[OutboxLine]:
        """By another host, if it has answered by now; then, after a while, it is asked again."""
        asked = self.asked.get(key)
        if asked is None:
            if time.monotonic() >= self.ask_again_s.get(key, 0.0):
                self.asked[key] = self.asking.submit(_lines, key[0], host, self._next(key))
            return []
        if not asked.done():
            return []
        del self.asked[key]
        self.ask_again_s[key] = time.monotonic() + REMOTE_PERIOD_S
        try:
            return asked.result()
        except NotFound:  # it is not there yet, or not any more
            return []
        except SwapbedError as error:
            print(f"outbox of {key[0]} on {host.name}: {error}", flush=True)
            self.ask_again_s[key] = time.monotonic() + LOST_PERIOD_S
            return []

    def _advance(self, instance: str) -> None:
        """Take the oldest message that is not handled one step further."""
        if time.monotonic() < self.pause_until_s.get(instance, 0):
            return
        running = self.running.get(instance)
        code = None if running is None else running.outcome()
        if running is not None and code is None:
            return
        message = _oldest(instance)
        if message is None:
            self.open.discard(instance)
            return
        if message.state is MessageState.HEARD:
            self._decide(message)
        elif code is None:  # started by a controller that died since
            self._run(message)
        else:
            self._conclude(message, code)

    def _decide(self, message: OutboxMessage) -> None:
        try:
            with writing() as session:
                row = session.get_one(OutboxMessage, (message.instance_id, message.host_id, message.number))
                follows = consequence(session, row)
                if follows is None:
                    row.state, row.reason, row.handled_at = MessageState.FAILED, f"this Swapbed cannot do '{row.kind}'", now()
                elif follows == NOTHING:
                    row.state, row.handled_at = MessageState.HANDLED, now()
                else:
                    row.state, row.flow, row.ids = MessageState.STARTED, follows.flow, follows.ids
        except Conflict:  # the run before is not over yet
            self.pause_until_s[message.instance_id] = time.monotonic() + RETRY_S
            return
        except SwapbedError as error:
            _fail(message, str(error))
            follows = None
        if follows is None:
            _refuse(message)
        elif follows.flow is not None:
            self._run(row)

    def _run(self, message: OutboxMessage) -> None:
        assert message.flow
        self.running[message.instance_id] = self.start(message.flow, **message.ids)

    def _conclude(self, message: OutboxMessage, code: int) -> None:
        del self.running[message.instance_id]
        if code == Conflict.exit_code:
            self.pause_until_s[message.instance_id] = time.monotonic() + RETRY_S
            if message.kind in DECIDED_AGAIN:
                with writing() as session:
                    session.get_one(OutboxMessage, (message.instance_id, message.host_id, message.number)).state = MessageState.HEARD
        elif code == 0:
            with writing() as session:
                row = session.get_one(OutboxMessage, (message.instance_id, message.host_id, message.number))
                row.state, row.handled_at = MessageState.HANDLED, now()
        else:
            _fail(message, f"the flow '{message.flow}' ended with exit code {code}; the controller's log says why")


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def _stored(instance: str) -> int:
    """The number after the last one that is stored: an instance that comes to another host brings its outbox, and its numbers, along."""
    with reading() as session:
        last = session.exec(select(func.max(OutboxMessage.number)).where(OutboxMessage.instance_id == instance)).one()
    return 0 if last is None else last + 1


def _lines(instance: str, host: HostReference, since: int) -> list[OutboxLine]:
    if host.address is None:
        whole = InstanceLayout(settings().instances_dir / instance).outbox.read_bytes().split(b"\n")[:-1]
        return [OutboxLine.model_validate(json.loads(line)) for line in whole[since:]]
    with session_with(host) as session:
        found = session.do("outbox", protocol.Outbox(instance=instance, since=since), protocol.OutboxLines)
    return [OutboxLine.model_validate(line) for line in found.lines]


def _store(key: Key, lines: list[OutboxLine]) -> None:
    instance, host = key
    with writing() as session:
        session.add_all(OutboxMessage(instance_id=instance, host_id=host, number=line.number, kind=line.kind, content=line.content,
                                      run=line.run)
                        for line in lines)


def _oldest(instance: str) -> OutboxMessage | None:
    waiting = select(OutboxMessage).where(OutboxMessage.instance_id == instance, col(OutboxMessage.handled_at).is_(None))
    with reading() as session:
        return session.exec(waiting.order_by(col(OutboxMessage.number))).first()


def _fail(message: OutboxMessage, reason: str) -> None:
    with writing() as session:
        row = session.get_one(OutboxMessage, (message.instance_id, message.host_id, message.number))
        row.state, row.reason, row.handled_at = MessageState.FAILED, reason, now()


def _refuse(message: OutboxMessage) -> None:
    """Somebody in the instance may be waiting for what cannot be done: tell the conductor, if it can still be told."""
    token: Any = message.content.get("token")
    if token is None:
        return
    outcome = Outcome(code=1, error=message.reason or f"'{message.kind}' cannot be done")
    try:
        ask_conductor(message.instance_id, "complete", Complete(token=token, outcome=outcome), Nothing)
    except SwapbedError as error:
        print(f"outbox of {message.instance_id}: {error}", flush=True)
