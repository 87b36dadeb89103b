"""Two instances that take turns on a host: handed off, beside a swapout followed by a swapin of the same two.

`python -m benchmarks.handoff [--quick]`: quick is two nodes, once, not published. Needs root. A host is idle from the moment at which the
leaving instance's checkpoint is begun until the coming one is noted as up: the same two rows of the database for both ways.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import swapbed
from benchmarks.swap import HEAP_BYTES, holding, living, own_installation
from benchmarks.table import Report, Row
from swapbed.instance import Instance
from swapbed.lifecycle import find
from swapbed.living import checkpoint_verbs

COUNTS, ROUNDS = (2, 10, 50), 5


def one_after_the_other(leaving: Instance, coming: Instance) -> None:
    leaving.swapout()
    coming.swapin()


def handed_off(leaving: Instance, coming: Instance) -> None:
    swapbed.handoff(leaving, coming)


def taken(way: Callable[[Instance, Instance], None], leaving: Instance, coming: Instance) -> tuple[float, float]:
    """Seconds in which the host was idle, and in all."""
    begun = time.monotonic()
    way(leaving, coming)
    all_s = time.monotonic() - begun
    up_at = find(coming.id).row.up_at
    assert up_at
    return (up_at - checkpoint_verbs.all_of(leaving.id)[-1].row.created_at).total_seconds(), all_s


def turns(report: Report, count: int, rounds: int) -> None:
    with living(holding(count)) as coming:
        coming.swapout()
        with living(holding(count)) as leaving:
            ways: dict[Callable[[Instance, Instance], None], list[tuple[float, float]]] = {handed_off: [], one_after_the_other: []}
            for _ in range(rounds):
                for way, times in ways.items():
                    times.append(taken(way, leaving, coming))
                    leaving, coming = coming, leaving
    for which, what in enumerate((f"{count} containers for {count} others: host idle", f"– the whole of it ({count})")):
        ours, other = ([each[which] for each in times] for times in ways.values())
        report.add(Row(what, "s", ours, other, "swapout, then swapin"))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true")
    quick = parser.parse_args().quick
    report = Report("handoff", "Handoffs (containers)")
    with own_installation():
        for count in (2,) if quick else COUNTS:
            turns(report, count, 1 if quick else ROUNDS)
    report.notes.append(f"Each node holds {HEAP_BYTES >> 20} MiB in one program, half of it random, half of it alike in all nodes.")
    if quick:
        print(report.text())
    else:
        report.publish()


if __name__ == "__main__":
    main()
