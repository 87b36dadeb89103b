"""CRIU's images: a magic number, then messages, each behind its length (criu.org/Images), encoded as in protobuf.dev ("Encoding")."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

MAGIC_BYTES, LENGTH_BYTES = 8, 4
VARINT, BYTES = 0, 2
FIXED_BYTES = {1: 8, 5: 4}
Field = tuple[int, int, int | bytes]
"""Number, wire type, value."""


def rewritten(image: bytes, change: Callable[[bytes], bytes]) -> bytes:
    """The image with each of its messages changed; pure."""
    changed = [change(message) for message in messages(image)]
    return image[:MAGIC_BYTES] + b"".join(len(message).to_bytes(LENGTH_BYTES, "little") + message for message in changed)


def messages(image: bytes) -> Iterator[bytes]:
    at = MAGIC_BYTES
    while at < len(image):
        begin = at + LENGTH_BYTES
        at = begin + int.from_bytes(image[at:begin], "little")
        yield image[begin:at]


def within(message: bytes, number: int, change: Callable[[bytes], bytes]) -> bytes:
    """The message with each of its parts of that number changed; pure."""
    return b"".join(written(field, kind, change(value) if field == number and isinstance(value, bytes) else value)
                    for field, kind, value in fields(message))


def having(message: bytes, values: Mapping[int, int]) -> bytes:
    """The message with other numbers in these of its fields; pure."""
    return b"".join(written(field, kind, values.get(field, value) if kind == VARINT else value) for field, kind, value in fields(message))


def part(message: bytes, number: int) -> bytes | None:
    """The first of that number; pure."""
    return next((value for field, _, value in fields(message) if field == number and isinstance(value, bytes)), None)


def numbers(message: bytes) -> dict[int, int]:
    return {field: value for field, kind, value in fields(message) if isinstance(value, int)}


def fields(message: bytes) -> Iterator[Field]:
    """Raises ValueError for what is no message; pure."""
    at = 0
    while at < len(message):
        key, at = _number(message, at)
        field, kind = key >> 3, key & 7
        if kind == VARINT:
            value, at = _number(message, at)
            yield field, kind, value
            continue
        if kind == BYTES:
            size, at = _number(message, at)
        elif kind in FIXED_BYTES:
            size = FIXED_BYTES[kind]
        else:
            raise ValueError(f"wire type {kind} at {at}")
        if at + size > len(message):
            raise ValueError(f"field {field} ends beyond the message")
        yield field, kind, message[at:at + size]
        at += size


def _number(message: bytes, at: int) -> tuple[int, int]:
    """And where it ends."""
    value = shift = 0
    while at < len(message):
        byte = message[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if not byte & 0x80:
            return value, at
    raise ValueError("a number ends beyond the message")


def written(field: int, kind: int, value: int | bytes) -> bytes:
    """One field; pure."""
    key = _varint(field << 3 | kind)
    if isinstance(value, int):
        return key + _varint(value)
    return key + (_varint(len(value)) if kind == BYTES else b"") + value


def _varint(value: int) -> bytes:
    written = bytearray()
    while value > 0x7F:
        written.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*written, value])
