"""The fds by which the wires hold nodes' interfaces, and the epoll that watches them."""

from __future__ import annotations

import contextlib
import select
from collections.abc import Callable, Iterable

from models.errors import SwapbedError
from nodeops.layout import InstanceLayout
from nodeops.wires.lifelines import Lifelines
from nodeops.wires.place import Place
from nodeops.wires.port import Port, TapPort
from nodeops.wires.stream import StreamPort


class Attachments:
    """A device that is not there, or goes with its node, is reported and left detached; `attach` looks for it again."""

    def __init__(self, layout: InstanceLayout, epoll: select.epoll, report: Callable[[str], None]):
        self.layout, self.epoll, self.report = layout, epoll, report
        self._places: dict[int, Place] = {}
        self._lifelines = Lifelines()

    def place(self, fd: int) -> Place | None:
        return self._places.get(fd)

    def attach(self, place: Place, kind: str) -> None:
        """kind: of the place's node."""
        try:
            port = self._open(place, kind)
        except SwapbedError as error:
            self.report(f"{place}: {error}")
            return
        place.port = port
        self._places[port.fd] = place
        self.epoll.register(port.fd, select.EPOLLIN)

    def detach(self, place: Place) -> None:
        if place.port and place.port.attached:
            del self._places[place.port.fd]
            with contextlib.suppress(OSError):  # a device that has gone took its registration along
                self.epoll.unregister(place.port.fd)
            place.port.close()

    def ended(self, fd: int) -> bool:
        """Whether that fd was a node's lifeline, which has ended now: its devices are let go."""
        node = self._lifelines.node(fd)
        if node is None:
            return False
        self.report(f"{node}: the node has ended")
        for place in [place for place in self._places.values() if place.member.node == node]:
            self.detach(place)
        self.epoll.unregister(fd)
        self._lifelines.release(node)
        return True

    def close(self, places: Iterable[Place]) -> None:
        for place in places:
            self.detach(place)
        self._lifelines.close()

    def _open(self, place: Place, kind: str) -> Port:
        node, interface = self.layout.node(place.member.node), place.member.interface
        if kind == "vm":
            return StreamPort(node.root / f"{interface}.wire", lambda: self._gone(place), lambda blocked: self._watch(place, blocked))
        lifeline = self._lifelines.hold(node)
        if lifeline is not None:
            self.epoll.register(lifeline, select.EPOLLIN)
        return TapPort(node, interface, lambda: self._gone(place))

    def _watch(self, place: Place, blocked: bool) -> None:
        """A port with frames that wait asks to be told when they can go on."""
        if place.port:
            self.epoll.modify(place.port.fd, select.EPOLLIN | (select.EPOLLOUT if blocked else 0))

    def _gone(self, place: Place) -> None:
        self.report(f"{place}: the interface has gone")
        self.detach(place)
