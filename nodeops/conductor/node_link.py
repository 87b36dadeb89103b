"""The conductor's connection to one node's init, without a thread: bytes in, happenings out; orders in, bytes out."""

from __future__ import annotations

import errno
import os
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from models.protocol.conductor import UNDELIVERED, Outcome
from models.protocol.init import Exit, FromInit, Gone, Hello, Petition, Quiesced, Started, read_hello
from nodeops.conductor.happenings import ChangeNode, Done, ProgramExited, ProgramGone, ProgramStarted
from nodeops.conductor.spawning import tool_name
from nodeops.control import short_path
from nodeops.init.conversation import Answer, Conversation, Items

RECEIVE_BYTES = 1 << 18
GREETING_S = 5.0  # a VM may have been reset while it was asked, which its port does not show
TOOL = tool_name(0).removesuffix("0")
Tell = Callable[..., object]  # tell(kind of happening, **fields)


class NodeLink:
    """tell: feeds the machine. petition: is given what processes in the node ask. greeted: is called when init has answered `attach`;
    orders follow in their order, so nobody else gives any before it has returned and the link is `attached`.

    unsent: it adds itself to that while it has something to `flush`. broken is set when the connection ended; then `close` it.
    """

    def __init__(self, node: str, *, tell: Tell, petition: Callable[[str, Petition], None], greeted: Callable[[NodeLink, Hello], None],
                 clock: Callable[[], int], unsent: set[NodeLink]):
        self.node = node
        self.attached = self.broken = False
        self.greeted_by_s = 0.0
        self.ahead_ns = 0  # how much virtual time is ahead of the node's CLOCK_MONOTONIC
        self._tell, self._petition, self._greeted, self._clock, self._unsent = tell, petition, greeted, clock, unsent
        self._socket: socket.socket | None = None
        self._conversation = Conversation()
        self._out = bytearray()
        self._asked: dict[int, Callable[[Answer], None]] = {}

    def connect(self, path: Path) -> bool:
        """False: nobody takes the connection at present."""
        stream = socket.socket(socket.AF_UNIX)
        stream.setblocking(False)
        directory, name = short_path(path)
        try:
            stream.connect(name)
        except OSError:
            stream.close()
            return False
        finally:
            os.close(directory)
        self._socket, self.greeted_by_s = stream, time.monotonic() + GREETING_S
        self.ask("attach", [], self._attached)
        return True

    def fileno(self) -> int:
        return self._socket.fileno() if self._socket is not None else -1

    @property
    def awaits_greeting(self) -> bool:
        return self._socket is not None and not self.attached

    def overdue(self, now_s: float) -> bool:
        return self.awaits_greeting and now_s > self.greeted_by_s

    @property
    def wants_to_write(self) -> bool:
        return bool(self._out)

    def ask(self, operation: str, items: Items, then: Callable[[Answer], None] | None = None, data: bytes | None = None) -> None:
        number, message = self._conversation.request(operation, items, data)
        if then is not None:
            self._asked[number] = then
        self._out += message
        self._unsent.add(self)

    def order(self, number: int, operation: str, items: Items, data: bytes | None) -> None:
        """A numbered command; its answer becomes a Done. What is not there to be signalled needs no signal any more."""
        def done(answer: Answer) -> None:
            error = answer.get("error")
            if not error and ("invocation", tool_name(number)) in items and "skipped" not in answer.items:
                return  # it is done when that program has ended
            if error and not (operation in ("signal", "input") and error == "no such invocation"):
                self._tell(Done, order=number, outcome=Outcome(code=UNDELIVERED, error=f"{self.node}: {error}"))
            else:
                self._tell(Done, order=number)

        self.ask(operation, [("sequence", str(number)), *items], done, data)

    def change(self, order: ChangeNode) -> None:
        """Neither is answered: the connection breaks, and what comes after it completes the order."""
        self.ask("reboot" if order.verb == "reboot" else "halt", [])

    def flush(self) -> None:
        try:
            while self._out and self._socket is not None and not self.broken:
                del self._out[:self._socket.send(self._out)]
        except BlockingIOError:
            return
        except OSError:
            self.broken = True
        self._unsent.discard(self)

    def ready(self) -> None:
        """Reads what has come."""
        assert self._socket is not None
        try:
            received = self._socket.recv(RECEIVE_BYTES)
        except BlockingIOError:
            return
        except OSError as error:
            if error.errno == errno.EINTR:
                return
            received = b""
        if not received:
            self.broken = True
            return
        try:
            messages = self._conversation.feed(received)
        except (ValueError, KeyError):
            self.broken = True
            return
        for message in messages:
            self._take(message)

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()
        self._socket = None
        self.attached = False
        self._unsent.discard(self)

    def virtual_ns(self, node_ns: int) -> int:
        """A reading of the node's own clock, as virtual time."""
        return node_ns + self.ahead_ns

    def _attached(self, answer: Answer) -> None:
        if "error" in answer.items:
            self.broken = True
            return
        hello = read_hello(answer.items)
        self.ahead_ns = self._clock() - hello.monotonic_ns
        self._greeted(self, hello)
        self.attached = True

    def _take(self, message: Answer | FromInit) -> None:
        if isinstance(message, Answer):
            if (then := self._asked.pop(message.request, None)) is not None:
                then(message)
        elif isinstance(message, Exit | Gone | Started) and message.invocation.startswith(TOOL):
            self._tool(message)
        elif isinstance(message, Started):
            self._tell(ProgramStarted, invocation=message.invocation, pid=message.pid, start_ns=self.virtual_ns(message.start_ns))
        elif isinstance(message, Exit):
            self._exited(message)
        elif isinstance(message, Gone):
            self._tell(ProgramGone, **self._usage(message), end_ns=self.virtual_ns(message.at_ns))
        elif isinstance(message, Petition):
            self._petition(self.node, message)
        elif isinstance(message, Quiesced):
            self.broken = True  # a VM's end of its port stays

    def _exited(self, exit: Exit) -> None:
        """Init may forget it only once it has been noted."""
        start_ns = self.virtual_ns(exit.start_ns) if exit.start_ns else self._clock()
        self._tell(ProgramExited, **self._usage(exit), start_ns=start_ns, end_ns=self.virtual_ns(exit.end_ns), code=exit.code,
                   signal=exit.signal, error=exit.error)
        self.ask("acknowledge", [("invocation", exit.invocation)])

    def _tool(self, message: Exit | Gone | Started) -> None:
        """A program of Swapbed's own: its end completes an order."""
        if isinstance(message, Exit):
            code = 0 if message.error is None and message.code == 0 else UNDELIVERED
            error = f"{self.node}: {message.error or f'exit code {message.code}'}" if code else None
            self._tell(Done, order=int(message.invocation.removeprefix(TOOL)), outcome=Outcome(code=code, error=error))
            self.ask("acknowledge", [("invocation", message.invocation)])

    @staticmethod
    def _usage(message: Exit | Gone) -> dict[str, Any]:
        return {name: getattr(message, name) for name in ("invocation", "user_us", "system_us", "max_rss_kib")}
