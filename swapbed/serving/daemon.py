"""A resident process of this installation (Prefect server, controller): started once whoever asks, found again, stopped by identity.

The process records itself, its pid and start time, in the instant before it becomes the program, so that a starter that is
killed in between leaves no stranger behind.
"""

from __future__ import annotations

import fcntl
import os
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from models.errors import HostProblem, TimedOut
from nodeops.identity import ProcessIdentity

RECORD_SELF = 'cat "/proc/$$/stat" /proc/sys/kernel/random/boot_id > "$0.new" && mv "$0.new" "$0" && exec "$@"'
LOG_TAIL_LINES = 3
LOG_LIMIT_BYTES = 8 << 20  # looked at when it is started


class Daemon:
    """directory/NAME.process, .log, .lock."""

    def __init__(self, directory: Path, name: str):
        self.directory, self.name = directory, name
        self.record, self.log = directory / f"{name}.process", directory / f"{name}.log"

    def identity(self) -> ProcessIdentity | None:
        """Of the living process; None if there is none."""
        try:
            stat, boot = self.record.read_text().splitlines()
        except (FileNotFoundError, ValueError):
            return None
        identity = ProcessIdentity(pid=int(stat.split()[0]), start_ticks=int(stat.rpartition(")")[2].split()[19]), boot=boot)
        return identity if identity.alive() else None

    @contextmanager
    def alone(self, patience_s: float = 90) -> Iterator[None]:
        """One starter or stopper at a time; the others wait for it."""
        try:
            self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            lock = (self.directory / f"{self.name}.lock").open("w")
        except OSError as error:
            raise HostProblem(f"the state directory cannot be written ({error.strerror})", where=str(self.directory),
                              next="Swapbed runs as root; SWAPBED_STATE_DIR names another place") from error
        deadline = time.monotonic() + patience_s
        with lock:
            while True:
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    if time.monotonic() > deadline:
                        raise TimedOut(f"somebody else has been starting or stopping it for {patience_s:g} s", where=lock.name) from None
                    time.sleep(0.02)
            yield

    def spawn(self, command: Sequence[str], environment: Mapping[str, str], inherit: Sequence[int] = ()) -> None:
        """To be called within `alone()`. The process is in a session of its own, and outlives the command that started it."""
        self.record.unlink(missing_ok=True)
        if self.log.exists() and self.log.stat().st_size > LOG_LIMIT_BYTES:
            self.log.replace(self.log.with_suffix(".log.1"))
        with self.log.open("ab") as log:
            subprocess.Popen(["/bin/sh", "-c", RECORD_SELF, str(self.record), *command], env=dict(environment), stdin=subprocess.DEVNULL,
                             stdout=log, stderr=log, pass_fds=inherit, start_new_session=True, cwd="/")

    def await_ready(self, ready: Callable[[], bool], patience_s: float = 180) -> None:
        """Until ready says so; raises with the end of its log if it dies, or does not get there in time."""
        deadline = time.monotonic() + patience_s
        born = False
        while not ready():
            alive = self.identity() is not None
            if born and not alive:
                raise HostProblem(f"{self.name} ended while starting: {self._log_tail()}", where=str(self.log))
            if time.monotonic() > deadline:
                raise TimedOut(f"{self.name} is not ready after {patience_s:g} s: {self._log_tail()}", where=str(self.log))
            born = born or alive
            time.sleep(0.02)

    def stop(self) -> bool:
        """End it and wait for that; whether there was anything to end."""
        identity = self.identity()
        if identity is not None:
            identity.end()
            _reap(identity.pid)
        self.record.unlink(missing_ok=True)
        return identity is not None

    def _log_tail(self) -> str:
        lines = self.log.read_text(errors="replace").splitlines() if self.log.exists() else []
        return " / ".join(lines[-LOG_TAIL_LINES:]) or "no output"


def _reap(pid: int) -> None:
    """If it is a child of this very process (tests start and stop in one), take its zombie away."""
    try:
        os.waitpid(pid, os.WNOHANG)
    except ChildProcessError:
        return
