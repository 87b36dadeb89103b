"""What a frozen node's timers sent again is left out of a checkpoint if it is under way or acknowledged; what may be lost is not."""

from __future__ import annotations

import ipaddress
import struct
from collections.abc import Sequence

import pytest

from models.protocol.wires import HeldFrame, PipeState, RandomState, SavedPipe
from models.spec import Shaping
from nodeops.checkpoint.sent_again import segment, without_repeats
from nodeops.wires.frames import PLAIN

A, B = ("10.0.0.1", 5001), ("10.0.0.2", 5000)
A6, B6 = ("fd00::1", 5001), ("fd00::2", 5000)
MS, DATA, FIN = 1_000_000, 0x18, 0x11
End = tuple[str, int]


def frame(at_ms: int, source: End, target: End, begin: int, size: int, ack: int = 0, flags: int = DATA, tag: bytes = b"") -> HeldFrame:
    tcp = struct.pack(">HHIIBBHHH", source[1], target[1], begin % 2**32, ack % 2**32, 0x80, flags, 512, 0, 0) + bytes(12) + bytes(size)
    ends = [ipaddress.ip_address(end[0]) for end in (source, target)]
    if ends[0].version == 4:
        ip = struct.pack(">BBHHHBBH", 0x45, 0, 20 + len(tcp), 0, 0x4000, 64, 6, 0)
    else:
        ip = struct.pack(">IHBB", 6 << 28, len(tcp), 6, 64)
    kind = 0x0800 if ends[0].version == 4 else 0x86DD
    data = PLAIN + bytes(12) + tag + kind.to_bytes(2) + ip + ends[0].packed + ends[1].packed + tcp
    return HeldFrame(due_in_ns=at_ms * MS, data=data.ljust(len(PLAIN) + 60, b"\0"))


def pipe(node: str, held: Sequence[HeldFrame] = (), early: Sequence[HeldFrame] = ()) -> SavedPipe:
    state = PipeState(shaping=Shaping(), random=RandomState(seed=1), held=tuple(held))
    return SavedPipe(lan="net", node=node, interface="eth1", direction="uplink", pipe=state, early=tuple(early))


def kept(*pipes: SavedPipe) -> list[tuple[HeldFrame, ...]]:
    return [each.early for each in without_repeats(pipes)]


@pytest.mark.parametrize("ends", [(A, B), (A6, B6)])
@pytest.mark.parametrize("start", [1000, 2**32 - 1500])
def test_repeats_go_and_all_else_stays(ends: tuple[End, End], start: int) -> None:
    a, b = ends
    under_way = [frame(1, a, b, start + 1000, 1000), frame(2, a, b, start + 2000, 1000)]
    new = frame(10, a, b, start + 3000, 1000)
    acknowledged, repeated = frame(243, a, b, start, 1000), frame(300, a, b, start + 1500, 2000)
    lost, beyond = frame(310, a, b, start - 5000, 1000), frame(320, a, b, start + 3500, 1000)
    finish, other = frame(330, a, b, start + 1000, 0, flags=FIN), frame(340, (a[0], 9), b, start, 1000)
    early = [new, acknowledged, repeated, lost, beyond, finish, other]
    arrived = pipe("b", early=[frame(5, b, a, 7, 0, ack=start - 3000), frame(6, b, a, 7, 0, ack=start + 1000)])
    # acknowledged as a whole: what begins before is, too
    assert kept(pipe("a", under_way, early), arrived)[0] == (new, beyond, finish, other)
    assert kept(pipe("a", under_way, early))[0] == (new, acknowledged, lost, beyond, finish, other)


def test_of_two_repeats_of_what_may_be_lost_the_first_stays() -> None:
    first, second = frame(240, A, B, 100, 50), frame(680, A, B, 100, 50)
    assert kept(pipe("a", early=[first, second])) == [(first,)]


def test_what_is_no_tcp_is_left_alone() -> None:
    tagged = frame(1, A, B, 10, 5, tag=b"\x81\x00\x00\x07")
    found, plain = segment(tagged.data), segment(frame(1, A, B, 10, 5).data)
    assert found == plain and found is not None and (found.begin, found.end) == (10, 15)
    bare = segment(frame(1, A, B, 10, 0).data)
    assert bare is not None and bare.begin == bare.end, "an Ethernet frame's padding is no data"
    for data in (b"", PLAIN, PLAIN + bytes(60), PLAIN + bytes(12) + b"\x08\x06" + bytes(46), tagged.data[:50]):
        assert segment(data) is None
