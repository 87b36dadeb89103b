"""The host agent of this machine as a fork of a process that has it imported: there in milliseconds, where a new Python takes a third of
a second.
"""

from __future__ import annotations

import gc
import os
import select
import signal
import subprocess
import traceback
from typing import IO, NoReturn

from nodeops.agent import serve


class ForkedAgent:
    """What `nodeops.session.HostSession` needs of a child process. To be made while this process has one thread."""

    def __init__(self) -> None:
        (requests, ask), (hear, replies), (read, errors) = os.pipe(), os.pipe(), os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            _become_agent(requests, replies, errors)
        for end in (requests, replies, errors):
            os.close(end)
        self.stdin: IO[bytes] | None = os.fdopen(ask, "wb")
        self.stdout: IO[bytes] | None = os.fdopen(hear, "rb")
        self.stderr: IO[bytes] | None = os.fdopen(read, "rb")
        self._ended: int | None = None

    def wait(self, timeout: float | None = None) -> int:
        """Raises subprocess.TimeoutExpired, as Popen's does."""
        if self._ended is None:
            handle = os.pidfd_open(self.pid)
            try:
                poller = select.poll()
                poller.register(handle, select.POLLIN)
                if not poller.poll(None if timeout is None else timeout * 1000):
                    raise subprocess.TimeoutExpired("the host agent", timeout or 0)
            finally:
                os.close(handle)
            self._ended = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        return self._ended

    def kill(self) -> None:
        if self._ended is None:
            os.kill(self.pid, signal.SIGKILL)


def _become_agent(requests: int, replies: int, errors: int) -> NoReturn:
    """Nothing of the process it was forked from stays open: a command would wait for its connection's end."""
    code = 1
    try:
        gc.freeze()  # whatever is collected later closes descriptors by numbers that are others' then
        os.setsid()
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        for number, end in enumerate((requests, replies, errors)):
            os.dup2(end, number)
        os.closerange(3, os.sysconf("SC_OPEN_MAX"))
        serve(os.fdopen(0, "rb"), os.fdopen(1, "wb"))
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code)
