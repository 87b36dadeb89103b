"""Who is just sending which chunk: so that several hosts that store like nodes at the same time send each chunk once.

A courtesy within one process, not a lock: forgetting all of it costs only work.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable

PATIENCE_S = 30.0  # for which somebody is believed to be sending a chunk


class InFlight:
    """By project and hash: the transfer that was told to send it, and until when that is believed."""

    def __init__(self, clock: Callable[[], float] = time.monotonic):
        self._clock = clock
        self._sent_by: dict[tuple[str, bytes], tuple[str, float]] = {}
        self._lock = threading.Lock()

    def take(self, project: str, transfer: str, hashes: Iterable[bytes], final: bool) -> set[bytes]:
        """Those that another transfer is sending; the others are this one's from now on, and with final all of them."""
        others: set[bytes] = set()
        now = self._clock()
        with self._lock:
            for name in hashes:
                holder, until = self._sent_by.get((project, name), (transfer, 0.0))
                if holder != transfer and until > now and not final:
                    others.add(name)
                else:
                    self._sent_by[project, name] = transfer, now + PATIENCE_S
        return others

    def give_back(self, project: str, transfer: str, hashes: Iterable[bytes]) -> None:
        """This transfer need not send these after all."""
        with self._lock:
            for name in hashes:
                if self._sent_by.get((project, name), ("", 0.0))[0] == transfer:
                    del self._sent_by[project, name]

    def arrived(self, project: str, hashes: Iterable[bytes]) -> None:
        with self._lock:
            for name in hashes:
                self._sent_by.pop((project, name), None)

    def over(self, transfer: str) -> None:
        """Whatever this transfer was sending, it is not any more."""
        with self._lock:
            for key in [key for key, (holder, _) in self._sent_by.items() if holder == transfer]:
                del self._sent_by[key]
