"""A file, or a pipe that somebody reads, written by a thread of its own: neither a busy disk nor a slow reader holds up the frames."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from queue import SimpleQueue
from threading import Thread

from models.errors import HostProblem


class BackgroundFile:
    """What is put is written in order. `broken`: the reader went away, or the disk is full; what is put then is forgotten."""

    def __init__(self, path: Path):
        self.broken = False
        self.pending_bytes = 0
        self._pieces: SimpleQueue[bytes | None] = SimpleQueue()
        self._fd = _open(path)
        self._thread = Thread(target=self._write, name=f"write {path.name}", daemon=True)
        self._thread.start()

    def put(self, piece: bytes) -> None:
        self.pending_bytes += len(piece)
        self._pieces.put(piece)

    def end(self) -> None:
        """Close when all is written; `written` tells when."""
        self._pieces.put(None)

    @property
    def written(self) -> bool:
        return not self._thread.is_alive()

    def wait(self, timeout_s: float) -> None:
        self._thread.join(timeout_s)

    def _write(self) -> None:
        while (piece := self._pieces.get()) is not None:
            rest = memoryview(piece)
            try:
                while rest and not self.broken:
                    rest = rest[os.write(self._fd, rest):]
            except OSError:
                self.broken = True
            self.pending_bytes -= len(piece)
        os.close(self._fd)


def _open(path: Path) -> int:
    """A pipe without a reader is an error now, not a wait for one."""
    try:
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | os.O_NONBLOCK, 0o600)
    except OSError as error:
        if error.errno == errno.ENXIO:
            raise HostProblem("nobody reads this named pipe", where=str(path)) from error
        raise HostProblem(f"cannot write the capture: {error.strerror}", where=str(path)) from error
    os.set_blocking(fd, True)
    if stat.S_ISREG(os.fstat(fd).st_mode):
        os.ftruncate(fd, 0)
    return fd
