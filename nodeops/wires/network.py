"""All LANs of an instance on this host: frames from ports through uplinks, switches and downlinks to ports, each at its instant.

Driven from outside by `receive` and `advance`; it reads no clock. Frames are carried on by their planned instants, so that
what one wake-up is late does not add to the next pipe's.
"""

from __future__ import annotations

from collections.abc import Iterable
from heapq import heapify, heappop, heappush
from itertools import count
from operator import itemgetter

from models.errors import NotFound
from models.shaping import Direction
from models.spec import Lan, Shaping
from nodeops.wires.frames import NEEDS_CHECKSUM, cut, measure
from nodeops.wires.pipe import Timed
from nodeops.wires.place import Place, places_of
from nodeops.wires.switch import Link, Switch


class Network:
    """seed: distinguishes this instance's random numbers from another's."""

    def __init__(self, lans: Iterable[Lan], seed: str):
        self.seed = seed
        self.lans: dict[str, Link | Switch] = {}
        self.frozen = False
        self._serial = count()
        self._uplinks: list[tuple[int, int, Place]] = []
        self._downlinks: list[tuple[int, int, Place]] = []
        self._touched: list[Place] = []
        self._early: list[tuple[int, int, Place, Timed]] = []
        for lan in lans:
            self.add(lan.name, lan.kind, places_of(lan, seed))

    def add(self, name: str, kind: str, places: list[Place], now_ns: int = 0) -> None:
        self.lans[name] = Link(places) if kind == "link" else Switch(places)
        self.lans[name].refeed(now_ns)

    def remove(self, name: str) -> list[Place]:
        """The places that are no longer connected; what was in their pipes is lost."""
        places = self.lans.pop(name).places
        for place in places:
            self.forget(place)
        return places

    def forget(self, place: Place) -> None:
        """No timer or early frame leads to this place any more."""
        place.uplink_due = place.downlink_due = None
        self._early = [entry for entry in self._early if entry[2] is not place]
        heapify(self._early)

    def lan(self, name: str) -> Link | Switch:
        try:
            return self.lans[name]
        except KeyError:
            raise NotFound(f"no link or LAN '{name}'", next=f"There are: {', '.join(sorted(self.lans)) or 'none'}") from None

    def places(self) -> Iterable[Place]:
        return (place for lan in self.lans.values() for place in lan.places)

    def next_ns(self) -> int | None:
        """When `advance` has something to do next."""
        return min([heap[0][0] for heap in (self._early, self._uplinks, self._downlinks) if heap], default=None)

    def receive(self, place: Place, arrivals: list[Timed]) -> None:
        """Frames that the node of this place has sent. While the network is frozen they are kept for when time goes on."""
        if not arrivals:
            return
        if self.frozen:
            self.keep_early(place, arrivals)
            return
        pipe = place.uplink
        if place.captures or not pipe.carries_whole:
            arrivals = real_frames(arrivals)
        for capture in place.captures:
            capture.sent(place, arrivals)
        if pipe.transparent:
            pipe.bypass(sum([timed[2] for timed in arrivals]), sum([timed[3] for timed in arrivals]))
            self.lans[place.lan].route(place, arrivals, self._touched)
        else:
            pipe.enter(arrivals)
            self.schedule(place)

    def advance(self, now_ns: int) -> None:
        """Everything that is due by now: uplinks' departures to the switches, inboxes to downlinks, downlinks' departures to the ports."""
        while self._early and self._early[0][0] <= now_ns:
            _, _, place, timed = heappop(self._early)
            self.receive(place, [timed])
        while self._uplinks and self._uplinks[0][0] <= now_ns:
            due, _, place = heappop(self._uplinks)
            if place.uplink_due == due:
                place.uplink_due = None
                departures = place.uplink.leave(now_ns)
                if departures:
                    self.lans[place.lan].route(place, departures, self._touched)
                self.schedule(place)
        if self._touched:
            for place in self._touched:
                self._arrived(place, now_ns)
            self._touched.clear()
        while self._downlinks and self._downlinks[0][0] <= now_ns:
            due, _, place = heappop(self._downlinks)
            if place.downlink_due == due:
                place.downlink_due = None
                self._deliver(place, place.downlink.leave(now_ns), now_ns)
                self.schedule(place)

    def schedule(self, place: Place) -> None:
        """Have `advance` look at this place's pipes when their next frames are due. An entry that a change made wrong is ignored later."""
        due = place.uplink.next_ns
        if due is not None and due != place.uplink_due:
            place.uplink_due = due
            heappush(self._uplinks, (due, next(self._serial), place))
        due = place.downlink.next_ns
        if due is not None and due != place.downlink_due:
            place.downlink_due = due
            heappush(self._downlinks, (due, next(self._serial), place))

    def reshape(self, place: Place, direction: Direction, shaping: Shaping, now_ns: int) -> None:
        """Starting with the next frame. What is due by now has left before."""
        place.pipe(direction).change(now_ns, shaping)
        lan = self.lans[place.lan]
        lan.refeed(now_ns)
        self.settle(lan)

    def settle(self, lan: Link | Switch) -> None:
        """After a change of anything but frames: timers, and which nodes may send super-frames (not if nobody could take them)."""
        for place in lan.places:
            self.schedule(place)
            if place.port:
                taken = any(receiver.wants_whole for receiver in lan.receivers(place))
                place.port.set_whole(taken and place.uplink.carries_whole and not place.captures)

    def keep_early(self, place: Place, arrivals: Iterable[Timed]) -> None:
        """Frames that enter their uplink only when time has come to their instant."""
        for timed in arrivals:
            heappush(self._early, (timed[0], next(self._serial), place, timed))

    def forget_early(self) -> None:
        self._early.clear()

    def early(self) -> dict[tuple[str, str, str], list[Timed]]:
        """By the place's name, what nodes have sent since the network was frozen."""
        kept: dict[tuple[str, str, str], list[Timed]] = {}
        for _, _, place, timed in sorted(self._early, key=itemgetter(0, 1)):
            kept.setdefault(place.name, []).append(timed)
        return kept

    def _arrived(self, place: Place, now_ns: int) -> None:
        arrivals = self.lans[place.lan].in_order(place.inbox)
        place.inbox = []
        if not place.wants_whole:
            arrivals = real_frames(arrivals)
        pipe = place.downlink
        if pipe.transparent:
            pipe.bypass(sum([timed[2] for timed in arrivals]), sum([timed[3] for timed in arrivals]))
            self._deliver(place, arrivals, now_ns)
        else:
            pipe.enter(arrivals)
            self.schedule(place)

    def _deliver(self, place: Place, departures: list[Timed], now_ns: int) -> None:
        for capture in place.captures:
            capture.received(place, departures, now_ns)
        if place.port and place.port.attached:
            place.port.send(departures)
        else:
            place.undelivered += len(departures)


def real_frames(timed_frames: list[Timed]) -> list[Timed]:
    """Super-frames cut and checksums finished; mostly there are none, for the kernel was told not to make them."""
    if not any([timed[1][1] or timed[1][0] & NEEDS_CHECKSUM for timed in timed_frames]):
        return timed_frames
    return [(at, part, *measure(part)) for at, frame, _, _ in timed_frames for part in cut(frame)]
