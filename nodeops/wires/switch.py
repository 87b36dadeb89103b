"""Who gets a frame: on a link the other end; on a LAN whom its destination address names, or all."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from operator import itemgetter

from nodeops.wires.frames import HEADER_BYTES
from nodeops.wires.pipe import Timed
from nodeops.wires.place import Place

DESTINATION = slice(HEADER_BYTES, HEADER_BYTES + 6)
SOURCE = slice(HEADER_BYTES + 6, HEADER_BYTES + 12)
LEARNED_LIMIT = 65536
BY_TIME = itemgetter(0)


class Link:
    """Two ends; no address is looked at."""

    def __init__(self, places: list[Place]):
        self.places = places
        self._peer = {id(places[0]): places[1], id(places[1]): places[0]}

    def route(self, sender: Place, frames: Sequence[Timed], touched: list[Place]) -> None:
        """Put frames that left the sender's uplink into receivers' inboxes; a receiver whose inbox was empty joins `touched`."""
        peer = self._peer[id(sender)]
        if not peer.inbox:
            touched.append(peer)
        peer.inbox.extend(frames)

    def receivers(self, sender: Place) -> Iterator[Place]:
        yield self._peer[id(sender)]

    def in_order(self, inbox: list[Timed]) -> list[Timed]:
        """Only one sender: its order is the order."""
        return inbox

    def refeed(self, now_ns: int) -> None:
        """Each downlink receives bit by bit what the other end's uplink sends."""
        for place in self.places:
            fed = self._peer[id(place)].uplink.shaping.bandwidth_bps
            if place.downlink.fed_bps != fed:
                place.downlink.change(now_ns, place.downlink.shaping, fed_bps=fed)


class Switch:
    """A LAN. The members' own addresses are known from the spec; those that nodes make themselves are learned from what they send."""

    def __init__(self, places: list[Place]):
        self.places = places
        self._known = {place.mac: place for place in places}
        self._table = dict(self._known)

    def route(self, sender: Place, frames: Sequence[Timed], touched: list[Place]) -> None:
        """See `Link.route`. A frame for the sender itself goes nowhere, as from any switch."""
        table = self._table
        for timed in frames:
            frame = timed[1]
            if frame[SOURCE] != sender.mac:
                self._learn(frame[SOURCE], sender)
            receiver = table.get(frame[DESTINATION])
            if receiver is None:
                self._flood(sender, timed, touched)
            elif receiver is not sender:
                if not receiver.inbox:
                    touched.append(receiver)
                receiver.inbox.append(timed)

    def receivers(self, sender: Place) -> Iterator[Place]:
        return (place for place in self.places if place is not sender)

    def in_order(self, inbox: list[Timed]) -> list[Timed]:
        """Merge what several senders' uplinks let go at this wake-up."""
        inbox.sort(key=BY_TIME)
        return inbox

    def refeed(self, now_ns: int) -> None:
        """A switch stores a frame before it forwards it: each pipe of a LAN costs its own transmission time."""

    def _flood(self, sender: Place, timed: Timed, touched: list[Place]) -> None:
        for receiver in self.receivers(sender):
            if not receiver.inbox:
                touched.append(receiver)
            receiver.inbox.append(timed)

    def _learn(self, address: bytes, sender: Place) -> None:
        if address[0] & 1 or address in self._known:
            return
        if len(self._table) >= LEARNED_LIMIT:
            self._table = dict(self._known)
        self._table[address] = sender
