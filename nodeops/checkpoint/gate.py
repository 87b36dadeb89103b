"""Holding CRIU at steps of its work until something has been done: an action script that says it is there and waits for a word."""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping
from pathlib import Path

SCRIPT = """#!/bin/sh
case "$CRTOOLS_SCRIPT_ACTION" in {steps} *) exit 0; esac
echo $$ > {directory}/arrived
read -r word < {directory}/go && [ "$word" = go ]
"""


class Gate:
    """Its files are in an existing directory of the caller's. steps: CRIU's names of them, at which it arrives one after the other, each
    with what a shell does before it says so.

    If whoever should open it refuses or dies, CRIU is told that the step failed.
    """

    def __init__(self, directory: Path, steps: Mapping[str, str]):
        self.script = directory / "gate"
        deeds = " ".join(f"{step}) {deed};;" for step, deed in steps.items())
        self.script.write_text(SCRIPT.format(steps=deeds, directory=shlex.quote(str(directory))))
        self.script.chmod(0o700)
        for name in ("arrived", "go"):
            os.mkfifo(directory / name, 0o600)
        self._arrived = os.open(directory / "arrived", os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        self._go = os.open(directory / "go", os.O_RDWR | os.O_CLOEXEC)

    @property
    def arrival(self) -> int:
        """An fd that can be read from when a script waits."""
        return self._arrived

    def arrived(self) -> int:
        """Pid of the script that waits. Raises BlockingIOError if none does yet."""
        return int(os.read(self._arrived, 64))

    def open(self) -> None:
        os.write(self._go, b"go\n")

    def refuse(self) -> None:
        os.write(self._go, b"no\n")

    def close(self) -> None:
        for fd in (self._arrived, self._go):
            os.close(fd)
