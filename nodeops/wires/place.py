"""One member's place in a LAN: its two pipes, its port, and what has arrived for it."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from models.shaping import Direction
from models.spec import Lan, Member, Shaping
from nodeops.wires.pipe import Pipe, Timed
from nodeops.wires.port import Port

if TYPE_CHECKING:
    from nodeops.wires.observer import Observer

DIRECTIONS: tuple[Direction, ...] = ("uplink", "downlink")


class Place:
    """`uplink_due` and `downlink_due`: when the pipe is in the timers' heap, None: it is not."""

    def __init__(self, lan: str, member: Member, seed: str):
        self.lan, self.member = lan, member
        self.mac = bytes.fromhex(member.mac.replace(":", ""))
        self.uplink = Pipe(member.uplink, _seed(seed, lan, member, "uplink"))
        self.downlink = Pipe(member.downlink, _seed(seed, lan, member, "downlink"))
        self.uplink_due: int | None = None
        self.downlink_due: int | None = None
        self.port: Port | None = None
        self.inbox: list[Timed] = []
        self.undelivered = 0
        self.captures: tuple[Observer, ...] = ()

    def __str__(self) -> str:
        return ":".join(self.name)

    @property
    def name(self) -> tuple[str, str, str]:
        return self.lan, self.member.node, self.member.interface

    def pipe(self, direction: Direction) -> Pipe:
        return self.uplink if direction == "uplink" else self.downlink

    def requested(self, direction: Direction) -> Shaping:
        """As the spec has it."""
        return self.member.uplink if direction == "uplink" else self.member.downlink

    @property
    def refused(self) -> int:
        """Frames that left the downlink and that nobody took."""
        return self.undelivered + (self.port.refused if self.port else 0)

    @property
    def attached(self) -> bool:
        return self.port is not None and self.port.attached

    def take(self, member: Member) -> None:
        """The same place under a changed spec; its pipes keep what is in them."""
        self.member = member
        self.mac = bytes.fromhex(member.mac.replace(":", ""))

    @property
    def wants_whole(self) -> bool:
        """Whether super-frames may be delivered here uncut."""
        return self.downlink.carries_whole and not self.captures and (self.port is None or self.port.takes_whole)

    def answers_to(self, member: str | None) -> bool:
        """member: a node, `node:interface` where a node has two places in one LAN, or None for all."""
        return member in (None, self.member.node, f"{self.member.node}:{self.member.interface}")


def places_of(lan: Lan, seed: str) -> list[Place]:
    return [Place(lan.name, member, seed) for member in lan.members]


def _seed(seed: str, lan: str, member: Member, direction: Direction) -> int:
    """Another for every pipe and every instance, the same whenever this instance's wires start anew."""
    digest = hashlib.blake2b("\0".join((seed, lan, member.node, member.interface, direction)).encode(), digest_size=7)
    return int.from_bytes(digest.digest(), "big")
