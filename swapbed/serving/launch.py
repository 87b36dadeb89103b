"""Having a flow run by the controller, and seeing it through."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from typing import BinaryIO

from pydantic import ValidationError

from models.errors import Busy, InvalidInput, NotFound, SwapbedError
from models.protocol.control import Progress, Request
from models.protocol.launch import CANCEL, Launch, Launched
from nodeops.control import result_in, short_path
from swapbed.serving import server

Listener = Callable[[Progress], None]
Value = str | int | float | bool | None
LAUNCH, INTERRUPTION = 1, 2
PATIENCE_S, BUSY_POLL_S = 60.0, 0.2


def launch(flow: str, progress: Listener | None = None, **ids: str) -> dict[str, Value]:
    """Run it to its end; returns what it returns, raises what it raises. Starts server and controller if they do not run.

    While somebody else works on the same thing it waits, at most PATIENCE_S, and says so.

    Interrupted (KeyboardInterrupt), it asks the flow to stop, waits until that has left a consistent state, and raises again;
    interrupted once more, it leaves the flow to itself, as it does when this process is killed.
    """
    try:
        request = Launch(flow=flow, ids=ids)
    except ValidationError as error:
        raise InvalidInput(f"'{error.errors()[0]['input']}' is not an id", where=flow) from error
    server.ensure()
    deadline = time.monotonic() + PATIENCE_S
    while True:
        try:
            return _launched(request, progress)
        except Busy as error:  # the controller heeds what an instance said at its run's end, or commits a record
            if progress:
                progress(Progress(id=LAUNCH, text=f"waiting: {error.what.partition(' pid ')[0]} works on it"))
            if time.monotonic() > deadline:
                raise
            time.sleep(BUSY_POLL_S)


def _launched(request: Launch, progress: Listener | None) -> dict[str, Value]:
    with _connect() as controller, controller.makefile("rb") as answers:
        controller.sendall(_line(Request(id=LAUNCH, operation="launch", arguments=request.model_dump())))
        try:
            return _follow(answers, progress, request)
        except KeyboardInterrupt:
            controller.sendall(_line(Request(id=INTERRUPTION, operation=CANCEL)))
            if progress:
                progress(Progress(id=LAUNCH, text="interrupted: undoing what was begun"))
            with suppress(SwapbedError):  # the user asked for the interruption, and is told of that
                _follow(answers, progress, request)
            raise


def _connect() -> socket.socket:
    controller = socket.socket(socket.AF_UNIX)
    path = server.controller_socket()
    directory, name = short_path(path)
    try:
        controller.connect(name)
    except OSError as error:
        controller.close()
        raise NotFound(f"the controller does not answer ({error.strerror})", where=str(path),
                       next="`swapbed down`, and try again") from error
    finally:
        os.close(directory)
    return controller


def _line(request: Request) -> bytes:
    return request.model_dump_json().encode() + b"\n"


def _follow(answers: BinaryIO, progress: Listener | None, request: Launch) -> dict[str, Value]:
    if (result := result_in(answers, progress)) is not None:
        return Launched.model_validate(result).result
    raise SwapbedError(f"the process of '{request.flow}' died", where=" ".join(request.ids.values()),
                       next="The controller brings what it left into a consistent state; see `swapbed status`")
