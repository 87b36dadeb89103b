"""Whoever sees the frames at places of the wires, and writes of them into a file until told to end."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from nodeops.wires.background_file import BackgroundFile
from nodeops.wires.filter import KernelFilter, Program
from nodeops.wires.frames import HEADER_BYTES
from nodeops.wires.pipe import Timed

if TYPE_CHECKING:
    from nodeops.wires.place import Place


class Observer(ABC):
    """Open until `end`, or until its file is `broken`. frames: those that passed the filter; zero_ns: the virtual time written as 0."""

    dropped = 0

    def __init__(self, path: Path, places: Iterable[Place], program: Program, zero_ns: int):
        self.places = tuple(places)
        self.frames = 0
        self._zero_ns = zero_ns
        self._filter = KernelFilter(program) if program else None
        self._file = BackgroundFile(path)

    @property
    def broken(self) -> bool:
        return self._file.broken

    @property
    def written(self) -> bool:
        return self._file.written

    def wait(self, timeout_s: float) -> None:
        self._file.wait(timeout_s)

    @abstractmethod
    def sent(self, place: Place, arrivals: Iterable[Timed]) -> None:
        """What entered its uplink, each stamped with when it did."""

    @abstractmethod
    def received(self, place: Place, departures: Iterable[Timed], now_ns: int) -> None:
        """What left its downlink."""

    @abstractmethod
    def flush(self) -> None:
        """What is to be written is on its way."""

    def end(self) -> None:
        """No more frames; the file is complete when `written`."""
        self.flush()
        self._file.end()
        if self._filter:
            self._filter.close()

    def _passes(self, frame: bytes) -> bool:
        return self._filter is None or self._filter.keeps(frame[HEADER_BYTES:]) is not None
