"""How far the pipes are from the spec, on disk: so that wires that died and are started again shape as before.

JSON lines. The first says how often that has happened; each other one is a pipe's shaping since a change, the last of a pipe
counting. The file goes with a clean stop.
"""

from __future__ import annotations

import os
from pathlib import Path

from models.protocol.control import Message
from models.shaping import Direction
from models.spec import Shaping

LINES_LIMIT = 4096


class Restarts(Message):
    restarts: int = 0


class Deviation(Message):
    lan: str
    node: str
    interface: str
    direction: Direction
    shaping: Shaping
    up: bool


class Deviations:
    """Opening the file of wires that died counts one restart."""

    def __init__(self, path: Path):
        self.path = path
        self.restarts = 0
        self._last: dict[tuple[str, str, str, str], Deviation] = {}
        if path.exists():
            first, *lines = path.read_text().rpartition("\n")[0].splitlines()  # what follows the last newline was never written whole
            self.restarts = Restarts.model_validate_json(first).restarts + 1
            for line in lines:
                self._keep(Deviation.model_validate_json(line))
        self._rewrite()

    def all(self) -> list[Deviation]:
        return list(self._last.values())

    def note(self, deviations: list[Deviation]) -> None:
        for deviation in deviations:
            self._keep(deviation)
        os.write(self._fd, "".join(d.model_dump_json(exclude_defaults=True) + "\n" for d in deviations).encode())
        self._lines += len(deviations)
        if self._lines > LINES_LIMIT + 4 * len(self._last):
            os.close(self._fd)
            self._rewrite()

    def forget(self) -> None:
        os.close(self._fd)
        self.path.unlink()

    def _keep(self, deviation: Deviation) -> None:
        self._last[deviation.lan, deviation.node, deviation.interface, deviation.direction] = deviation

    def _rewrite(self) -> None:
        text = "".join(m.model_dump_json(exclude_defaults=True) + "\n" for m in (Restarts(restarts=self.restarts), *self._last.values()))
        new = self.path.with_name(self.path.name + ".new")
        new.write_text(text)
        new.rename(self.path)
        self._fd = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
        self._lines = len(self._last)
