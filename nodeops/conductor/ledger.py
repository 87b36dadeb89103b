"""events.jsonl and outbox.jsonl: numbered lines, written once, never changed."""

from __future__ import annotations

import os
from itertools import islice
from pathlib import Path
from typing import Generic, TypeVar

from models.protocol.conductor import ActivityLine, OutboxLine

Line = TypeVar("Line", ActivityLine, OutboxLine)
STRIDE = 1000


class Ledger(Generic[Line]):
    """One file. Lines are numbered from 0; a line that is in it already is not written again, so that replaying is harmless."""

    def __init__(self, path: Path, kind: type[Line]):
        self.path = path
        self.kind: type[Line] = kind
        self.count = 0
        self._marks = [0]  # where every STRIDE-th line begins
        self._size = 0
        self._take_stock()
        self._file = path.open("ab")

    def append(self, line: Line) -> None:
        """Visible to readers after `flush`."""
        if line.number < self.count:
            return
        assert line.number == self.count, f"{self.path}: line {line.number} after {self.count} lines"
        self._write(line.model_dump_json(exclude_defaults=True).encode() + b"\n")

    def flush(self, *, durable: bool = False) -> None:
        self._file.flush()
        if durable:
            os.fsync(self._file.fileno())

    def read(self, since: int, limit: int) -> tuple[Line, ...]:
        self._file.flush()
        if since >= self.count:
            return ()
        with self.path.open("rb") as file:
            file.seek(self._marks[since // STRIDE])
            return tuple(self.kind.model_validate_json(line) for line in islice(file, since % STRIDE, since % STRIDE + limit))

    def close(self) -> None:
        self.flush(durable=True)
        self._file.close()

    def _write(self, line: bytes) -> None:
        self._file.write(line)
        self._note(line)

    def _note(self, line: bytes) -> None:
        self.count += 1
        self._size += len(line)
        if self.count % STRIDE == 0:
            self._marks.append(self._size)

    def _take_stock(self) -> None:
        """Counts the lines; one that a crash cut short was told to nobody and is removed."""
        if not self.path.exists():
            return
        with self.path.open("r+b") as file:
            for line in file:
                if not line.endswith(b"\n"):
                    file.truncate(self._size)
                    break
                self._note(line)
