"""A traced link's capture as numbers: bytes over time, and how long frames were under way. Reads what `nodeops.pcapng` writes. Pure."""

from __future__ import annotations

import struct
from collections import defaultdict, deque
from collections.abc import Iterator
from dataclasses import dataclass, field

from nodeops.pcapng import INBOUND, INTERFACE, PACKET

BINS = 120
NAME_OPTION, FLAGS_OPTION = 2, 2


@dataclass(frozen=True)
class Frame:
    """place: as the capture names it, LAN:NODE:INTERFACE. at_ns: since the run began."""

    place: str
    inbound: bool
    at_ns: int
    size_bytes: int
    kept: bytes


@dataclass
class Way:
    """What one end sent. seconds, rates_bps: of bins of equal length. delays: when a frame arrived, and how long it had been under way."""

    place: str
    seconds: list[float] = field(default_factory=list)
    rates_bps: list[float] = field(default_factory=list)
    delays: list[tuple[float, float]] = field(default_factory=list)


def frames_of(capture: bytes) -> Iterator[Frame]:
    """Of one that breaks off, those before."""
    names: list[str] = []
    at = 0
    while at + 12 <= len(capture):
        kind, length = struct.unpack_from("<II", capture, at)
        body = capture[at + 8:at + length - 4]
        if length < 12 or at + length > len(capture):
            return
        if kind == INTERFACE:
            names.append(_options(body[8:]).get(NAME_OPTION, b"").decode(errors="replace"))
        elif kind == PACKET:
            index, high, low, kept, size = struct.unpack_from("<IIIII", body)
            flags = _options(body[20 + kept + -kept % 4:]).get(FLAGS_OPTION, b"\0\0\0\0")
            yield Frame(names[index], struct.unpack("<I", flags)[0] & 3 == INBOUND, high << 32 | low, size, body[20:20 + kept])
        at += length


def ways(frames: Iterator[Frame]) -> list[Way]:
    """Of each end that sent anything, by name. A frame is under way from an end that sent it to the first that got the same bytes."""
    sent: dict[str, list[Frame]] = defaultdict(list)
    waiting: dict[bytes, deque[Frame]] = defaultdict(deque)
    arrived: dict[str, list[tuple[float, float]]] = defaultdict(list)
    last_ns = 1
    for frame in sorted(frames, key=lambda one: one.at_ns):
        last_ns = max(last_ns, frame.at_ns)
        if not frame.inbound:
            sent[frame.place].append(frame)
            waiting[frame.kept].append(frame)
        elif waiting[frame.kept]:
            begun = waiting[frame.kept].popleft()
            arrived[begun.place].append((frame.at_ns / 1e9, (frame.at_ns - begun.at_ns) / 1e9))
    width_s = last_ns / BINS / 1e9
    return [Way(place, [(number + 0.5) * width_s for number in range(BINS)], _rates(sent[place], width_s), arrived[place])
            for place in sorted(sent)]


def _rates(frames: list[Frame], width_s: float) -> list[float]:
    total = [0.0] * BINS
    for frame in frames:
        total[min(BINS - 1, int(frame.at_ns / 1e9 / width_s))] += frame.size_bytes * 8
    return [bits / width_s for bits in total]


def _options(data: bytes) -> dict[int, bytes]:
    found, at = {}, 0
    while at + 4 <= len(data):
        code, length = struct.unpack_from("<HH", data, at)
        if code == 0:
            break
        found[code] = data[at + 4:at + 4 + length]
        at += 4 + length + -length % 4
    return found
