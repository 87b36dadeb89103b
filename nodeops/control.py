"""Control sockets: unix stream sockets that carry `models.protocol.control` messages, one JSON object a line.

`ControlClient` blocks; `ControlServer` is driven by its owner's event loop (register its `fileno()`, call `ready()`), so
that the wires can serve it between frames without threads. Paths may be longer than a sockaddr's 108 bytes (unix(7)):
both ends reach the socket through /proc/self/fd of its directory.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, TypeAdapter, ValidationError

from models.errors import InvalidInput, NotFound, SwapbedError, TimedOut
from models.protocol.control import Operation, Progress, Reply, Request

Result = TypeVar("Result", bound=BaseModel)
ANSWER: TypeAdapter[Reply | Progress] = TypeAdapter(Reply | Progress)
BACKLOG = 64
SEND_S = 5.0
LINE_LIMIT_BYTES = 64 << 20


def short_path(path: Path) -> tuple[int, str]:
    """A directory fd, to be closed by the caller, and a path through it that fits a sockaddr."""
    directory = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    return directory, f"/proc/self/fd/{directory}/{path.name}"


def result_in(lines: Iterable[bytes], progress: Callable[[Progress], None] | None = None) -> dict[str, Any] | None:
    """What answers one request: its progress told, its error raised, its result returned. None: nobody answers any more."""
    for line in lines:
        answer = ANSWER.validate_json(line)
        if isinstance(answer, Progress):
            if progress:
                progress(answer)
        elif answer.error is not None:
            raise SwapbedError.from_json(answer.error)
        else:
            return answer.result or {}
    return None


class ControlClient:
    """A blocking connection to one service.

    Raises NotFound if nothing listens there, TimedOut if no reply comes in timeout_s, and whatever SwapbedError the service answers.
    """

    def __init__(self, path: Path, operations: Mapping[str, Operation], *, timeout_s: float = 30):
        self.path, self.operations, self.timeout_s = path, operations, timeout_s
        self._next_id = 0
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(timeout_s)
        try:
            directory, name = short_path(path)
            try:
                self._socket.connect(name)
            finally:
                os.close(directory)
        except OSError as error:
            self._socket.close()
            raise NotFound(f"nothing answers here ({error.strerror})", where=str(path),
                           next="Is the instance up? `swapbed doctor` tells") from error
        self._lines = self._socket.makefile("rb")

    def call(self, operation: str, arguments: BaseModel, gives: type[Result],
             progress: Callable[[Progress], None] | None = None) -> Result:
        """Send one request and wait for its reply. gives: the model the reply is read as."""
        return gives.model_validate(self.call_raw(operation, arguments.model_dump(mode="json", exclude_defaults=True), progress))

    def call_raw(self, operation: str, arguments: dict[str, Any], progress: Callable[[Progress], None] | None = None) -> dict[str, Any]:
        """The same without models, for whoever only passes requests on."""
        self._next_id += 1
        request = Request(id=self._next_id, operation=operation, arguments=arguments)
        try:
            self._socket.sendall(request.model_dump_json().encode() + b"\n")
            if (result := result_in(iter(lambda: self._lines.readline(LINE_LIMIT_BYTES), b""), progress)) is not None:
                return result
        except TimeoutError as error:
            raise TimedOut(f"no answer to '{operation}' within {self.timeout_s:g} s", where=str(self.path)) from error
        except (BrokenPipeError, ConnectionResetError) as error:
            raise NotFound(f"the connection broke during '{operation}'", where=str(self.path)) from error
        raise NotFound(f"the service went away during '{operation}'", where=str(self.path))

    def close(self) -> None:
        self._lines.close()
        self._socket.close()

    def __enter__(self) -> ControlClient:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Deferred:
    """What a handler returns when its reply comes later, from whatever makes the owner's loop go round: `resolve` it once, or `fail` it."""

    def __init__(self) -> None:
        self.done = False
        self._request_id = 0
        self._send: Callable[[bytes], None] | None = None
        self._early: bytes | None = None

    def resolve(self, result: BaseModel) -> None:
        self._reply(Reply(id=self._request_id, result=result.model_dump(mode="json")))

    def fail(self, error: SwapbedError) -> None:
        self._reply(Reply(id=self._request_id, error=error.as_json()))

    def bind(self, request_id: int, send: Callable[[bytes], None]) -> None:
        """Where the reply goes; the server's part."""
        if self._early is not None:
            send(Reply.model_validate_json(self._early).model_copy(update={"id": request_id}).model_dump_json().encode() + b"\n")
        self._request_id, self._send = request_id, send

    def _reply(self, reply: Reply) -> None:
        if self.done:
            return
        self.done = True
        if self._send is None:
            self._early = reply.model_dump_json().encode()
        else:
            self._send(reply.model_dump_json().encode() + b"\n")


Handler = Callable[[str, BaseModel], BaseModel | Deferred]


def answer(line: bytes, operations: Mapping[str, Operation], handler: Handler, send: Callable[[bytes], None]) -> None:
    """Decode one request line, let the handler do it, send its reply line, now or later. Never raises for what the caller sent."""
    request_id = 0
    try:
        request = Request.model_validate_json(line)
        request_id = request.id
        if request.operation not in operations:
            raise InvalidInput(f"unknown operation '{request.operation}'", next=f"Known: {', '.join(sorted(operations))}")
        arguments = operations[request.operation].takes.model_validate(request.arguments)
        result = handler(request.operation, arguments)
        if isinstance(result, Deferred):
            result.bind(request_id, send)
            return
        reply = Reply(id=request_id, result=result.model_dump(mode="json"))
    except ValidationError as error:
        reply = Reply(id=request_id, error=InvalidInput(f"malformed request: {error.errors()[0]['msg']}").as_json())
    except SwapbedError as error:
        reply = Reply(id=request_id, error=error.as_json())
    send(reply.model_dump_json().encode() + b"\n")


class ControlServer:
    """The listening side, non-blocking. `filenos()` are to be polled for reading; `ready(fd)` serves what has arrived.

    A client that does not read its replies is dropped rather than waited for.
    """

    def __init__(self, path: Path, operations: Mapping[str, Operation], handler: Handler):
        self.path, self.operations, self.handler = path, operations, handler
        self._clients: dict[int, tuple[socket.socket, bytearray]] = {}
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.setblocking(False)
        path.unlink(missing_ok=True)
        directory, name = short_path(path)
        try:
            self._socket.bind(name)
        finally:
            os.close(directory)
        path.chmod(0o600)
        self._socket.listen(BACKLOG)

    def filenos(self) -> set[int]:
        return {self._socket.fileno(), *self._clients}

    def ready(self, fd: int) -> None:
        if fd == self._socket.fileno():
            client, _ = self._socket.accept()
            client.setblocking(False)
            self._clients[client.fileno()] = (client, bytearray())
        elif fd in self._clients:
            self._serve(fd)

    def _serve(self, fd: int) -> None:
        client, pending = self._clients[fd]
        try:
            received = client.recv(1 << 20)
            pending += received
            while (end := pending.find(b"\n")) >= 0:
                line = bytes(pending[:end])
                del pending[:end + 1]
                answer(line, self.operations, self.handler, partial(_send, client))
        except BlockingIOError:
            return
        except OSError:
            received = b""
        if not received or len(pending) > LINE_LIMIT_BYTES:
            client.close()
            del self._clients[fd]

    def close(self) -> None:
        """Whoever still waits for a deferred reply learns that the service went away."""
        for client, _ in self._clients.values():
            client.close()
        self._clients.clear()
        self._socket.close()
        self.path.unlink(missing_ok=True)


def _send(client: socket.socket, line: bytes) -> None:
    """To a client that may have gone meanwhile: then `ready` finds that out."""
    try:
        client.settimeout(SEND_S)
        client.sendall(line)
        client.setblocking(False)
    except OSError:
        with suppress(OSError):
            client.shutdown(socket.SHUT_RDWR)
