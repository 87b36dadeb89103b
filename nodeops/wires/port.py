"""Where a node's interface meets the wires: frames read from it and written to it, never waiting."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from typing import Protocol

from models.errors import SwapbedError
from nodeops.layout import NodeLayout
from nodeops.reach import open_network
from nodeops.wires import tap
from nodeops.wires.frames import HEADER_BYTES, measure
from nodeops.wires.pipe import Timed

READ_BYTES = HEADER_BYTES + 14 + 4 + (1 << 16)  # the longest super-frame, with a VLAN tag
BATCH = 64  # frames per wake-up: bounds how long one busy port keeps the others and the timers waiting


class Port(Protocol):
    """An interface of a node. `on_gone` of its maker is called once when it vanished with its node; it is closed then.

    takes_whole: whether its node can be given super-frames and unfinished checksums. refused: frames it did not take.
    """

    takes_whole: bool
    fd: int
    refused: int

    @property
    def attached(self) -> bool: ...

    def set_whole(self, whole: bool) -> None:
        """Whether the node may send super-frames; only where it can."""

    def receive(self, now_ns: int) -> list[Timed]:
        """What the node has sent, stamped now_ns; a bounded number of frames."""

    def send(self, departures: Iterable[Timed]) -> None:
        """Frames for the node. One it does not take (its interface is down, its memory full) is lost, and counted."""

    def writable(self) -> None:
        """To be called when the fd can be written again, if the port has asked for that."""

    def missed(self) -> int:
        """Frames that the node sent and the wires never saw."""

    def close(self) -> None: ...


class TapPort:
    """A TAP in the network namespace of a living node."""

    takes_whole = True

    def __init__(self, node: NodeLayout, interface: str, on_gone: Callable[[], None]):
        self._namespace, self._interface = open_network(node), interface
        try:
            self.fd = tap.attach(self._namespace, interface)
        except SwapbedError:
            os.close(self._namespace)
            raise
        self.refused = 0
        self._on_gone = on_gone
        self._whole = False
        tap.set_offload(self.fd, False)

    @property
    def attached(self) -> bool:
        return self.fd >= 0

    def set_whole(self, whole: bool) -> None:
        if whole != self._whole and self.attached:
            tap.set_offload(self.fd, whole)
            self._whole = whole

    def receive(self, now_ns: int) -> list[Timed]:
        arrivals: list[Timed] = []
        fd, read = self.fd, os.read
        try:
            for _ in range(BATCH):
                frame = read(fd, READ_BYTES)
                if frame[1]:
                    arrivals.append((now_ns, frame, *measure(frame)))
                else:
                    arrivals.append((now_ns, frame, len(frame) - HEADER_BYTES, 1))
        except BlockingIOError:
            pass
        except OSError:
            self._gone()
        return arrivals

    def send(self, departures: Iterable[Timed]) -> None:
        fd, write = self.fd, os.write
        for departure in departures:
            try:
                write(fd, departure[1])
            except OSError:
                self.refused += 1

    def writable(self) -> None:
        """Never asked for: a TAP takes a frame or refuses it."""

    def missed(self) -> int:
        return tap.missed(self._namespace, self._interface) if self.attached else 0

    def close(self) -> None:
        if self.attached:
            os.close(self.fd)
            os.close(self._namespace)
            self.fd = -1

    def _gone(self) -> None:
        if self.attached:
            self._on_gone()
            self.close()
