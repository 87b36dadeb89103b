"""A LAN without devices or clocks, woken up whenever, against each member's pipes simulated one by one."""

from __future__ import annotations

import struct
from collections.abc import Iterable

from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.bare_network import lan, mac
from models.spec import Queue, Shaping
from nodeops.wires.frames import PLAIN
from nodeops.wires.network import Network
from nodeops.wires.pipe import Timed
from nodeops.wires.place import Place
from nodeops.wires.randomness import Uniforms
from tests.nodeops.wires.reference_pipe import ReferencePipe

MEMBERS = 3
BROADCAST = b"\xff" * 6
FOREVER = 10**15


class Heard:
    """A port that notes what it is given."""

    takes_whole = attached = True
    refused, fd = 0, -1

    def __init__(self) -> None:
        self.frames: list[tuple[int, int]] = []
        self.now = 0

    def set_whole(self, whole: bool) -> None:
        pass

    def send(self, departures: Iterable[Timed]) -> None:
        self.frames += [(self.now, struct.unpack_from(">I", frame, len(PLAIN) + 14)[0]) for _, frame, _, _ in departures]


def address(member: int) -> bytes:
    return bytes.fromhex(mac((1 << 10) + member + 1).replace(":", ""))


def ethernet(number: int, sender: int, to: int | None, size: int) -> bytes:
    destination = BROADCAST if to is None else address(to)
    return PLAIN + destination + address(sender) + b"\x88\xb5" + struct.pack(">I", number) + bytes(size - 18)


UPLINKS = st.builds(Shaping, delay_s=st.sampled_from([0, 3e-6, 3e-4]))  # multiples of MEMBERS ns: no two senders' frames coincide
DOWNLINKS = st.builds(Shaping, delay_s=st.sampled_from([0, 1e-6, 2e-4]), bandwidth_bps=st.sampled_from([0, 10**6, 10**8]),
                      queue=st.builds(Queue, limit=st.integers(1, 20)))
FRAMES = st.lists(st.tuples(st.integers(0, 100_000), st.integers(0, MEMBERS - 1), st.sampled_from([None, *range(MEMBERS)]),
                            st.integers(60, 1514), st.booleans()), min_size=1, max_size=40)


@settings(max_examples=200, deadline=None)
@given(st.lists(UPLINKS, min_size=MEMBERS, max_size=MEMBERS), st.lists(DOWNLINKS, min_size=MEMBERS, max_size=MEMBERS), FRAMES)
def test_frames_of_several_senders_meet_each_receivers_pipe_in_order_of_time(uplinks, downlinks, frames):
    spec = lan(1, ["a", "b", "c"])
    members = tuple(m.model_copy(update={"uplink": u, "downlink": d}) for m, u, d in zip(spec.members, uplinks, downlinks, strict=True))
    network = Network([spec.model_copy(update={"members": members})], "seed")
    places: list[Place] = network.lans["lan1"].places
    ports = [Heard() for _ in places]
    for place, port in zip(places, ports, strict=True):
        place.port = port
    sent: list[tuple[int, int, int, int | None, int]] = []
    woken: list[int] = []
    now = 0

    def wake(at: int) -> None:
        woken.append(at)
        for port in ports:
            port.now = at
        network.advance(at)

    for number, (gap, sender, to, size, wakes) in enumerate(frames):
        now = (now + gap) // MEMBERS * MEMBERS + MEMBERS + sender
        network.receive(places[sender], [(now, ethernet(number, sender, to, size), size, 1)])
        sent.append((now, number, sender, to, size))
        if wakes:
            wake(now)
    wake(FOREVER)
    for receiver, port in enumerate(ports):
        wanted = expected(receiver, sent, uplinks, downlinks)
        assert port.frames == [(next(at for at in woken if at >= due), number) for due, number in wanted]


def expected(receiver: int, sent, uplinks, downlinks) -> list[tuple[int, int]]:
    arrivals = []
    for at, number, sender, to, size in sent:
        if to == receiver != sender or to is None and sender != receiver:
            arrivals.append((at + round(uplinks[sender].delay_s * 1e9), number, size))
    pipe = ReferencePipe(downlinks[receiver], Uniforms(0))
    for at, number, size in sorted(arrivals):
        pipe.frame(at, number, size)
    pipe.advance(FOREVER)
    return pipe.departures
