"""Timers of dumped processes. CRIU notes how long each has yet to run, and starts it with that when it makes the process.

But the process stands still before the one and after the other, and no time is to pass. So what the images say is put right: after a
capture, to what was left at the cut; before a restore, by as long as the process will stand. What CRIU takes from the instants that are
known to those at which it looks and sets is not known: a timer rings late by that, some ten milliseconds each, and never early, unless it
rang while its frozen process waited to be dumped.

Fields as in CRIU's images/core.proto, timer.proto, fdinfo.proto and timerfd.proto.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

from nodeops.checkpoint.images import having, numbers, rewritten, within

PER_SECOND_US, PER_SECOND_NS = 1_000_000, 1_000_000_000
ABSOLUTE = 1  # TFD_TIMER_ABSTIME
RUN_WHILE_NOBODY_DOES = {0, 1, 7, 8, 9, 11}  # CLOCK_REALTIME, MONOTONIC, BOOTTIME, their ALARMs, TAI


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
    change = of_file if image.name == "files.img" else of_process
    return rewritten(image.read_bytes(), partial(change, by_ns=by_ns))


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
