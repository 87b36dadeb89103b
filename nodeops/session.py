"""A session with the agent of one host: a child process here, or at the other end of SSH; the same lines either way."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import IO, Protocol, TypeVar

from pydantic import BaseModel

from models.errors import HostLost
from models.protocol.control import Nothing, Progress, Request
from models.protocol.host import OPERATIONS
from nodeops.bridge import bridged
from nodeops.control import LINE_LIMIT_BYTES, result_in
from nodeops.init.client import InitClient
from nodeops.instance import layout_of
from nodeops.reach import init_socket

Result = TypeVar("Result", bound=BaseModel)
STOP_S = 10
SSH = ("ssh", "-o", "BatchMode=yes", "-o", "ConnectTimeout=10", "-o", "ServerAliveInterval=10", "-o", "ServerAliveCountMax=3")


class Here:
    """This machine. environment: added to this process's own for the agent (settings of another state directory, for example)."""

    name = "localhost"

    def __init__(self, environment: Mapping[str, str] | None = None):
        self.environment = dict(environment or {})

    def command(self, arguments: Sequence[str], *, terminal: bool = False) -> list[str]:
        return [sys.executable, "-m", "nodeops", *arguments]


class OverSsh:
    """A host reached by `ssh DESTINATION`, where Swapbed is installed: python is its interpreter's path there."""

    def __init__(self, destination: str, python: str = "/opt/swapbed/.venv/bin/python", options: Sequence[str] = (),
                 environment: Mapping[str, str] | None = None):
        self.name, self.python, self.options = destination, python, tuple(options)
        self.settings = dict(environment or {})
        self.environment: dict[str, str] = {}

    def command(self, arguments: Sequence[str], *, terminal: bool = False) -> list[str]:
        words = ["env", *(f"{name}={value}" for name, value in self.settings.items()), self.python, "-m", "nodeops", *arguments]
        return [*SSH, *self.options, "-t" if terminal else "-T", self.name, shlex.join(words)]


Transport = Here | OverSsh


class AgentProcess(Protocol):
    """A host agent that listens: a Popen, or a `nodeops.forked_agent.ForkedAgent`."""

    stdin: IO[bytes] | None
    stdout: IO[bytes] | None
    stderr: IO[bytes] | None

    def wait(self, timeout: float | None = None) -> int: ...

    def kill(self) -> None: ...


def _begin(transport: Transport) -> AgentProcess:
    return subprocess.Popen(transport.command([]), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                            env=os.environ | transport.environment, start_new_session=True)


class HostSession:
    """Blocking; not for several threads, but as many sessions as one likes. Close it, or use it in a `with`.

    Every call raises whatever SwapbedError the agent answers, and HostLost if the host or its agent goes away: then nobody
    knows whether the operation was done, and, all being idempotent, it is asked again in a new session.
    """

    def __init__(self, transport: Transport | None = None, agent: AgentProcess | None = None):
        """agent: one that was begun already, at the other end of that transport."""
        self.transport: Transport = transport or Here()
        self._last_id = 0
        self._process = agent or _begin(self.transport)

    def call(self, operation: str, arguments: BaseModel | None = None, progress: Callable[[Progress], None] | None = None) -> BaseModel:
        """One request and its reply, as OPERATIONS has them; `do` is the same for those who want the result's type known."""
        self._last_id += 1
        request = Request(id=self._last_id, operation=operation,
                          arguments=(arguments or Nothing()).model_dump(mode="json", exclude_unset=True))
        assert self._process.stdin and self._process.stdout
        try:
            self._process.stdin.write(request.model_dump_json().encode() + b"\n")
            self._process.stdin.flush()
        except (BrokenPipeError, ValueError) as error:
            raise self._lost(operation) from error
        lines = self._process.stdout
        result = result_in(iter(lambda: lines.readline(LINE_LIMIT_BYTES), b""), progress)
        if result is None:
            raise self._lost(operation)
        return OPERATIONS[operation].gives.model_validate(result)

    def do(self, operation: str, arguments: BaseModel | None, gives: type[Result],
           progress: Callable[[Progress], None] | None = None) -> Result:
        result = self.call(operation, arguments, progress)
        assert isinstance(result, gives)
        return result

    def popen(self, arguments: Sequence[str], *, terminal: bool = False, stdin: int | None = None, stdout: int | None = None,
              stderr: int | None = None) -> subprocess.Popen[bytes]:
        """A subcommand of `python -m nodeops` on that host (see `nodeops.__main__`), with stdio of the caller's choice."""
        return subprocess.Popen(self.transport.command(arguments, terminal=terminal), env=os.environ | self.transport.environment,
                                stdin=stdin, stdout=stdout, stderr=stderr)

    @contextmanager
    def node(self, instance: str, node: str) -> Iterator[InitClient]:
        """A connection to the init of one node on that host, wherever that is: programs, terminals (`nodeops.terminal`), files."""
        if isinstance(self.transport, Here) and not self.transport.environment:
            with init_socket(layout_of(instance).node(node)) as path, InitClient(path) as client:
                yield client
        else:
            with bridged(self.transport.command(["connect", instance, node]), os.environ | self.transport.environment, node) as client:
                yield client

    def close(self) -> None:
        """The agent ends after what it is doing."""
        if self._process.stdin and not self._process.stdin.closed:
            self._process.stdin.close()
        try:
            self._process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        for stream in (self._process.stdout, self._process.stderr):
            if stream:
                stream.close()

    def kill(self) -> None:
        """End the agent in the middle of what it is doing, which then is for another session to finish or to undo."""
        self._process.kill()

    def __enter__(self) -> HostSession:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _lost(self, operation: str) -> HostLost:
        self._process.kill()
        self._process.wait()
        said = self._process.stderr.read().decode(errors="replace").strip() if self._process.stderr else ""
        return HostLost(f"the host's agent went away during '{operation}'{': ' + said[-1500:] if said else ''}",
                        where=self.transport.name, next="Try again; see `swapbed doctor`")
