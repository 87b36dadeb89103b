"""While an experiment stands still, whoever it waits for goes before those who only store, draw or report, if the host lets us say so."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress

HURRIED = -10  # nice(2); the experiment's own daemons are above it


def hurry(pid: int) -> None:
    """The process, and all that it will start."""
    with suppress(PermissionError, ProcessLookupError):
        os.setpriority(os.PRIO_PROCESS, pid, HURRIED)


@contextmanager
def hurried() -> Iterator[None]:
    """This thread, and what it starts, within."""
    before = os.getpriority(os.PRIO_PROCESS, 0)
    hurry(0)
    try:
        yield
    finally:
        os.setpriority(os.PRIO_PROCESS, 0, before)
