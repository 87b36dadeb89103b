"""Cutting super-frames, compared with what the kernel's own segmentation makes of the same bytes."""

from __future__ import annotations

import os
import select
import socket
import struct
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nodeops.linux import CLONE_NEWNET, network_namespace, open_own_network_namespace, setns, unshare
from nodeops.wires import tap
from nodeops.wires.frames import HEADER, HEADER_BYTES, NEEDS_CHECKSUM, PLAIN, TCP4, TCP6, cut, mark_congestion, measure

SOURCE4, TARGET4 = socket.inet_aton("10.1.1.2"), socket.inet_aton("10.1.1.3")
SOURCE6, TARGET6 = socket.inet_pton(socket.AF_INET6, "fd00::2"), socket.inet_pton(socket.AF_INET6, "fd00::3")
MACS = bytes.fromhex("0200000000b2" "0200000000a1")
FIN, SYN, PSH, ACK, CWR = 1, 2, 8, 16, 128


def ones_complement_sum(data: bytes) -> int:
    """RFC 1071, word by word."""
    total = sum(struct.unpack(f">{len(data) // 2}H", data[:len(data) & ~1])) + (data[-1] << 8 if len(data) & 1 else 0)
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total


def super_frame(version: int, payload: bytes, segment_bytes: int, *, flags: int = ACK, options: bytes = b"", sequence: int = 1,
                identification: int = 7, whole: bool = True) -> bytes:
    """As Linux hands it over: lengths of the whole, and the pseudo header's sum where the checksum goes."""
    tcp_bytes = 20 + len(options)
    length = tcp_bytes + len(payload)
    addresses = SOURCE4 + TARGET4 if version == 4 else SOURCE6 + TARGET6
    pseudo = ones_complement_sum(addresses + struct.pack(">II", length, 6))
    tcp = struct.pack(">HHIIBBHHH", 5001, 40000, sequence, 99, tcp_bytes // 4 << 4, flags, 500, pseudo, 0) + options
    if version == 4:
        ip = struct.pack(">BBHHHBBH", 0x45, 0, 20 + length, identification, 0, 64, 6, 0) + addresses
        ip = ip[:10] + (0xFFFF - ones_complement_sum(ip)).to_bytes(2, "big") + ip[12:]
    else:
        ip = struct.pack(">IHBB", 6 << 28, length, 6, 64) + addresses
    start = 14 + len(ip)
    gso = (TCP4 if version == 4 else TCP6) if whole else 0
    header = HEADER.pack(NEEDS_CHECKSUM, gso, start + tcp_bytes if whole else 0, segment_bytes if whole else 0, start, 16)
    return header + MACS + (b"\x08\x00" if version == 4 else b"\x86\xdd") + ip + tcp + payload


FRAMES = st.builds(super_frame, st.sampled_from([4, 6]), st.binary(min_size=1, max_size=9000), st.integers(100, 1460),
                   flags=st.sampled_from([ACK, ACK | PSH, ACK | FIN | PSH, ACK | CWR]),
                   options=st.sampled_from([b"", b"\1\1\x08\x0a" + bytes(range(8))]), sequence=st.integers(0, 2**32 - 1),
                   identification=st.integers(0, 65535))


class KernelCutter:
    """Two TAPs on a bridge: what is written whole to one comes out of the other, which takes no super-frames, in pieces."""

    def __init__(self) -> None:
        home = open_own_network_namespace()
        unshare(CLONE_NEWNET)
        self.namespace = open_own_network_namespace()
        setns(home, CLONE_NEWNET)
        os.close(home)
        with network_namespace(self.namespace):
            tap.create_persistent("in", "02:00:00:00:00:01")
            tap.create_persistent("out", "02:00:00:00:00:02")
            for scope in ("all", "default"):
                Path(f"/proc/sys/net/ipv6/conf/{scope}/disable_ipv6").write_text("1")
            for command in ("add bridge0 type bridge", "set in master bridge0", "set out master bridge0",
                            *(f"set {name} up" for name in ("bridge0", "in", "out"))):
                subprocess.run(["ip", "link", *command.split()], check=True)
        self.enter, self.leave = (tap.attach(self.namespace, name) for name in ("in", "out"))
        tap.set_offload(self.enter, True)
        tap.set_offload(self.leave, False)
        self.wait_for_forwarding()

    def wait_for_forwarding(self) -> None:
        probe = PLAIN + MACS + b"\x88\xb5" + bytes(46)
        for _ in range(1000):
            os.write(self.enter, probe)
            if self.read(timeout_ms=20):
                return
        raise TimeoutError("the bridge does not forward")

    def read(self, timeout_ms: int) -> list[bytes]:
        poll = select.poll()
        poll.register(self.leave, select.POLLIN)
        pieces = []
        while poll.poll(timeout_ms):
            pieces.append(os.read(self.leave, 70000))
            timeout_ms = 0
        return pieces

    def cut(self, frame: bytes) -> list[bytes]:
        os.write(self.enter, frame)
        return [piece[HEADER_BYTES:] for piece in self.read(2000) if piece[HEADER_BYTES:].startswith(MACS)]

    def close(self) -> None:
        for fd in (self.enter, self.leave, self.namespace):
            os.close(fd)


@pytest.fixture(scope="module")
def kernel() -> Iterator[KernelCutter]:
    cutter = KernelCutter()
    yield cutter
    cutter.close()


@settings(max_examples=150, deadline=None)
@given(frame=FRAMES)
def test_super_frames_are_cut_as_the_kernel_would(kernel: KernelCutter, frame: bytes) -> None:
    pieces = cut(frame)
    assert [piece[HEADER_BYTES:] for piece in pieces] == kernel.cut(frame)
    assert all(piece[:HEADER_BYTES] == PLAIN for piece in pieces)
    assert measure(frame) == (sum(len(piece) - HEADER_BYTES for piece in pieces), len(pieces))


@settings(max_examples=100, deadline=None)
@given(frame=st.builds(super_frame, st.sampled_from([4, 6]), st.binary(max_size=1400), st.just(0), whole=st.just(False)))
def test_checksums_are_finished_as_the_kernel_would(kernel: KernelCutter, frame: bytes) -> None:
    assert [piece[HEADER_BYTES:] for piece in cut(frame)] == kernel.cut(frame)
    assert measure(frame) == (len(frame) - HEADER_BYTES, 1)


def test_a_udp_checksum_that_comes_out_as_zero_is_sent_as_all_ones() -> None:
    """RFC 768: zero on the wire would mean that there is no checksum."""
    header = HEADER.pack(NEEDS_CHECKSUM, 0, 0, 0, 34, 6)
    datagram = struct.pack(">HHHHH", 1, 2, 10, 0, 0)
    filler = 0xFFFF - ones_complement_sum(datagram)
    frame = header + MACS + b"\x08\x00" + bytes(20) + datagram[:8] + filler.to_bytes(2, "big")
    (finished,) = cut(frame)
    assert finished[HEADER_BYTES + 40:HEADER_BYTES + 42] == b"\xff\xff"


def test_plain_frames_stay_the_same_object() -> None:
    frame = PLAIN + MACS + b"\x08\x00" + bytes(46)
    assert cut(frame)[0] is frame


@pytest.mark.parametrize("ecn, marked", [(0, False), (1, True), (2, True), (3, False)])
def test_only_ecn_capable_frames_are_marked(ecn: int, marked: bool) -> None:
    four = bytearray(super_frame(4, b"x", 0, whole=False))
    four[HEADER_BYTES + 15] |= ecn
    six = bytearray(super_frame(6, b"x", 0, whole=False))
    six[HEADER_BYTES + 15] |= ecn << 4
    for frame, at in ((four, 15), (six, 15)):
        result = mark_congestion(bytes(frame))
        assert (result is not None) == marked
        if result is not None:
            assert result[HEADER_BYTES + at] >> (0 if frame is four else 4) & 3 == 3
    if marked:
        ip = mark_congestion(bytes(four))
        assert ip is not None
        assert ones_complement_sum(ip[HEADER_BYTES + 14:HEADER_BYTES + 34]) == 0xFFFF
