"""A program in a node on this process's own standard streams: what `exec` and the interactive shell are.

With a terminal, the program gets a pty of the node's and this side only passes bytes, keys such as Ctrl-C included, and the
window's size. The session survives a swap: init parts from its connections, the program goes on later, and so do its streams.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import selectors
import signal
import struct
import termios
import time
import tty
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager

from models.errors import Conflict, SwapbedError
from models.protocol.init import Output
from nodeops.init.client import InitClient, Session, shell_code

Connect = Callable[[], AbstractContextManager[InitClient]]
STDIN, STDOUT, STDERR = 0, 1, 2
INTERRUPT = b"\x03"
RECONNECT_S = 0.2
PASSED_ON = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)


def attach(connect: Connect, command: str | Sequence[str], *, terminal: bool, environment: Mapping[str, str] | None = None,
           directory: str | None = None, user: str | None = None) -> int:
    """Run it with this process's stdio; returns its exit code as a shell would say it.

    connect: opens a connection to the node's init; called again after each swap. terminal: needs standard input to be one.
    When whoever reads our output has gone, so do we, and init hangs up on the program.
    """
    with contextlib.suppress(BrokenPipeError), _raw(terminal), _woken() as alarms, selectors.DefaultSelector() as selector:
        with connect() as client:
            size = _window() if terminal else None
            environment = {"TERM": os.environ.get("TERM", "dumb"), **(environment or {})} if terminal else environment
            session = client.session(command, environment=environment, directory=directory, user=user, terminal=size)
            streams = _Streams(selector, session, alarms, terminal)
            code = streams.pass_on(client)
        while code is None:
            code = streams.resume(connect)
        return code
    return 128 + signal.SIGPIPE


class _Streams:
    """Standard input to the session, its output to ours, signals and window changes between them."""

    def __init__(self, selector: selectors.BaseSelector, session: Session, alarms: int, terminal: bool):
        self.selector, self.session, self.alarms, self.terminal = selector, session, alarms, terminal
        self._input_open = True
        selector.register(alarms, selectors.EVENT_READ)

    def pass_on(self, client: InitClient) -> int | None:
        """Until the program ends (its code) or the node is parted from us (None)."""
        self.selector.register(client, selectors.EVENT_READ)
        try:
            while True:
                self._output(client)  # what came together with an answer as well, of which the socket says nothing any more
                if self.session.exit is not None:
                    if self.session.exit.error is not None:
                        os.write(STDERR, f"{self.session.exit.error}\r\n".encode())
                    return shell_code(self.session.exit)
                if self.session.parted:
                    return None
                self._listen_to_input()
                for key, _ in self.selector.select():
                    if key.fd == self.alarms:
                        self._signals()
                    elif key.fileobj is not client:
                        self._input()
        finally:
            self.selector.unregister(client)
            self._ignore_input()

    def resume(self, connect: Connect) -> int | None:
        """Wait until the node is back, as long as it takes; Ctrl-C gives up. Raises NotFound when the instance is no more."""
        while True:
            with contextlib.suppress(Conflict, ConnectionError), connect() as client:
                self.session.adopt(client)
                return self.pass_on(client)
            if self.terminal and _ready(STDIN) and INTERRUPT in os.read(STDIN, 4096):
                raise Conflict("the node is suspended; its program goes on without this terminal when it is back")
            time.sleep(RECONNECT_S)

    def _listen_to_input(self) -> None:
        """Only while there is room: what is not read here waits where it came from."""
        wanted = self._input_open and self.session.room() > 0
        if wanted and STDIN not in self.selector.get_map():
            try:
                self.selector.register(STDIN, selectors.EVENT_READ)
            except PermissionError:  # epoll(7) refuses regular files and /dev/null, which are always ready
                self._input()
        elif not wanted:
            self._ignore_input()

    def _ignore_input(self) -> None:
        if STDIN in self.selector.get_map():
            self.selector.unregister(STDIN)

    def _input(self) -> None:
        data = os.read(STDIN, max(1, self.session.room()))
        if data:
            self.session.write(data)
        else:
            self._input_open = False
            self.session.end_input()

    def _output(self, client: InitClient) -> None:
        for event in client.poll():
            self.session.note(event)
            if isinstance(event, Output):
                _write_all(STDOUT if event.stream == 1 else STDERR, event.data)

    def _signals(self) -> None:
        for number in os.read(self.alarms, 64):
            if number == signal.SIGWINCH:
                if self.terminal:
                    self.session.resize(*_window())
            else:
                self.session.signal(number)


@contextmanager
def _raw(terminal: bool) -> Iterator[None]:
    if not terminal:
        yield
        return
    if not os.isatty(STDIN):
        raise SwapbedError("standard input is no terminal", next="Leave out -t")
    before = termios.tcgetattr(STDIN)
    try:
        tty.setraw(STDIN)
        yield
    finally:
        termios.tcsetattr(STDIN, termios.TCSADRAIN, before)


@contextmanager
def _woken() -> Iterator[int]:
    """An fd on which the numbers of the signals that are to be passed on arrive, one byte each."""
    reading, writing = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
    kept = {number: signal.signal(number, lambda *_: None) for number in (*PASSED_ON, signal.SIGWINCH)}
    before = signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
    try:
        yield reading
    finally:
        signal.set_wakeup_fd(before)
        for number, handler in kept.items():
            signal.signal(number, handler)
        os.close(reading)
        os.close(writing)


def _window() -> tuple[int, int]:
    rows, columns, _, _ = struct.unpack("HHHH", fcntl.ioctl(STDIN, termios.TIOCGWINSZ, bytes(8)))
    return rows or 24, columns or 80


def _ready(fd: int) -> bool:
    with selectors.SelectSelector() as selector:
        selector.register(fd, selectors.EVENT_READ)
        return bool(selector.select(0))


def _write_all(fd: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view):]


