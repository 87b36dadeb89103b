"""Blocks of a capture file, as IETF draft-ietf-opsawg-pcapng has them; little-endian, timestamps in nanoseconds. Pure."""

from __future__ import annotations

import struct

SECTION, INTERFACE, PACKET = 0x0A0D0D0A, 1, 6
LINKTYPE_ETHERNET = 1
INBOUND, OUTBOUND = 1, 2
_END, _COMMENT, _NAME, _RESOLUTION, _FLAGS, _APPLICATION = 0, 1, 2, 9, 2, 4
_NANOSECONDS = 9


def section(comment: str, application: str) -> bytes:
    """Begins a file."""
    options = _option(_COMMENT, comment.encode()) + _option(_APPLICATION, application.encode()) + _option(_END, b"")
    return _block(SECTION, struct.pack("<IHHq", 0x1A2B3C4D, 1, 0, -1) + options)


def interface(name: str, snap_bytes: int) -> bytes:
    """Interfaces come before packets, which name them by their place in the order, from 0 on."""
    options = _option(_NAME, name.encode()) + _option(_RESOLUTION, bytes([_NANOSECONDS])) + _option(_END, b"")
    return _block(INTERFACE, struct.pack("<HHI", LINKTYPE_ETHERNET, 0, snap_bytes) + options)


def packet(index: int, at_ns: int, kept: bytes, size_bytes: int, direction: int) -> bytes:
    """kept: the first bytes of a frame of size_bytes. direction: INBOUND or OUTBOUND."""
    head = struct.pack("<IIIII", index, at_ns >> 32, at_ns & 0xFFFFFFFF, len(kept), size_bytes)
    return _block(PACKET, head + _padded(kept) + _option(_FLAGS, struct.pack("<I", direction)) + _option(_END, b""))


def _block(kind: int, body: bytes) -> bytes:
    length = struct.pack("<I", len(body) + 12)
    return struct.pack("<I", kind) + length + body + length


def _option(code: int, value: bytes) -> bytes:
    return struct.pack("<HH", code, len(value)) + _padded(value)


def _padded(value: bytes) -> bytes:
    return value + bytes(-len(value) % 4)
