"""Which process exactly: a pid alone may be somebody else's by now, a pid with its start time on this boot is not."""

from __future__ import annotations

import os
import signal
import time
from functools import lru_cache
from pathlib import Path

from models.errors import TimedOut
from models.protocol.control import Message

GONE = ("X", "x", "Z")


class ProcessIdentity(Message):
    """start_ticks: proc(5) /proc/PID/stat, field 22. boot: this boot of this machine, so that a file from another proves nothing."""

    pid: int
    start_ticks: int
    boot: str

    @staticmethod
    def of(pid: int) -> ProcessIdentity:
        """Of a living process; raises ProcessLookupError."""
        _, start_ticks = _stat(pid)
        return ProcessIdentity(pid=pid, start_ticks=start_ticks, boot=boot_id())

    @staticmethod
    def own() -> ProcessIdentity:
        return ProcessIdentity.of(os.getpid())

    def alive(self) -> bool:
        """Whether that very process still runs here; a zombie does not."""
        try:
            state, start_ticks = _stat(self.pid)
        except ProcessLookupError:
            return False
        return self.boot == boot_id() and start_ticks == self.start_ticks and state not in GONE

    def signal(self, number: signal.Signals) -> bool:
        """Send it, unless the process is gone; the pid is pinned by a pidfd before its identity is looked at."""
        try:
            pidfd = os.pidfd_open(self.pid)
        except ProcessLookupError:
            return False
        try:
            if not self.alive():
                return False
            signal.pidfd_send_signal(pidfd, number)
            return True
        except ProcessLookupError:
            return False
        finally:
            os.close(pidfd)

    def end(self, *, patience_s: float = 10) -> None:
        """SIGTERM, and SIGKILL when patience is over. Raises TimedOut if even that does not help (a process in the kernel's D state)."""
        for number, limit_s in ((signal.SIGTERM, patience_s), (signal.SIGKILL, 10.0)):
            if not self.signal(number):
                return
            deadline = time.monotonic() + limit_s
            while self.alive():
                if time.monotonic() > deadline:
                    break
                time.sleep(0.005)
            else:
                return
        raise TimedOut("the process does not end, not even by SIGKILL", where=f"pid {self.pid}")


@lru_cache(maxsize=1)
def boot_id() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def _stat(pid: int) -> tuple[str, int]:
    """State letter and start time. The command's name may contain anything, so fields count from its last parenthesis."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        raise ProcessLookupError(f"no process {pid}") from None
    return fields[0], int(fields[19])
