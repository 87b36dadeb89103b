"""The client's side of init's protocol without any I/O: bytes in, answers and events out. Blocking and asyncio clients share it."""

from __future__ import annotations

import errno
import secrets
from dataclasses import dataclass

from models.errors import Denied, HostProblem, InvalidInput, NotFound, SwapbedError
from models.protocol.init import HEADER, LIMIT_BYTES, Event, decode, encode, read_event

Items = list[tuple[str, str]]
KINDS: dict[int, type[SwapbedError]] = {errno.ENOENT: NotFound, errno.ENOTDIR: NotFound, errno.EACCES: Denied, errno.EPERM: Denied,
                                        errno.ENOSPC: HostProblem, errno.EDQUOT: HostProblem, errno.EMFILE: HostProblem}


@dataclass(frozen=True)
class Answer:
    """To one request. items as `models.protocol.init.decode` gives them; data if there was any."""

    request: int
    items: dict[str, list[str]]
    data: bytes | None

    def get(self, key: str, otherwise: str = "") -> str:
        return self.items.get(key, [otherwise])[0]

    def error(self, where: str) -> SwapbedError | None:
        """What init objected to, or None."""
        if "error" not in self.items:
            return None
        kind = KINDS.get(int(self.get("errno", "0")), InvalidInput)
        return kind(self.get("error"), where=f"{where}:{self.get('path')}" if "path" in self.items else where)


class Conversation:
    """Numbers requests and cuts what arrives into messages. Raises ValueError when the other side is not an init of ours."""

    def __init__(self) -> None:
        self._last_request = secrets.randbits(40)  # what a VM's port still has for a predecessor is no answer to us
        self._pending = bytearray()

    def request(self, operation: str, items: Items | None = None, data: bytes | None = None) -> tuple[int, bytes]:
        """The number its answer will carry, and what to send."""
        self._last_request += 1
        for key, value in items or ():
            if "\0" in value:
                raise InvalidInput(f"'{key}' contains a NUL character")
        message = encode([("op", operation), ("request", str(self._last_request)), *(items or ())], data)
        if len(message) - HEADER.size > LIMIT_BYTES:
            raise InvalidInput(f"'{operation}' is {len(message)} bytes long; the limit is {LIMIT_BYTES}")
        return self._last_request, message

    def feed(self, received: bytes) -> list[Answer | Event]:
        """What is complete now, in order."""
        self._pending += received
        messages: list[Answer | Event] = []
        while len(self._pending) >= HEADER.size:
            length = HEADER.unpack_from(self._pending)[0]
            if length > LIMIT_BYTES + 1024:
                raise ValueError(f"a message of {length} bytes")
            if len(self._pending) < HEADER.size + length:
                break
            items, data = decode(bytes(self._pending[HEADER.size:HEADER.size + length]))
            del self._pending[:HEADER.size + length]
            messages.append(Answer(int(items["answer"][0] or 0), items, data) if "answer" in items else read_event(items, data))
        return messages
