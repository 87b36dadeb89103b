"""TCP segments that a frozen node's kernel sent again although nothing was lost.

Its retransmission timer goes on while the node stands still (see `nodeops.checkpoint.patience`), and no acknowledgement reaches it, since
the network stands still, too. The restored connection knows nothing of that; neither shall its peer.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

from models.protocol.wires import HeldFrame, SavedPipe
from nodeops.wires.frames import ETHERNET_BYTES, HEADER_BYTES, TYPE_IP4, TYPE_IP6, TYPE_QINQ, TYPE_VLAN

WRAP, HALF = 1 << 32, 1 << 31
TCP, IP6_BYTES, SYN_FIN_RST, ACK = 6, 40, 0x07, 0x10
Flow = tuple[bytes, bytes]


@dataclass(frozen=True)
class Segment:
    """flow: address and port of sender and receiver. begin, end: of its data in the stream."""

    flow: Flow
    begin: int
    end: int
    acknowledged: int | None


@dataclass
class Known:
    """What is under way of one flow, or is known to have arrived."""

    ranges: list[tuple[int, int]] = field(default_factory=list)
    acknowledged: list[int] = field(default_factory=list)

    def has(self, segment: Segment) -> bool:
        if any((reached - segment.end) % WRAP < HALF for reached in self.acknowledged):
            return True
        at = segment.begin
        while 0 < (segment.end - at) % WRAP < HALF:
            step = max(((end - at) % WRAP for begin, end in self.ranges if (at - begin) % WRAP < (end - begin) % WRAP), default=0)
            if not step:
                return False
            at = (at + step) % WRAP
        return True


def without_repeats(pipes: Sequence[SavedPipe]) -> list[SavedPipe]:
    """The same pipes, less the early frames that only repeat what is under way or acknowledged; pure."""
    known: defaultdict[Flow, Known] = defaultdict(Known)
    for pipe in pipes:
        for frame in (*pipe.pipe.held, *pipe.early):
            if (found := segment(frame.data)) is not None and found.acknowledged is not None:
                known[found.flow[::-1]].acknowledged.append(found.acknowledged)
        for frame in pipe.pipe.held:
            if (found := segment(frame.data)) is not None:
                known[found.flow].ranges.append((found.begin, found.end))
    repeats: set[int] = set()
    for frame in sorted((frame for pipe in pipes for frame in pipe.early), key=_due):
        found = segment(frame.data)
        if found is None or found.begin == found.end:
            continue
        if known[found.flow].has(found):
            repeats.add(id(frame))
        else:
            known[found.flow].ranges.append((found.begin, found.end))
    return [_without(pipe, repeats) for pipe in pipes]


def _due(frame: HeldFrame) -> int:
    return frame.due_in_ns


def _without(pipe: SavedPipe, repeats: set[int]) -> SavedPipe:
    early = tuple(frame for frame in pipe.early if id(frame) not in repeats)
    return pipe if len(early) == len(pipe.early) else pipe.model_copy(update={"early": early})


def segment(frame: bytes) -> Segment | None:
    """What a frame carries, behind its virtio-net header. None: no TCP, a fragment, or the beginning or end of a connection; pure."""
    at = HEADER_BYTES + ETHERNET_BYTES
    kind = int.from_bytes(frame[at - 2:at])
    while kind in (TYPE_VLAN, TYPE_QINQ):
        at += 4
        kind = int.from_bytes(frame[at - 2:at])
    if kind == TYPE_IP4 and len(frame) >= at + 40 and frame[at + 9] == TCP and not int.from_bytes(frame[at + 6:at + 8]) & 0x3FFF:
        tcp, addresses = at + (frame[at] & 15) * 4, (frame[at + 12:at + 16], frame[at + 16:at + 20])
        end = at + int.from_bytes(frame[at + 2:at + 4])
    elif kind == TYPE_IP6 and len(frame) >= at + 60 and frame[at + 6] == TCP:
        tcp, addresses = at + IP6_BYTES, (frame[at + 8:at + 24], frame[at + 24:at + 40])
        end = tcp + int.from_bytes(frame[at + 4:at + 6])
    else:
        return None
    if len(frame) < tcp + 20 or frame[tcp + 13] & SYN_FIN_RST:
        return None
    size = min(end, len(frame)) - tcp - (frame[tcp + 12] >> 4) * 4
    if size < 0:
        return None
    begin = int.from_bytes(frame[tcp + 4:tcp + 8])
    acknowledged = int.from_bytes(frame[tcp + 8:tcp + 12]) if frame[tcp + 13] & ACK else None
    flow = addresses[0] + frame[tcp:tcp + 2], addresses[1] + frame[tcp + 2:tcp + 4]
    return Segment(flow, begin, (begin + size) % WRAP, acknowledged)
