"""Standing still and going on: what a swap asks of the conductor."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

from models.errors import Conflict, Corrupt
from models.protocol.checkpoint import Came
from models.protocol.conductor import ActivityLine, OutboxLine, Suspended
from nodeops.conductor.happenings import Noted, Tick
from nodeops.conductor.ledger import Ledger
from nodeops.conductor.memory import Remembered
from nodeops.conductor.service import Service
from nodeops.conductor.waiting import Waiting
from nodeops.control import Deferred

STATE, EVENTS, OUTBOX = "conductor.json", "events.jsonl", "outbox.jsonl"


class Suspension:
    def __init__(self, service: Service, waiting: Waiting):
        self.service, self.waiting = service, waiting
        self._came: Came | None = None

    def suspend(self, monotonic_ns: int | None) -> Suspended | Deferred:
        """What is due up to that instant is still fired; its orders are given after `resume` if there is no time for them any more."""
        if self.service.suspended:
            return Suspended(virtual_ns=self.service.clock.now_ns())
        instant_ns = time.monotonic_ns() if monotonic_ns is None else monotonic_ns
        self.service.clock.end_at(instant_ns)
        delay_s = (instant_ns - time.monotonic_ns()) / 1e9
        return self.waiting.until(lambda: time.monotonic_ns() >= instant_ns, lambda: self._stand_still(instant_ns), delay_s,
                                  on_timeout=lambda: self._stand_still(instant_ns))

    def resume(self, monotonic_ns: int | None) -> None:
        """Time goes on from that instant, which may be a little ahead; inits are connected again from now on."""
        service = self.service
        if not service.suspended:
            return
        service.clock.resume(monotonic_ns)
        service.nodes.held = False
        service.nodes.retry_now(list(service.nodes.links))
        service.tell(Noted, about="resumed", detail=self._came.model_dump(exclude_none=True) if self._came else {})
        self._came = None

    def save(self, path: str) -> None:
        """Into an existing directory."""
        service, directory = self.service, Path(path)
        self._must_stand_still()
        service.memory.kept.state = service.memory.machine.state
        (directory / STATE).write_text(service.memory.kept.model_dump_json())
        for ledger, name in ((service.events, EVENTS), (service.outbox, OUTBOX)):
            ledger.flush()
            shutil.copyfile(ledger.path, directory / name)

    def restore(self, path: str, next_message: int | None, came: Came | None) -> None:
        """Go on from what was saved, on this host's clock as it stands."""
        service, directory = self.service, Path(path)
        self._must_stand_still()
        try:
            saved = Remembered.model_validate_json((directory / STATE).read_bytes())
        except ValueError as error:
            raise Corrupt(f"the conductor's saved state cannot be read: {error}", where=str(directory / STATE)) from error
        heard = service.outbox.count
        service.events = _replaced(service.events, directory / EVENTS, ActivityLine)
        if next_message == 0:
            service.outbox = _replaced(service.outbox, None, OutboxLine)
        elif heard < saved.state.next_message:
            service.outbox = _replaced(service.outbox, directory / OUTBOX, OutboxLine)
        self._fill_outbox(max(next_message or 0, service.outbox.count))
        saved.state.next_message = service.outbox.count
        self._came = came
        captures = list(saved.captures)
        service.memory.replace(saved, service.spec)
        service.network.capture_again(captures)

    def _fill_outbox(self, count: int) -> None:
        """Numbers that were used in a life this one knows nothing of must not be used again."""
        outbox, service = self.service.outbox, self.service
        while outbox.count < count:
            happened = service.memory.machine.stage
            outbox.append(OutboxLine(number=outbox.count, kind="void", virtual_ns=service.clock.now_ns(), at=happened.wall))

    def _stand_still(self, instant_ns: int) -> Suspended:
        service = self.service
        frozen_ns = service.clock.suspend(instant_ns)
        service.tell(Tick)
        service.tell(Noted, about="suspended")
        service.nodes.let_go()
        service.memory.save(running=True)
        return Suspended(virtual_ns=frozen_ns)

    def _must_stand_still(self) -> None:
        if not self.service.suspended:
            raise Conflict("the conductor has to stand still for this", next="Suspend it first")


def _replaced(ledger: Ledger, content: Path | None, kind: type) -> Ledger:
    """The same file with other content."""
    ledger.close()
    beside = ledger.path.with_suffix(".new")
    if content is None:
        beside.write_bytes(b"")
    else:
        shutil.copyfile(content, beside)
    beside.rename(ledger.path)
    return Ledger(ledger.path, kind)
