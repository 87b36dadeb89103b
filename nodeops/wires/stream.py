"""A VM's interface: QEMU's stream netdev, a unix stream of frames each behind its length (qemu, net/stream.c)."""

from __future__ import annotations

import contextlib
import os
import socket
import struct
from collections.abc import Callable, Iterable
from pathlib import Path

from models.errors import NotFound
from nodeops.control import short_path
from nodeops.wires.frames import HEADER_BYTES, PLAIN
from nodeops.wires.pipe import Timed

LENGTH = struct.Struct(">I")
LONGEST_BYTES = 1 << 17  # more than any frame: a stream that claims so is out of step
RECEIVE_BYTES = 1 << 18
UNREAD_LIMIT_BYTES = 1 << 20  # what a VM may leave unread before frames for it are lost, as in any NIC


class StreamPort:
    """Real frames only. `on_blocked(True)` is called when frames wait for the VM to read, `on_blocked(False)` when they no longer do."""

    takes_whole = False

    def __init__(self, path: Path, on_gone: Callable[[], None], on_blocked: Callable[[bool], None]):
        self.refused = 0
        self._on_gone, self._on_blocked = on_gone, on_blocked
        self._arrived, self._unsent = bytearray(), bytearray()
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            directory, name = short_path(path)
            try:
                self._socket.connect(name)
            finally:
                os.close(directory)
        except OSError as error:
            self._socket.close()
            raise NotFound(f"the VM's interface does not answer ({error.strerror})", where=str(path)) from error
        self._socket.setblocking(False)
        self.fd = self._socket.fileno()

    @property
    def attached(self) -> bool:
        return self.fd >= 0

    def set_whole(self, whole: bool) -> None:
        """A VM's interface is made without offloads."""

    def receive(self, now_ns: int) -> list[Timed]:
        """What the VM has sent and has arrived completely."""
        try:
            received = self._socket.recv(RECEIVE_BYTES)
        except BlockingIOError:
            return []
        except OSError:
            received = b""
        if not received:
            self._gone()
            return []
        self._arrived += received
        return self._frames(now_ns)

    def send(self, departures: Iterable[Timed]) -> None:
        """Frames for the VM. One that finds no room is lost, and counted."""
        waiting = bool(self._unsent)
        for _, frame, _, _ in departures:
            if len(self._unsent) > UNREAD_LIMIT_BYTES:
                self.refused += 1
            else:
                self._unsent += LENGTH.pack(len(frame) - HEADER_BYTES) + frame[HEADER_BYTES:]
        if not waiting:
            self.flush()
            if self._unsent:
                self._on_blocked(True)

    def writable(self) -> None:
        self.flush()
        if not self._unsent and self.attached:
            self._on_blocked(False)

    def flush(self) -> None:
        try:
            while self._unsent:
                del self._unsent[:self._socket.send(self._unsent)]
        except BlockingIOError:
            pass
        except OSError:
            self._unsent.clear()
            self._gone()

    def missed(self) -> int:
        """A stream holds its sender back instead."""
        return 0

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._socket.close()
        self.fd = -1

    def _frames(self, now_ns: int) -> list[Timed]:
        arrivals: list[Timed] = []
        at, data = 0, bytes(self._arrived)
        while len(data) - at >= LENGTH.size:
            (length,) = LENGTH.unpack_from(data, at)
            if length > LONGEST_BYTES:
                self._gone()
                return arrivals
            if len(data) - at - LENGTH.size < length:
                break
            at += LENGTH.size
            arrivals.append((now_ns, PLAIN + data[at:at + length], length, 1))
            at += length
        del self._arrived[:at]
        return arrivals

    def _gone(self) -> None:
        if self.attached:
            self._on_gone()
            self.close()
