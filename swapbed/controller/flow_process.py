"""A flow in a process of its own, forked from one that has everything imported: it begins in milliseconds, not after Prefect's second.

The process talks to the command that launched it directly, over the connection the controller accepted, and outlives both.
"""

from __future__ import annotations

import ctypes
import gc
import multiprocessing
import multiprocessing.forkserver
import os
import signal
import socket
import sys
import threading
import time
import traceback
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any
from uuid import UUID

from flows import FLOWS, load
from models.errors import SwapbedError
from models.protocol.control import Progress, Reply, Request
from models.protocol.launch import CANCEL
from tasks.progress import listening

CANCELLING_PERIOD_S = 2.0
NICE_WHEN_ANSWERED = 10
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # mallopt(3)
KEPT_BYTES, BIGGEST_KEPT_BYTES = 64 << 20, 32 << 20
PLACING = ("instantiate", "swapin", "fork")  # flows of instances that are on no host yet
CONTEXT = multiprocessing.get_context("forkserver")
# Prefect imports its engines at the first run of a flow.
ENGINES = ("prefect.flow_engine", "prefect.task_engine", "prefect.engine", "prefect.telemetry.run_telemetry", "prefect.concurrency.context",
           "prefect.utilities.visualization", "anyio._backends._asyncio", "fastapi", "swapbed.controller.flow_process",
           "swapbed.controller.warmth")


@dataclass(frozen=True)
class FlowProcess:
    flow: str
    ids: Mapping[str, str]
    process: BaseProcess
    begun_s: float  # time.monotonic()
    answered: Connection

    def outcome(self) -> int | None:
        """0 once what it was begun for is done, though it may have more to do; else its exit code, if it has ended."""
        if self.answered.poll():
            try:
                self.answered.recv_bytes()
                return 0
            except EOFError:
                pass
        return self.process.exitcode


def warm_up() -> None:
    """Start importing, in a process that will do nothing else."""
    CONTEXT.set_forkserver_preload([*FLOWS.values(), *ENGINES])
    multiprocessing.forkserver.ensure_running()


def start(flow: str, ids: Mapping[str, str], client: socket.socket | None = None, request_id: int = 0) -> FlowProcess:
    """client: who is told progress and result; None: nobody (the flow's state in Prefect and in our tables tells)."""
    answered, telling = CONTEXT.Pipe(duplex=False)
    process = CONTEXT.Process(target=_run, args=(flow, dict(ids), client, request_id, telling), name=f"swapbed {flow}")
    process.start()
    telling.close()
    return FlowProcess(flow, ids, process, time.monotonic(), answered)


def _run(flow: str, ids: dict[str, str], client: socket.socket | None, request_id: int, telling: Connection) -> None:
    """The process. Its exit code is 0, that of the SwapbedError it ended with, or 1."""
    gc.freeze()  # a collection of all that was imported would copy every page of it
    _keep_memory()
    os.setsid()
    signal.signal(signal.SIGINT, signal.default_int_handler)
    told = Told(client, request_id, telling)
    try:
        _expect_agents(flow, ids)
        told.begin()
        with listening(told.progress, told.answer):
            result = _call(flow, ids)
        told.answer(result)
    except SwapbedError as error:
        print(f"{flow} {ids}: {error}", file=sys.stderr)
        told.refuse(error)
        raise SystemExit(error.exit_code) from None
    except BaseException as error:
        traceback.print_exc()
        told.refuse(SwapbedError(f"'{flow}' ended unexpectedly: {type(error).__name__}: {error}", where=" ".join(ids.values()),
                                 next="The controller's log has the details; the controller cleans up what was left"))
        raise SystemExit(1) from error


def _keep_memory() -> None:
    """What is freed is for us to use again. As a rule the kernel gets big buffers back at once, and filling the pages of a new one with
    zeros takes three times as long as reading a cached file into it."""
    libc = ctypes.CDLL(None)
    libc.mallopt(M_TRIM_THRESHOLD, KEPT_BYTES)
    libc.mallopt(M_MMAP_THRESHOLD, BIGGEST_KEPT_BYTES)


def _expect_agents(flow: str, ids: Mapping[str, str]) -> None:
    from tasks.places import likely_hosts
    from tasks.sessions import expect

    load(flow)  # one that there is not is what to tell first
    for host in likely_hosts(ids, to_be_placed=flow in PLACING):
        expect(host)


def _call(flow: str, ids: dict[str, str]) -> dict:
    from prefect import tags
    from prefect._internal.concurrency.threads import get_global_loop
    from prefect.exceptions import CancelledRun
    from prefect.settings import get_current_settings

    from swapbed.controller import warmth
    from tasks.work import labels

    run = load(flow).with_options(on_running=[_heed_cancelling], persist_result=False)
    settings = get_current_settings()
    run.result_storage = settings.results.local_storage_path  # where errors go anyway; left open, a flow asks the server three times
    settings.flows.heartbeat_frequency = None  # a sync flow would wait up to a second for its thread; leases do its work here
    if settings.api.url:  # else there would be a server of its own
        get_global_loop()  # before two threads ask for it, each of which would make one
        threading.Thread(target=_begin_telling_events, daemon=True).start()
    with tags("swapbed", *labels(ids)), warmth.CLIENT:
        try:
            return run(**ids) or {}
        except CancelledRun:
            raise SwapbedError(f"'{flow}' was cancelled", where=" ".join(ids.values()), next="What it had begun is undone") from None


def _begin_telling_events() -> None:
    """The first task would wait for it, while the server is being told of the flow."""
    from prefect.events.worker import EventsWorker

    with suppress(Exception):  # whoever tells the first event begins it anew, and says what is wrong
        EventsWorker.instance()


def _heed_cancelling(flow: Any, run: Any, state: Any) -> None:
    """A hook of every run: who cancels it in Prefect's pages sets its state, and nobody but we can tell the process."""
    threading.Thread(target=_watch_for_cancelling, args=(run.id,), daemon=True).start()


def _watch_for_cancelling(run_id: UUID) -> None:
    from prefect.client.orchestration import get_client

    time.sleep(CANCELLING_PERIOD_S)  # most flows are over by then, and a client takes a while to make
    with get_client(sync_client=True) as client:
        while True:
            state = client.read_flow_run(run_id).state
            if state is not None and state.is_final():
                return
            if state is not None and state.is_cancelling():
                interrupt()
                return
            time.sleep(CANCELLING_PERIOD_S)


def interrupt() -> None:
    """KeyboardInterrupt in the flow."""
    signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)


class Told:
    """Who launched the flow: the controller, and a client if there is one, whose connection may break at any moment; that is no concern of
    the flow's."""

    def __init__(self, client: socket.socket | None, request_id: int, controller: Connection):
        self.client, self.request_id, self.controller = client, request_id, controller
        self._lock = threading.Lock()
        self._answered = False

    def begin(self) -> None:
        if self.client is not None:
            threading.Thread(target=self._listen, args=(self.client,), daemon=True).start()

    def progress(self, progress: Progress) -> None:
        self._send(progress.model_copy(update={"id": self.request_id}))

    def answer(self, result: dict[str, Any]) -> None:
        """The first one counts. Whatever this process does after it gives way to what people wait for."""
        if not self._answered:
            self._answered = True
            self._send(Reply(id=self.request_id, result={"result": result}))
            with suppress(OSError):  # the controller has died
                self.controller.send_bytes(b"answered")
            os.nice(NICE_WHEN_ANSWERED)

    def refuse(self, error: SwapbedError) -> None:
        if not self._answered:
            self._send(Reply(id=self.request_id, error=error.as_json()))

    def _send(self, message: Progress | Reply) -> None:
        if self.client is not None:
            with suppress(OSError), self._lock:
                self.client.sendall(message.model_dump_json().encode() + b"\n")

    def _listen(self, client: socket.socket) -> None:
        for line in client.makefile("rb"):
            if Request.model_validate_json(line).operation == CANCEL:
                interrupt()
