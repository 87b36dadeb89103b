"""Stopping all nodes of an instance within moments of each other, and dating when each stood still; letting each go at its instant."""

from __future__ import annotations

import os
import select
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from operator import itemgetter
from pathlib import Path

from models.errors import TimedOut

FREEZE_S, PRIORITY = 10.0, 2  # above the wires'
SPIN_NS = 300_000  # the last stretch before an instant is not slept: waking up may take that long


def freeze(cgroups: Mapping[str, Path]) -> dict[str, int]:
    """Node → instant of CLOCK_MONOTONIC at which all of its processes had stopped. Raises TimedOut; some may stand still then."""
    poll = select.poll()
    frozen: dict[str, int] = {}
    with _first_in_line(), ExitStack() as opened:
        files = {node: opened.enter_context((path / "cgroup.events").open("rb", buffering=0)) for node, path in cgroups.items()}
        for file in files.values():
            poll.register(file.fileno(), select.POLLPRI)
        for path in cgroups.values():
            (path / "cgroup.freeze").write_text("1")
        deadline = time.monotonic() + FREEZE_S
        while waiting := files.keys() - frozen.keys():
            for node in waiting:
                file = files[node]
                file.seek(0)
                if b"frozen 1" in file.read().splitlines():
                    frozen[node] = time.monotonic_ns()
            if len(frozen) < len(files):
                if time.monotonic() > deadline:
                    raise TimedOut("the node's processes do not stop", where=min(files.keys() - frozen.keys()))
                poll.poll(5)
    return frozen


def thaw(instants: Mapping[Path, int], others: Sequence[tuple[int, Callable[[], object]]] = ()) -> int:
    """Let each cgroup go at its instant of CLOCK_MONOTONIC; returns how many nanoseconds the latest was late.

    others: what else is to be done at its instant.
    """
    worst = 0
    with _first_in_line(), ExitStack() as opened:
        files = [(opened.enter_context((path / "cgroup.freeze").open("wb", buffering=0)), instant) for path, instant in instants.items()]
        deeds: list[tuple[int, Callable[[], object]]] = [*((instant, partial(file.write, b"0")) for file, instant in files), *others]
        for instant, deed in sorted(deeds, key=itemgetter(0)):
            while (rest := instant - time.monotonic_ns()) > 0:
                if rest > SPIN_NS:
                    time.sleep((rest - SPIN_NS) / 1e9)
            deed()
            worst = max(worst, time.monotonic_ns() - instant)
    return worst


@contextmanager
def _first_in_line() -> Iterator[None]:
    """Within, this thread is not made to wait for others, not even for nodes that have been let go already, if the host allows that."""
    try:
        os.sched_setscheduler(0, os.SCHED_RR | os.SCHED_RESET_ON_FORK, os.sched_param(PRIORITY))
    except PermissionError:
        yield
        return
    try:
        yield
    finally:
        os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
