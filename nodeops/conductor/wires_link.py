"""The conductor's connection to the wires, without a thread.

Wires that died are started again by others; until they answer, what was asked waits, PATIENCE_S at most.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from models.errors import SwapbedError
from models.protocol.conductor import UNDELIVERED, Outcome
from models.protocol.control import Reply, Request
from nodeops.control import LINE_LIMIT_BYTES, short_path

PATIENCE_S = 5.0
Then = Callable[[dict[str, Any], Outcome], None]  # the operation's result, or how it failed


class WiresLink:
    """What is asked must be idempotent: if the wires die before they have answered, it is asked again."""

    def __init__(self, path: Path):
        self.path = path
        self._socket: socket.socket | None = None
        self._in, self._out = bytearray(), bytearray()
        self._next_id = 0
        self._asked: dict[int, tuple[bytes, Then, float]] = {}

    def fileno(self) -> int:
        return self._socket.fileno() if self._socket is not None else -1

    @property
    def wants_to_write(self) -> bool:
        return bool(self._out)

    @property
    def wanted(self) -> bool:
        """Something waits for an answer."""
        return bool(self._asked)

    def ask(self, operation: str, takes: BaseModel, then: Then) -> None:
        self._next_id += 1
        request = Request(id=self._next_id, operation=operation, arguments=takes.model_dump(mode="json", exclude_defaults=True))
        line = request.model_dump_json().encode() + b"\n"
        self._asked[self._next_id] = (line, then, time.monotonic())
        if self._socket is not None:
            self._out += line

    def connect(self) -> bool:
        stream = socket.socket(socket.AF_UNIX)
        stream.setblocking(False)
        try:
            directory, name = short_path(self.path)
            try:
                stream.connect(name)
            finally:
                os.close(directory)
        except OSError:
            stream.close()
            return False
        self._socket, self._in = stream, bytearray()
        self._out = bytearray().join(line for line, _, _ in self._asked.values())
        return True

    def expire(self) -> None:
        """Give up what has waited too long for wires that are not there."""
        for number, (_, then, since) in list(self._asked.items()):
            if self._socket is None and time.monotonic() - since > PATIENCE_S:
                del self._asked[number]
                then({}, Outcome(code=UNDELIVERED, error="the wires do not run"))

    def flush(self) -> None:
        try:
            while self._out and self._socket is not None:
                del self._out[:self._socket.send(self._out)]
        except BlockingIOError:
            return
        except OSError:
            self.close()

    def ready(self) -> None:
        """Reads what has come."""
        assert self._socket is not None
        try:
            received = self._socket.recv(1 << 18)
        except BlockingIOError:
            return
        except OSError:
            received = b""
        self._in += received
        if not received or len(self._in) > LINE_LIMIT_BYTES:
            self.close()
            return
        while (end := self._in.find(b"\n")) >= 0:
            reply = Reply.model_validate_json(bytes(self._in[:end]))
            del self._in[:end + 1]
            if reply.id in self._asked:
                _, then, _ = self._asked.pop(reply.id)
                error = SwapbedError.from_json(reply.error) if reply.error is not None else None
                then(reply.result or {}, Outcome(code=UNDELIVERED, error=str(error)) if error else Outcome())

    def close(self) -> None:
        """What was asked stays asked."""
        if self._socket is not None:
            self._socket.close()
        self._socket, self._in, self._out = None, bytearray(), bytearray()
