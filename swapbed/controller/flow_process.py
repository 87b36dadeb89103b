"""A flow in a process of its own, forked from one that has everything imported: it begins in milliseconds, not after Prefect's second.

The process talks to the command that launched it directly, over the connection the controller accepted, and outlives both.
"""

from __future__ import annotations

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
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
from typing import Any
from uuid import UUID

from flows import FLOWS, load
from models.errors import SwapbedError
from models.protocol.control import Progress, Reply, Request
from models.protocol.launch import CANCEL
from tasks.progress import listening

CANCELLING_PERIOD_S = 2.0
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


def warm_up() -> None:
    """Start importing, in a process that will do nothing else."""
    CONTEXT.set_forkserver_preload([*FLOWS.values(), *ENGINES])
    multiprocessing.forkserver.ensure_running()


def start(flow: str, ids: Mapping[str, str], client: socket.socket | None = None, request_id: int = 0) -> FlowProcess:
    """client: who is told progress and result; None: nobody (the flow's state in Prefect and in our tables tells)."""
    process = CONTEXT.Process(target=_run, args=(flow, dict(ids), client, request_id), name=f"swapbed {flow}")
    process.start()
    return FlowProcess(flow, ids, process, time.monotonic())


def _run(flow: str, ids: dict[str, str], client: socket.socket | None, request_id: int) -> None:
    """The process. Its exit code is 0, that of the SwapbedError it ended with, or 1."""
    gc.freeze()  # a collection of all that was imported would copy every page of it
    os.setsid()
    signal.signal(signal.SIGINT, signal.default_int_handler)
    told = Told(client, request_id) if client is not None else None
    try:
        _expect_agents(flow, ids)
        if told is None:
            _call(flow, ids)
            return
        threading.Thread(target=told.listen, daemon=True).start()
        with listening(told.progress):
            result = _call(flow, ids)
        told.send(Reply(id=request_id, result={"result": result}))
    except SwapbedError as error:
        print(f"{flow} {ids}: {error}", file=sys.stderr)
        if told is not None:
            told.send(Reply(id=request_id, error=error.as_json()))
        raise SystemExit(error.exit_code) from None
    except BaseException as error:
        traceback.print_exc()
        if told is not None:
            unexpected = SwapbedError(f"'{flow}' ended unexpectedly: {type(error).__name__}: {error}", where=" ".join(ids.values()),
                                      next="The controller's log has the details; the controller cleans up what was left")
            told.send(Reply(id=request_id, error=unexpected.as_json()))
        raise SystemExit(1) from error


def _expect_agents(flow: str, ids: Mapping[str, str]) -> None:
    from tasks.places import likely_hosts
    from tasks.sessions import expect

    load(flow)  # one that there is not is what to tell first
    for host in likely_hosts(ids, to_be_placed=flow in PLACING):
        expect(host)


def _call(flow: str, ids: dict[str, str]) -> dict:
    from prefect import tags
    from prefect.exceptions import CancelledRun
    from prefect.settings import get_current_settings

    from swapbed.controller import warmth
    from tasks.work import labels

    run = load(flow).with_options(on_running=[_heed_cancelling], persist_result=False)
    settings = get_current_settings()
    run.result_storage = settings.results.local_storage_path  # where errors go anyway; left open, a flow asks the server three times
    settings.flows.heartbeat_frequency = None  # a sync flow would wait up to a second for its thread; leases do its work here
    with tags("swapbed", *labels(ids)), warmth.CLIENT:
        try:
            return run(**ids) or {}
        except CancelledRun:
            raise SwapbedError(f"'{flow}' was cancelled", where=" ".join(ids.values()), next="What it had begun is undone") from None


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
    """The client's connection. It may break at any moment, and that is no concern of the flow's."""

    def __init__(self, client: socket.socket, request_id: int):
        self.client, self.request_id = client, request_id
        self._lock = threading.Lock()

    def send(self, message: Progress | Reply) -> None:
        try:
            with self._lock:
                self.client.sendall(message.model_dump_json().encode() + b"\n")
        except OSError:
            return

    def progress(self, progress: Progress) -> None:
        self.send(progress.model_copy(update={"id": self.request_id}))

    def listen(self) -> None:
        for line in self.client.makefile("rb"):
            if Request.model_validate_json(line).operation == CANCEL:
                interrupt()
