"""The controller: `python -m swapbed.controller`, one resident process above the hosts.

It forks flows for commands (`flow_process`), turns what instances put into their outboxes into flow runs (`outbox`), commits runs'
records (`committing`), finishes what dead flows left (`recovery`), and has started again what died unnoticed (`watching`).
All it knows is in the database, so that it may be killed at any moment and started again. Of several on one database, one
has the lease and does all but the first.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import sys
import time
import traceback
from multiprocessing.connection import wait
from multiprocessing.util import get_temp_dir
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from models.errors import InvalidInput, SwapbedError
from models.leases import Lease, acquire, release, renew
from models.protocol.control import Reply, Request
from models.protocol.launch import Launch
from models.states import Subject
from nodeops.control import short_path
from swapbed.controller import flow_process
from swapbed.controller.committing import records_to_finalize, sweep_spools
from swapbed.controller.flow_process import FlowProcess
from swapbed.controller.outbox import Outbox
from swapbed.controller.recovery import left_by_the_dead
from swapbed.controller.remedy import Remedy
from swapbed.controller.watching import without_conductor
from swapbed.serving import server
from tasks.holder import is_dead, own_name

PERIOD_S = 0.1
LEASE_LIFE_S = 20.0
RENEW_EVERY_S = 5.0
GIVE_WAY_S = 2.0
LINE_LIMIT_BYTES = 1 << 16


class Controller:
    """Everything happens in `step()`, which takes at most about PERIOD_S when there is nothing to do."""

    def __init__(self, path: Path):
        self.path = path
        self.flows: list[FlowProcess] = []
        self.listening = _listen(path)
        self.outbox = Outbox(self.start)
        self.remedies = (Remedy("recover", "instance_id", left_by_the_dead, period_s=1.0, at_once=16),
                         Remedy("finalize_record", "record_id", records_to_finalize, period_s=0.2, at_once=4),
                         Remedy("mend", "instance_id", without_conductor, period_s=2.0, at_once=16))
        self.swept = False
        self.lease: Lease | None = None
        self.lease_due_s = 0.0
        self.stopping = False

    def start(self, flow: str, **ids: str) -> FlowProcess:
        """In a process of its own, telling nobody; it is `alive` until that has ended."""
        return self._begin(flow, ids)

    def step(self) -> None:
        sentinels: list[Any] = [flow.process.sentinel for flow in self.flows]
        ready = wait([self.listening, *sentinels], PERIOD_S)
        if self.listening in ready:
            self._serve()
        self.flows = [flow for flow in self.flows if flow.process.is_alive()]
        if self._leads():
            self._sweep()
            self.outbox.step()
            for remedy in self.remedies:
                if remedy.flow != "finalize_record" or not self._a_run_begins():
                    remedy.step(self.start)

    def _a_run_begins(self) -> bool:
        """Somebody waits for that, and it and a record's commit would take the processors from each other."""
        return any(flow.flow == "start_run" and time.monotonic() - flow.begun_s < GIVE_WAY_S for flow in self.flows)

    def _sweep(self) -> None:
        """Once, when this controller has become the one of its database."""
        if not self.swept:
            self.swept = True
            sweep_spools()

    def close(self) -> None:
        """Flows that run go on by themselves."""
        self.listening.close()
        self.path.unlink(missing_ok=True)
        if self.lease is not None:
            release(self.lease)

    def _begin(self, flow: str, ids: dict[str, str], client: socket.socket | None = None, request_id: int = 0) -> FlowProcess:
        begun = flow_process.start(flow, ids, client, request_id)
        self.flows.append(begun)
        return begun

    def _serve(self) -> None:
        client, _ = self.listening.accept()
        with client:
            client.settimeout(2)
            request_id = 0
            try:
                request = Request.model_validate_json(client.makefile("rb").readline(LINE_LIMIT_BYTES))
                request_id = request.id
                asked = Launch.model_validate(request.arguments)
                client.settimeout(None)
                self._begin(asked.flow, asked.ids, client, request_id)
            except (ValidationError, OSError) as error:
                refused = InvalidInput(f"the controller does not understand: {str(error).splitlines()[0]}")
                client.sendall(Reply(id=request_id, error=refused.as_json()).model_dump_json().encode() + b"\n")

    def _leads(self) -> bool:
        """Whether this controller is the one of its database. Asked for every few seconds only."""
        if time.monotonic() < self.lease_due_s:
            return self.lease is not None
        self.lease_due_s = time.monotonic() + RENEW_EVERY_S
        if self.lease is None or not renew(self.lease, LEASE_LIFE_S):
            try:
                self.lease = acquire(Subject.CONTROLLER, "main", holder=own_name(), purpose="control", time_to_live_s=LEASE_LIFE_S,
                                     is_dead=is_dead)
            except SwapbedError:
                self.lease = None
        return self.lease is not None

    def asked_to_stop(self, *_: object) -> None:
        self.stopping = True


def _listen(path: Path) -> socket.socket:
    """The path appears when it answers, for it is what starters wait for."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    beside = path.with_name(path.name + ".new")
    beside.unlink(missing_ok=True)
    listening = socket.socket(socket.AF_UNIX)
    directory, name = short_path(beside)
    try:
        listening.bind(name)
    finally:
        os.close(directory)
    beside.chmod(0o600)
    listening.listen(64)
    beside.rename(path)
    return listening


def main() -> None:
    """Until SIGTERM. An error in one step is written to the log, and the next step tries again."""
    flow_process.warm_up()
    controller = Controller(server.controller_socket())
    signal.signal(signal.SIGTERM, controller.asked_to_stop)
    while not controller.stopping:
        try:
            controller.step()
        except Exception:
            traceback.print_exc(file=sys.stderr)
            time.sleep(1)
    controller.close()
    shutil.rmtree(get_temp_dir(), ignore_errors=True)
    os._exit(0)  # multiprocessing would wait for the flows, which go on by themselves
