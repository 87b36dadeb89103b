"""CRIU (criu.org), called for one node: where its work is held, what it is told, and its own words when it fails."""

from __future__ import annotations

import os
import select
import shutil
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

from pydantic import ValidationError

from models.errors import HostProblem, TimedOut
from models.settings import settings
from nodeops.checkpoint import timers
from nodeops.checkpoint.gate import Gate
from nodeops.checkpoint.introduction import introduced
from nodeops.checkpoint.spool import NodeSpool
from nodeops.identity import ProcessIdentity

COMMON = ("-v2", "-o", "log", "--tcp-established", "--file-locks", "--link-remap", "--manage-cgroups=ignore", "--network-lock", "skip",
          "--ghost-limit", "4G")
PIDFILE, IDENTITY, LOG_LINES = "pid", "criu.process", 4
PARALLEL = min(8, 2 * (os.cpu_count() or 1))  # about half of them wait for files, for each other or for their gate
PATIENCE_S = 300.0  # while nothing is heard of any of them
BEGUN, DUMPED, READY = "pre-dump", "post-dump", "pre-resume"  # CRIU's names of the steps at which it is held


class Criu:
    """One run of it, for one node, held at each of some steps until it may `proceed`; then `wait`.

    steps: see `nodeops.checkpoint.gate`. before: what a shell does before it becomes CRIU. put_off_ns: how much longer timers shall run
    than the images say.
    """

    def __init__(self, node: str, spool: NodeSpool, steps: Mapping[str, str], arguments: Sequence[str | Path], *,
                 pass_fds: Sequence[int] = (), before: str = ":", put_off_ns: int = 0):
        self.node, self._work = node, spool.work
        shutil.rmtree(spool.work, ignore_errors=True)
        spool.work.mkdir()
        self.gate = Gate(spool.work, steps)
        images = timers.beside(spool.images, spool.work / "images", put_off_ns) if put_off_ns else spool.images
        command = [settings().criu, *arguments, "-D", images, "-W", spool.work, *COMMON, "--action-script", self.gate.script]
        self.process = subprocess.Popen(introduced(command, spool.work / IDENTITY, before), stdin=subprocess.DEVNULL,
                                        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd="/", pass_fds=pass_fds,
                                        start_new_session=True)
        try:
            self.ended = os.pidfd_open(self.process.pid)
        except OSError:  # too many files are open
            self.process.kill()  # it is not there yet, or waits for us
            self.process.wait()
            self.gate.close()
            raise

    def proceed(self) -> None:
        self.gate.open()

    def wait(self) -> int | None:
        """The pid of the restored process, if one was. Raises HostProblem with what it complains about."""
        try:
            if self.process.wait(PATIENCE_S):
                raise self.problem()
            return int((self._work / PIDFILE).read_text()) if (self._work / PIDFILE).exists() else None
        except subprocess.TimeoutExpired:
            raise TimedOut("CRIU does not come to an end", where=self.node) from None
        finally:
            self.close()

    def problem(self) -> HostProblem:
        log = self._work / "log"
        lines = log.read_text(errors="replace").splitlines() if log.exists() else []
        said = " / ".join([line for line in lines if "Error" in line][:LOG_LINES]) or f"exit code {self.process.returncode}"
        return HostProblem(f"CRIU failed: {said}", where=self.node, next=None if lines else "Is the disk full?")

    def close(self) -> None:
        """If it has not ended, it lets go of what it was about to dump, and ends."""
        if self.process.poll() is None:
            self.gate.refuse()
            try:
                self.process.wait(PATIENCE_S)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self.gate.close()
        os.close(self.ended)
        shutil.rmtree(self._work)


def orphans(work: Path) -> list[ProcessIdentity]:
    """The CRIU that works there, if it lives."""
    try:
        identity = ProcessIdentity.model_validate_json((work / IDENTITY).read_text())
    except (FileNotFoundError, ValidationError):
        return []
    return [identity] if identity.alive() else []


def in_turns(nodes: Sequence[str], begin: Callable[[str], Criu], at_gate: Callable[[str, Criu, int], None],
             finished: Callable[[str, int | None], None], parallel: int = PARALLEL) -> None:
    """Have CRIU work for every node, so many at once, up to its end. at_gate: what is done while it is held for the last time, given the
    pid of the script that waits."""
    waiting, held, ending = list(reversed(nodes)), dict[str, Criu](), dict[str, Criu]()
    deadline = time.monotonic() + PATIENCE_S
    try:
        while waiting or held or ending:
            while waiting and len(held) < parallel:
                node = waiting.pop()
                held[node] = begin(node)
            arrived, ended = _arrived(held), next((node for node, criu in ending.items() if criu.process.poll() is not None), None)
            if arrived is not None:
                node, pid = arrived
                at_gate(node, held[node], pid)
                held[node].proceed()
                ending[node] = held.pop(node)
            if ended is not None:
                finished(ended, ending.pop(ended).wait())
            deadline = _wait(held | ending, deadline, came=arrived is not None or ended is not None)
    finally:
        with ExitStack() as closing:
            for each in (*held.values(), *ending.values()):
                closing.callback(each.close)


def await_arrival(criu: Criu) -> None:
    """At its next gate. Raises HostProblem if it fails on its way."""
    deadline = time.monotonic() + PATIENCE_S
    while _arrived({criu.node: criu}) is None:
        deadline = _wait({criu.node: criu}, deadline, came=False)


def _arrived(held: Mapping[str, Criu]) -> tuple[str, int] | None:
    """The node of one that waits at its gate, if one does, and the pid of the script that waits. Raises HostProblem for one that failed."""
    for node, criu in held.items():
        try:
            return node, criu.gate.arrived()
        except BlockingIOError:
            if criu.process.poll() is not None:
                raise criu.problem() from None
    return None


def _wait(working: Mapping[str, Criu], deadline: float, *, came: bool) -> float:
    """For one to come or end, unless there may be more to do at once. Returns when patience ends now; raises TimedOut when it has ended."""
    if came:
        return time.monotonic() + PATIENCE_S
    poll = select.poll()
    for criu in working.values():
        for fd in (criu.gate.arrival, criu.ended):
            poll.register(fd, select.POLLIN)
    if not poll.poll(max(0.0, deadline - time.monotonic()) * 1e3):
        raise TimedOut("CRIU does not come to the end of its work", where=min(working))
    return deadline
