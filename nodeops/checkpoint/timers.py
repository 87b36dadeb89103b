"""Timers of dumped processes. CRIU notes how long each has yet to run, and starts it with that when it makes the process.

But the process stands still before the one and after the other, and no time is to pass. So what the images say is put right: after a
capture, to what was left at the cut; before a restore, by as long as the process will stand. What CRIU takes from the instants that are
known to those at which it looks and sets is not known: a timer rings late by that, some ten milliseconds each, and never early, unless it
rang while its frozen process waited to be dumped.

Fields as in CRIU's images/core.proto, timer.proto, fdinfo.proto and timerfd.proto, files as in criu.org/Images, the encoding as in
protobuf.dev ("Encoding").
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

MAGIC_BYTES, LENGTH_BYTES = 8, 4
VARINT, BYTES = 0, 2
FIXED_BYTES = {1: 8, 5: 4}
PER_SECOND_US, PER_SECOND_NS = 1_000_000, 1_000_000_000
ABSOLUTE = 1  # TFD_TIMER_ABSTIME
RUN_WHILE_NOBODY_DOES = {0, 1, 7, 8, 9, 11}  # CLOCK_REALTIME, MONOTONIC, BOOTTIME, their ALARMs, TAI
Field = tuple[int, int, int | bytes]
"""Number, wire type, value."""


def put_off(images: Path, by_ns: int) -> None:
    """In place: each timer has so much longer to run."""
    for image in _with_timers(images):
        image.write_bytes(_put_off(image, by_ns))


def beside(images: Path, directory: Path, by_ns: int) -> Path:
    """The same images in a new directory, which is on the same file system, timers put off; the others are linked."""
    directory.mkdir()
    changed = {image: _put_off(image, by_ns) for image in _with_timers(images)}
    for image in images.iterdir():
        if image in changed:
            (directory / image.name).write_bytes(changed[image])
        else:
            (directory / image.name).hardlink_to(image)  # CRIU opens them from within the node, where a path leads elsewhere
    return directory


def _with_timers(images: Path) -> list[Path]:
    return [*images.glob("core-*.img"), *images.glob("files.img")]


def _put_off(image: Path, by_ns: int) -> bytes:
    content, change = image.read_bytes(), of_file if image.name == "files.img" else of_process
    messages = [change(message, by_ns) for message in _messages(content)]
    return content[:MAGIC_BYTES] + b"".join(len(message).to_bytes(LENGTH_BYTES, "little") + message for message in messages)


def _messages(content: bytes) -> Iterator[bytes]:
    at = MAGIC_BYTES
    while at < len(content):
        begin = at + LENGTH_BYTES
        at = begin + int.from_bytes(content[at:begin], "little")
        yield content[begin:at]


def of_process(core: bytes, by_ns: int) -> bytes:
    """ITIMER_REAL and timers of timer_create(2), but for those that count a processor's time; pure."""
    def posix(timer: bytes) -> bytes:
        return _later(timer, 9, 10, PER_SECOND_NS, by_ns) if numbers(timer)[2] in RUN_WHILE_NOBODY_DOES else timer

    def timers(message: bytes) -> bytes:
        return within(within(message, 1, lambda real: _later(real, 3, 4, PER_SECOND_US, by_ns)), 4, posix)

    return within(core, 3, lambda task: within(task, 7, timers))


def of_file(entry: bytes, by_ns: int) -> bytes:
    """timerfd; pure. One that was set for an instant becomes one that was set to run for so long: CRIU drops what an instant has beyond
    whole seconds."""
    return within(entry, 12, lambda timer: _later(having(timer, {6: numbers(timer)[6] & ~ABSOLUTE}), 7, 8, PER_SECOND_NS, by_ns))


def _later(timer: bytes, whole: int, part: int, per_second: int, by_ns: int) -> bytes:
    """whole, part: numbers of the fields with seconds and with what is beyond them. Of one that does not run both are 0."""
    found = numbers(timer)
    left = found[whole] * per_second + found[part]
    if not left:
        return timer
    seconds, rest = divmod(left + by_ns * per_second // PER_SECOND_NS, per_second)
    return having(timer, {whole: seconds, part: rest})


def within(message: bytes, number: int, change: Callable[[bytes], bytes]) -> bytes:
    """The message with each of its parts of that number changed; pure."""
    return b"".join(_written(field, kind, change(value) if field == number and isinstance(value, bytes) else value)
                    for field, kind, value in fields(message))


def having(message: bytes, values: Mapping[int, int]) -> bytes:
    """The message with other numbers in these of its fields; pure."""
    return b"".join(_written(field, kind, values.get(field, value) if kind == VARINT else value) for field, kind, value in fields(message))


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


def _written(field: int, kind: int, value: int | bytes) -> bytes:
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
