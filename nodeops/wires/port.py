"""Where a node's interface meets the wires: frames read from it and written to it, never waiting."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterable

from nodeops.layout import NodeLayout
from nodeops.reach import open_network
from nodeops.wires import tap
from nodeops.wires.frames import HEADER_BYTES, measure
from nodeops.wires.pipe import Timed

READ_BYTES = HEADER_BYTES + 14 + 4 + (1 << 16)  # the longest super-frame, with a VLAN tag
BATCH = 64  # frames per wake-up: bounds how long one busy port keeps the others and the timers waiting


class TapPort:
    """A TAP in the network namespace of a living node.

    `on_gone` is called once when the device vanished with its node; the port is closed then.
    """

    def __init__(self, node: NodeLayout, interface: str, on_gone: Callable[[], None]):
        namespace = open_network(node)
        try:
            self.fd = tap.attach(namespace, interface)
        finally:
            os.close(namespace)
        self.refused = 0
        self._on_gone = on_gone
        self._whole = False
        tap.set_offload(self.fd, False)

    @property
    def attached(self) -> bool:
        return self.fd >= 0

    def set_whole(self, whole: bool) -> None:
        """Whether the node may send super-frames."""
        if whole != self._whole and self.attached:
            tap.set_offload(self.fd, whole)
            self._whole = whole

    def receive(self, now_ns: int) -> list[Timed]:
        """What the node has sent, at most BATCH frames."""
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
        """Frames for the node. One it refuses (its interface is down, its memory full) is lost, and counted."""
        fd, write = self.fd, os.write
        for departure in departures:
            try:
                write(fd, departure[1])
            except OSError:
                self.refused += 1

    def close(self) -> None:
        if self.attached:
            with contextlib.suppress(OSError):
                os.close(self.fd)
            self.fd = -1

    def _gone(self) -> None:
        self._on_gone()
        self.close()
