"""What links really do, measured in the experiment itself: round trips of a ping, and a pipe kept full, against what was asked.

To be done while nothing else uses the link; what is measured takes part in the experiment, and stands in its captures.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from models.protocol.control import Message, Nothing
from models.protocol.wires import ShownPipe
from models.shaping import path
from models.spec import Lan, Member
from nodeops.layout import INSIDE
from swapbed.living import links, programs
from swapbed.living.access import Access

PINGS, PING_INTERVAL_S = 10, 0.05
FULL_S = 0.8            # how long a pipe is kept full, at least
FULL_FRAMES = 40        # and for how many frames, at least
FULL_LIMIT_S = 4.0
OVERLOAD = 1.3
FRAME_BYTES, HEADERS_BYTES = 1500, 42  # Ethernet, IPv4, UDP
DISCARD_PORT = 9


class Measured(Message):
    """From one member to another. Delays are there and back. None: not measured, or (asked_bps) unlimited.

    late_p99_ns: of the pipe out of `source`, actual minus planned departure.
    """

    lan: str
    source: str
    target: str
    asked_round_trip_s: float
    least_round_trip_s: float | None = None
    mean_round_trip_s: float | None = None
    lost: int = 0
    asked_bps: int | None = None
    achieved_bps: int | None = None
    late_p99_ns: int | None = None


def measure(access: Access, lans: Iterable[Lan] | None = None) -> Iterator[Measured]:
    """One after the other: a link from its first end to its second, a LAN from its first member to its second."""
    for lan in access.spec.lans if lans is None else lans:
        if len(lan.members) > 1 and all(member.addresses for member in lan.members[:2]):
            yield _one(access, lan, *lan.members[:2])


def _one(access: Access, lan: Lan, source: Member, target: Member) -> Measured:
    there, back = path(source.uplink, target.downlink), path(target.uplink, source.downlink)
    address = target.addresses[0].partition("/")[0]
    access.wires("measure", Nothing(), Nothing)
    pinged = programs.run(access, source.node, ["ping", "-n", "-q", "-c", str(PINGS), "-i", str(PING_INTERVAL_S), "-W", "3", address])
    if there.bandwidth_bps:
        _fill(access, source.node, address, there.bandwidth_bps)
    pipe = _narrowest([pipe for pipe in links.show(access, lan.name) if (pipe.node, pipe.direction) in
                       ((source.node, "uplink"), (target.node, "downlink"))])
    least_s, mean_s, received = _round_trips(pinged.stdout)
    return Measured(lan=lan.name, source=source.node, target=target.node, asked_round_trip_s=there.delay_s + back.delay_s,
                    least_round_trip_s=least_s, mean_round_trip_s=mean_s, lost=PINGS - received, asked_bps=there.bandwidth_bps or None,
                    achieved_bps=pipe.achieved_bps, late_p99_ns=pipe.late_p99_ns)


def _round_trips(said: str) -> tuple[float | None, float | None, int]:
    """Least and mean in seconds, and how many came back, from what `ping -q` said."""
    received, times = re.search(r"(\d+) received", said), re.search(r"= ([\d.]+)/([\d.]+)/", said)
    least, mean = (float(times[1]) / 1000, float(times[2]) / 1000) if times else (None, None)
    return least, mean, int(received[1]) if received else 0


def _fill(access: Access, node: str, address: str, rate_bps: int) -> None:
    """Send more than fits, with init's own generator, so that any image can do it. From 500 Mbit/s on in fragmented datagrams."""
    frames = 1 if rate_bps < 500_000_000 else 20
    size = frames * (FRAME_BYTES - HEADERS_BYTES)
    duration_s = min(max(FULL_S, FULL_FRAMES * FRAME_BYTES * 8 / rate_bps), FULL_LIMIT_S)
    interval_s = frames * FRAME_BYTES * 8 / (rate_bps * OVERLOAD)
    source = f"{INSIDE}/init traffic source udp {address} {DISCARD_PORT} size={size} interval={interval_s:.9f}"
    programs.run(access, node, f"{source} & sleep {duration_s}; kill $!; wait", check=True)


def _narrowest(pipes: list[ShownPipe]) -> ShownPipe:
    """Where frames wait for the bandwidth; the first of two like ones."""
    return min(pipes, key=lambda pipe: pipe.shaping.bandwidth_bps or float("inf"))
