"""A blocking connection to one node's init: for `exec`, `cp` and whoever wants to know that the node is up.

The conductor has a connection of its own kind (`nodeops.conductor.nodes`), on asyncio.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import select
import socket
import struct
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from models.errors import NotFound, TimedOut
from models.protocol.init import INPUT_WINDOW_BYTES, Consumed, Event, Exit, Hello, Output, Quiesced, read_hello
from nodeops.control import short_path
from nodeops.init.conversation import Answer, Conversation, Items
from nodeops.vm import ports

RECEIVE_BYTES = 1 << 18
BEGIN_S = 10.0  # for a VM's init to answer whoever is patient otherwise


def connect(path: Path, timeout_s: float | None = None) -> socket.socket:
    """A stream to the init that listens at path. Raises NotFound if none does; TimedOut for a VM's that does not answer."""
    if not ports.is_port(path):
        return _connect(path, timeout_s)
    stream = ports.begun(lambda: _connect(path, timeout_s), path, timeout_s or BEGIN_S)
    stream.settimeout(timeout_s)
    return stream


def _connect(path: Path, timeout_s: float | None) -> socket.socket:
    stream = socket.socket(socket.AF_UNIX)
    # A socket of Python's own timeouts would not wait for room in a full backlog, but fail at once (unix(7): EAGAIN).
    stream.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("ll", *divmod(int((timeout_s or 0) * 1_000_000), 1_000_000)))
    try:
        directory, name = short_path(path)
        try:
            stream.connect(name)
        finally:
            os.close(directory)
        stream.settimeout(timeout_s)
    except OSError as error:
        stream.close()
        raise NotFound(f"the node's init does not answer ({error.strerror})", where=str(path)) from error
    return stream


@dataclass(frozen=True)
class Finished:
    """A program that `run` has waited for. code: as a shell would say it, 128 + N after signal N, 127 if it could not be started."""

    code: int
    stdout: bytes
    stderr: bytes
    exit: Exit


def shell_code(exit: Exit) -> int:
    if exit.error is not None:
        return 127
    return 128 + exit.signal if exit.signal is not None else exit.code or 0


class InitClient:
    """One connection. Not for several threads. timeout_s: for the answer to each request.

    stream: an open connection to use instead of one to path, which is then only its name in errors.
    Raises NotFound when the connection breaks, TimedOut, and what `Answer.error` makes of init's refusals.
    """

    def __init__(self, path: Path, *, timeout_s: float = 10, stream: socket.socket | None = None):
        self.path, self.timeout_s = path, timeout_s
        self._socket = stream or connect(path, timeout_s)
        self._conversation = Conversation()
        self._events: deque[Event] = deque()
        self._answers: dict[int, Answer | None] = {}

    def fileno(self) -> int:
        return self._socket.fileno()

    def close(self) -> None:
        self._socket.close()

    def __enter__(self) -> InitClient:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def post(self, operation: str, items: Items | None = None, data: bytes | None = None) -> int:
        """Ask, and never mind the answer."""
        number, message = self._conversation.request(operation, items, data)
        try:
            self._socket.settimeout(self.timeout_s)
            self._socket.sendall(message)
        except TimeoutError as error:
            raise TimedOut(f"the node's init does not take '{operation}'", where=str(self.path)) from error
        except OSError as error:
            raise NotFound(f"the connection to the node's init broke ({error.strerror})", where=str(self.path)) from error
        return number

    def send(self, operation: str, items: Items | None = None, data: bytes | None = None) -> int:
        """Ask without waiting; whoever asks several things at once fetches each `answer` by the number this returns."""
        number = self.post(operation, items, data)
        self._answers[number] = None
        return number

    def answer(self, number: int) -> Answer:
        """The answer to one `send`; events that come before it are kept for `events`."""
        deadline = time.monotonic() + self.timeout_s
        while (found := self._answers[number]) is None:
            self._receive(max(0.001, deadline - time.monotonic()))
        del self._answers[number]
        if error := found.error(str(self.path)):
            raise error
        return found

    def ask(self, operation: str, items: Items | None = None, data: bytes | None = None) -> Answer:
        return self.answer(self.send(operation, items, data))

    def hello(self) -> Hello:
        return read_hello(self.ask("hello").items)

    def quiesce(self) -> None:
        """Returns when init has ended all connections from outside, this one included; then nothing hinders a dump."""
        self.post("quiesce")
        self.await_quiesced()

    def await_quiesced(self) -> None:
        """For whoever asks many, and posts to all of them first."""
        deadline = time.monotonic() + self.timeout_s
        with contextlib.suppress(NotFound):
            while not any(isinstance(event, Quiesced) and event.stays for event in self._events):
                self._receive(max(0.001, deadline - time.monotonic()))
        self.close()

    def events(self, timeout_s: float | None = None) -> Iterator[Event]:
        """Events as they come; ends after timeout_s without one (None: waits for ever)."""
        while True:
            while self._events:
                yield self._events.popleft()
            try:
                self._receive(timeout_s)
            except TimedOut:
                return

    def poll(self) -> list[Event]:
        """Events that are here already; for callers that watch `fileno()` themselves."""
        if select.select([self._socket], [], [], 0)[0]:
            self._receive(self.timeout_s)
        waiting = list(self._events)
        self._events.clear()
        return waiting

    def _receive(self, timeout_s: float | None) -> None:
        """Whatever comes within timeout_s, sorted into answers and events."""
        self._socket.settimeout(timeout_s)
        try:
            received = self._socket.recv(RECEIVE_BYTES)
        except TimeoutError as error:
            raise TimedOut("the node's init does not answer", where=str(self.path)) from error
        except OSError as error:
            raise NotFound(f"the connection to the node's init broke ({error.strerror})", where=str(self.path)) from error
        if not received:
            raise NotFound("the node's init closed the connection", where=str(self.path))
        for message in self._conversation.feed(received):
            if not isinstance(message, Answer):
                self._events.append(message)
            elif message.request in self._answers:
                self._answers[message.request] = message

    def session(self, command: str | Sequence[str], *, environment: Mapping[str, str] | None = None, directory: str | None = None,
                user: str | None = None, terminal: tuple[int, int] | None = None) -> Session:
        """Start a program whose stdio is this connection. command: for /bin/sh -c, or argv. terminal: rows and columns of a pty."""
        return Session(self, program_items(command, environment=environment, directory=directory, user=user), terminal)

    def run(self, command: str | Sequence[str], *, stdin: bytes = b"", timeout_s: float | None = None,
            environment: Mapping[str, str] | None = None, directory: str | None = None, user: str | None = None) -> Finished:
        """Start a program, feed it stdin, and wait for its end. After timeout_s it is killed, and TimedOut raised."""
        session = self.session(command, environment=environment, directory=directory, user=user)
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        collected: dict[int, bytearray] = {1: bytearray(), 2: bytearray()}
        session.write(stdin)
        session.end_input()
        while session.exit is None:
            left = None if deadline is None else deadline - time.monotonic()
            if left is not None and left <= 0:
                session.signal(9)
                raise TimedOut(f"the program did not end within {timeout_s:g} s", where=str(self.path))
            for event in self.events(left):
                session.note(event)
                if isinstance(event, Output):
                    collected[event.stream] += event.data
                if session.exit is not None:
                    break
        return Finished(shell_code(session.exit), bytes(collected[1]), bytes(collected[2]), session.exit)


def program_items(command: str | Sequence[str], *, environment: Mapping[str, str] | None = None, directory: str | None = None,
                  user: str | None = None) -> Items:
    """What `spawn` says of the program itself."""
    items: Items = [("command", command)] if isinstance(command, str) else [("argv", part) for part in command]
    items += [("env", f"{name}={value}") for name, value in (environment or {}).items()]
    items += [(key, value) for key, value in (("directory", directory), ("user", user)) if value is not None]
    return items


class Session:
    """A program on an InitClient's connection. Pass every event of the connection to `note`; `exit` is set at the end.

    Input beyond what init takes waits here, without limit: stop reading your own input while `room()` is 0.
    """

    def __init__(self, client: InitClient, program: Items, terminal: tuple[int, int] | None):
        self.client, self.invocation = client, f"exec.{secrets.token_hex(8)}"
        self.exit: Exit | None = None
        self.parted = False
        self._waiting = bytearray()     # not sent yet
        self._outstanding = bytearray()  # sent, not consumed by the program
        self._consumed = 0
        self._ending = self._ended = False
        stdio = ([("pty", "1"), ("rows", str(terminal[0])), ("columns", str(terminal[1]))] if terminal
                 else [(name, "pipe") for name in ("stdin", "stdout", "stderr")])
        client.ask("spawn", [("invocation", self.invocation), *program, *stdio])

    def room(self) -> int:
        return max(0, INPUT_WINDOW_BYTES - len(self._outstanding) - len(self._waiting))

    def write(self, data: bytes) -> None:
        self._waiting += data
        self._pass_on()

    def end_input(self) -> None:
        self._ending = True
        self._pass_on()

    def resize(self, rows: int, columns: int) -> None:
        self.client.post("resize", [("invocation", self.invocation), ("rows", str(rows)), ("columns", str(columns))])

    def signal(self, number: int) -> None:
        """To the program and all its descendants."""
        self.client.post("signal", [("invocation", self.invocation), ("signal", str(number))])

    def adopt(self, client: InitClient) -> None:
        """Go on over a new connection after a swap (`parted`); input that was under way is sent again from where init has it."""
        answer = client.ask("adopt", [("invocation", self.invocation)])
        accepted, waiting = int(answer.get("accepted")), int(answer.get("waiting"))
        del self._outstanding[:accepted - waiting - self._consumed]
        self._consumed = accepted - waiting
        self._waiting[:0] = self._outstanding[waiting:]
        del self._outstanding[waiting:]
        self.client, self.parted, self._ended = client, False, False
        self._pass_on()

    def note(self, event: Event) -> None:
        if isinstance(event, Quiesced):
            self.parted = True
        elif isinstance(event, Consumed) and event.invocation == self.invocation:
            self._consumed += event.bytes
            del self._outstanding[:event.bytes]
            self._pass_on()
        elif isinstance(event, Exit) and event.invocation == self.invocation:
            self.exit = event

    def _pass_on(self) -> None:
        """Whoever reads a connection that broke learns of it, after all that came before; `adopt` sends again what was sent in vain."""
        with contextlib.suppress(NotFound):
            self._send_what_init_takes()

    def _send_what_init_takes(self) -> None:
        name = ("invocation", self.invocation)
        if self.exit is not None or self.parted:
            return
        while self._waiting and len(self._outstanding) < INPUT_WINDOW_BYTES:
            piece = bytes(self._waiting[:INPUT_WINDOW_BYTES - len(self._outstanding)])
            del self._waiting[:len(piece)]
            self._outstanding += piece
            self.client.post("input", [name], piece)
        if self._ending and not self._waiting and not self._ended:
            self._ended = True
            self.client.post("input", [name, ("eof", "1")])
