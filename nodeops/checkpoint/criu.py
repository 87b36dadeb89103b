"""CRIU (criu.org), called for one node: where its work is held, what it is told, and its own words when it fails."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from pydantic import ValidationError

from models.errors import HostProblem, TimedOut
from models.settings import settings
from nodeops.checkpoint import kernel_facts, timers
from nodeops.checkpoint.gate import Gate
from nodeops.checkpoint.spool import NodeSpool
from nodeops.identity import ProcessIdentity

COMMON = ("-v2", "-o", "log", "--tcp-established", "--file-locks", "--link-remap", "--manage-cgroups=ignore", "--network-lock", "skip",
          "--ghost-limit", "4G")
PIDFILE, IDENTITY, LOG_LINES, PARALLEL = "pid", "criu.process", 4, 2
PATIENCE_S = 120.0
DUMPED, READY = "post-dump", "pre-resume"  # CRIU's names of the steps at which it is held


class Criu:
    """One run of it, for one node, held at a step until it may `proceed`; then `wait`.

    put_off_ns: how much longer timers shall run than the images say.
    """

    def __init__(self, node: str, spool: NodeSpool, step: str, arguments: Sequence[str | Path], *, pass_fds: Sequence[int] = (),
                 before: Callable[[], None] | None = None, put_off_ns: int = 0):
        self.node, self._work = node, spool.work
        shutil.rmtree(spool.work, ignore_errors=True)
        spool.work.mkdir()
        self.gate = Gate(spool.work, step)
        images = timers.beside(spool.images, spool.work / "images", put_off_ns) if put_off_ns else spool.images
        command = [settings().criu, *arguments, "-D", images, "-W", spool.work, *COMMON, "--action-script", self.gate.script]
        introduced = partial(_introduce, spool.work, os.getpid(), before)
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd="/",
                                        pass_fds=pass_fds, start_new_session=True, preexec_fn=introduced)

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
        shutil.rmtree(self._work)


def _introduce(work: Path, master: int, before: Callable[[], None] | None) -> None:
    """In the child, before it becomes CRIU: whoever cleans up after a dead master must find it, or it must not begin at all."""
    (work / IDENTITY).write_text(ProcessIdentity.own().model_dump_json())
    if os.getppid() != master:
        os._exit(1)
    if before is not None:
        before()


def orphans(work: Path) -> list[ProcessIdentity]:
    """The CRIU that works there, if it lives."""
    try:
        identity = ProcessIdentity.model_validate_json((work / IDENTITY).read_text())
    except (FileNotFoundError, ValidationError):
        return []
    return [identity] if identity.alive() else []


def in_turns(nodes: Sequence[str], begin: Callable[[str], Criu], at_gate: Callable[[str, Criu, int], None],
             finished: Callable[[str, int | None], None]) -> None:
    """Run CRIU for every node, PARALLEL at once. at_gate: what is done while it is held, given the pid of the script that waits."""
    waiting, running = list(reversed(nodes)), dict[str, Criu]()
    try:
        with kernel_facts.kept():
            while waiting or running:
                while waiting and len(running) < PARALLEL:
                    node = waiting.pop()
                    running[node] = begin(node)
                node, pid = _next_arrival(running)
                at_gate(node, running[node], pid)
                running[node].proceed()
                finished(node, running.pop(node).wait())
    finally:
        for each in running.values():
            each.close()


def _next_arrival(running: dict[str, Criu]) -> tuple[str, int]:
    deadline = time.monotonic() + PATIENCE_S
    while True:
        for node, criu in running.items():
            try:
                return node, criu.gate.arrived()
            except BlockingIOError:
                if criu.process.poll() is not None:
                    raise criu.problem() from None
        if time.monotonic() > deadline:
            raise TimedOut("CRIU does not come to the end of its work", where=min(running))
        time.sleep(0.001)


