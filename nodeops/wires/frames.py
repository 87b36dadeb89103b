"""Frames as TAP devices give and take them: a virtio-net header, then Ethernet without FCS.

With IFF_VNET_HDR the kernel hands over TCP super-frames of up to 64 KiB and unfinished checksums (Linux,
include/uapi/linux/virtio_net.h). Whoever needs real frames (a slow pipe, a capture, a VM, a trunk) uses `cut`, which does what
the kernel's segmentation offload would have done.
"""

from __future__ import annotations

import struct

HEADER = struct.Struct("=BBHHHH")  # flags, gso_type, hdr_len, gso_size, csum_start, csum_offset
HEADER_BYTES = HEADER.size
PLAIN = bytes(HEADER_BYTES)
NEEDS_CHECKSUM = 1
TCP4, TCP6, ECN = 1, 4, 0x80

ETHERNET_BYTES = 14
TYPE_IP4, TYPE_IP6, TYPE_VLAN, TYPE_QINQ = 0x0800, 0x86DD, 0x8100, 0x88A8
FIN_PSH, CWR = 0x09, 0x80
CHECKSUM_OFFSET_UDP = 6
ECT_0, ECT_1, CONGESTION = 2, 1, 3


def measure(frame: bytes) -> tuple[int, int]:
    """(bytes, frames) this will be on a wire."""
    size = len(frame) - HEADER_BYTES
    if not frame[1]:
        return size, 1
    _, _, _, gso_size, start, _ = HEADER.unpack_from(frame)
    headers = _headers_bytes(frame, start)
    packets = max(1, -(-(size - headers) // gso_size))
    return size + (packets - 1) * headers, packets


def cut(frame: bytes) -> list[bytes]:
    """The real frames a super-frame stands for, checksums finished; a plain frame alone, its checksum finished."""
    flags, gso_type, _, gso_size, start, offset = HEADER.unpack_from(frame)
    if not gso_type:
        return [_finished(frame, start, offset) if flags & NEEDS_CHECKSUM else frame]
    if gso_type & ~ECN not in (TCP4, TCP6):
        raise ValueError(f"a super-frame of the unknown kind {gso_type}")
    headers = _headers_bytes(frame, start)
    payload = memoryview(frame)[HEADER_BYTES + headers:]
    template = bytearray(frame[HEADER_BYTES:HEADER_BYTES + headers])
    pieces = [payload[at:at + gso_size] for at in range(0, len(payload), gso_size)] or [payload]
    return [_segment(template, start, piece, index, index * gso_size, index == len(pieces) - 1) for index, piece in enumerate(pieces)]


def mark_congestion(frame: bytes) -> bytes | None:
    """The frame with Congestion Experienced (RFC 3168), or None if its sender is not ECN-capable."""
    at = HEADER_BYTES + ETHERNET_BYTES
    kind = int.from_bytes(frame[at - 2:at], "big")
    if kind == TYPE_IP4 and frame[at + 1] & CONGESTION in (ECT_0, ECT_1):
        marked = bytearray(frame)
        marked[at + 1] |= CONGESTION
        _finish_ip4(marked, at)
        return bytes(marked)
    if kind == TYPE_IP6 and frame[at + 1] >> 4 & CONGESTION in (ECT_0, ECT_1):
        marked = bytearray(frame)
        marked[at + 1] |= CONGESTION << 4
        return bytes(marked)
    return None


def _headers_bytes(frame: bytes, start: int) -> int:
    """Ethernet, IP and TCP headers; start: where TCP begins. The kernel's hdr_len is only a hint, so TCP's own data offset is read."""
    return start + (frame[HEADER_BYTES + start + 12] >> 4) * 4


def _segment(template: bytearray, start: int, payload: memoryview, index: int, offset: int, last: bool) -> bytes:
    """One TCP segment, as the kernel's tcp_gso_segment makes it: FIN and PSH only on the last, CWR only on the first."""
    headers = bytearray(template)
    ip = _network_offset(headers)
    total = len(headers) + len(payload) - ip
    if headers[ip] >> 4 == 4:
        headers[ip + 2:ip + 4] = total.to_bytes(2, "big")
        headers[ip + 4:ip + 6] = (int.from_bytes(headers[ip + 4:ip + 6], "big") + index & 0xFFFF).to_bytes(2, "big")
        _finish_ip4(headers, ip)
    else:
        headers[ip + 4:ip + 6] = (total - 40).to_bytes(2, "big")
    sequence = int.from_bytes(headers[start + 4:start + 8], "big") + offset & 0xFFFFFFFF
    headers[start + 4:start + 8] = sequence.to_bytes(4, "big")
    if not last:
        headers[start + 13] &= ~FIN_PSH & 0xFF
    if index:
        headers[start + 13] &= ~CWR & 0xFF
    headers[start + 16:start + 18] = b"\0\0"
    total_sum = _pseudo_sum(headers, ip, start, len(headers) - start + len(payload)) + _sum(headers[start:]) + _sum(payload)
    headers[start + 16:start + 18] = _fold(total_sum).to_bytes(2, "big")
    return b"".join((PLAIN, headers, payload))


def _finished(frame: bytes, start: int, offset: int) -> bytes:
    """CHECKSUM_PARTIAL completed: the field holds the pseudo header's sum already, so summing from start over it is all."""
    body = bytearray(frame[HEADER_BYTES:])
    checksum = _fold(_sum(memoryview(body)[start:]))
    if not checksum and offset == CHECKSUM_OFFSET_UDP:
        checksum = 0xFFFF  # RFC 768: zero would mean that there is none
    body[start + offset:start + offset + 2] = checksum.to_bytes(2, "big")
    return PLAIN + body


def _network_offset(ethernet: bytes | bytearray) -> int:
    at = ETHERNET_BYTES
    while int.from_bytes(ethernet[at - 2:at], "big") in (TYPE_VLAN, TYPE_QINQ):
        at += 4
    return at


def _pseudo_sum(headers: bytearray, ip: int, start: int, length: int) -> int:
    """IPv4: RFC 793 §3.1; IPv6: RFC 8200 §8.1. The protocol is TCP."""
    addresses = headers[ip + 12:ip + 20] if headers[ip] >> 4 == 4 else headers[ip + 8:ip + 40]
    return _sum(addresses) + 6 + length


def _finish_ip4(headers: bytearray, ip: int) -> None:
    headers[ip + 10:ip + 12] = b"\0\0"
    headers[ip + 10:ip + 12] = _fold(_sum(headers[ip:ip + (headers[ip] & 15) * 4])).to_bytes(2, "big")


def _sum(data: bytes | bytearray | memoryview) -> int:
    """The one's complement sum of 16-bit words (RFC 1071): a number in base 65536 is, modulo 65535, the sum of its digits."""
    value = int.from_bytes(data, "big")
    return (value << 8 if len(data) & 1 else value) % 0xFFFF


def _fold(total: int) -> int:
    """The checksum of a sum. A sum of zero can only be 0xFFFF: the data are not all zero bytes."""
    return 0xFFFF - (total % 0xFFFF or 0xFFFF)
