"""A blocking client of QEMU's machine protocol (QMP; docs/interop/qmp-spec in QEMU's sources)."""

from __future__ import annotations

import json
import os
import socket
import time
from pathlib import Path
from typing import Any

from models.errors import HostProblem, NotFound, TimedOut
from nodeops.control import short_path

POLL_S = 0.002


class Qmp:
    """One connection; QEMU serves one at a time.

    Raises NotFound when nothing listens within timeout_s or QEMU goes away, HostProblem with QEMU's own words when it refuses,
    TimedOut when it does not answer.
    """

    def __init__(self, path: Path, *, timeout_s: float = 10):
        self.path, self.timeout_s = path, timeout_s
        self._socket = self._connect(time.monotonic() + timeout_s)
        self._lines = self._socket.makefile("rb")
        self._read()  # the greeting
        self.execute("qmp_capabilities")

    def _connect(self, deadline: float) -> socket.socket:
        while True:
            attempt = socket.socket(socket.AF_UNIX)
            attempt.settimeout(self.timeout_s)
            try:
                directory, name = short_path(self.path)
                try:
                    attempt.connect(name)
                finally:
                    os.close(directory)
                return attempt
            except OSError as error:
                attempt.close()
                if time.monotonic() > deadline:
                    raise NotFound(f"QEMU does not answer here ({error.strerror})", where=str(self.path)) from error
                time.sleep(POLL_S)

    def _read(self) -> dict[str, Any]:
        try:
            line = self._lines.readline()
        except TimeoutError as error:
            raise TimedOut(f"QEMU did not answer within {self.timeout_s:g} s", where=str(self.path)) from error
        except OSError as error:
            raise NotFound("QEMU went away", where=str(self.path)) from error
        if not line:
            raise NotFound("QEMU went away", where=str(self.path))
        return json.loads(line)

    def execute(self, command: str, **arguments: Any) -> Any:
        """One command and its return value; events that arrive meanwhile are passed over."""
        self.post(command, **arguments)
        return self.answer(command)

    def post(self, command: str, **arguments: Any) -> None:
        """Without waiting for the `answer`."""
        try:
            self._socket.sendall(json.dumps({"execute": command, "arguments": arguments}).encode())
        except OSError as error:
            raise NotFound("QEMU went away", where=str(self.path)) from error

    def answer(self, command: str) -> Any:
        while True:
            answer = self._read()
            if "error" in answer:
                raise HostProblem(f"QEMU refuses '{command}': {answer['error']['desc']}", where=str(self.path))
            if "return" in answer:
                return answer["return"]

    def wait_status(self, wanted: str) -> None:
        """Until `query-status` says so. Raises TimedOut."""
        deadline = time.monotonic() + self.timeout_s
        while (status := self.execute("query-status")["status"]) != wanted:
            if time.monotonic() > deadline:
                raise TimedOut(f"the machine is '{status}' instead of '{wanted}' after {self.timeout_s:g} s", where=str(self.path))
            time.sleep(POLL_S)

    def save_device_state(self, target: Path) -> None:
        """Write all but the shared RAM to a file; the machine must be stopped.

        Capability x-ignore-shared leaves out RAM that is a shared file, so a few hundred KB remain.
        """
        self.execute("migrate-set-capabilities", capabilities=[{"capability": "x-ignore-shared", "state": True}])
        self.execute("migrate", uri=f"exec:cat >{_quoted(target)}")
        deadline = time.monotonic() + self.timeout_s
        while (status := self.execute("query-migrate").get("status")) != "completed":
            if status == "failed" or time.monotonic() > deadline:
                raise HostProblem(f"QEMU could not save its devices (migration {status})", where=str(self.path))
            time.sleep(POLL_S)

    def load_device_state(self, source: Path) -> None:
        """The inverse, for a machine started with `-incoming defer`; it is paused afterwards."""
        self.execute("migrate-set-capabilities", capabilities=[{"capability": "x-ignore-shared", "state": True}])
        self.execute("migrate-incoming", uri=f"exec:cat {_quoted(source)}")
        self.wait_status("paused")

    def close(self) -> None:
        self._lines.close()
        self._socket.close()

    def __enter__(self) -> Qmp:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _quoted(path: Path) -> str:
    return "'" + str(path).replace("'", "'\\''") + "'"
