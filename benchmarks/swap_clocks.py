"""Nodes' clocks across swaps: the worst step of a 10 ms sleep in 2, 4, 10 and 50 containers and in 2 VMs, with a swap in it and without
one; and how far clocks have come apart after 20 swaps.

`python -m benchmarks.swap_clocks [--quick]`: quick is two containers, not published. Needs root and a C compiler.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks import noticing
from benchmarks.absences import FENCE, spool_of, swapped
from benchmarks.nodes import one_lan, own_state
from benchmarks.noticing import CLOCKS, Kind, Wake, of_kind
from benchmarks.table import Report, Row
from models.protocol.host import ChangeInstance, Create, InstanceStatus
from models.spec import Spec
from nodeops.checkpoint.restore import Restored
from nodeops.clock import ClockState, VirtualClock
from nodeops.instance import layout_of
from nodeops.layout import InstanceLayout
from nodeops.session import Here, HostSession

CASES: tuple[tuple[Kind, int], ...] = (("container", 2), ("container", 4), ("container", 10), ("container", 50), ("vm", 2))
ROUNDS, WINDOW_S, ABSENCE_S = 3, 3.0, 0.5
SWAPS = 20
NAMES: dict[Kind, str] = {"container": "containers", "vm": "VMs"}


@dataclass
class Steps:
    """Of one round: each clock's worst step over all nodes, in ms, in a stretch without a swap and in an equally long one around a swap."""

    without: list[float]
    across: list[float]
    restored: Restored


@contextmanager
def standing(kind: Kind, count: int) -> Iterator[tuple[InstanceLayout, Spec]]:
    spec = of_kind(one_lan(count), kind)
    with own_state(), tempfile.TemporaryDirectory() as scratch, HostSession(Here()) as session:
        datastore = noticing.build(Path(scratch) / "datastore", kind)
        session.do("create", Create(instance="i-benchmark", name="benchmark", fence=FENCE, spec=spec, datastore=str(datastore)),
                   InstanceStatus)
        try:
            yield layout_of("i-benchmark"), spec
        finally:
            session.call("destroy", ChangeInstance(instance="i-benchmark", fence=FENCE + 1))


def virtual_s(layout: InstanceLayout) -> float:
    return VirtualClock(ClockState.model_validate_json(layout.clock.read_bytes())).now_s()


def steps(kind: Kind, count: int, rounds: int) -> list[Steps]:
    """Each round is a stretch without a swap, and one with a swap in its middle."""
    lasting_s = rounds * 2 * WINDOW_S + count * 0.1 + 1
    started: dict[str, float] = {}
    cuts: list[float] = []
    restored: list[Restored] = []
    with standing(kind, count) as (layout, spec):
        for node in spec.nodes:
            noticing.start(layout, node.name, f"sleep {lasting_s}", "wakes")
            started[node.name] = virtual_s(layout)
        for number in range(rounds):
            time.sleep(1.5 * WINDOW_S)
            restored.append(swapped(layout, spec, ABSENCE_S, number))
            cuts.append(spool_of(layout, number).read().virtual_ns / noticing.NS)
            time.sleep(WINDOW_S / 2)
        time.sleep(max(0.0, started[spec.nodes[-1].name] + lasting_s - virtual_s(layout)))
        seen = {name: noticing.wakes(noticing.written(layout, name, "wakes", lasting_s)) for name in started}
    at = [(started[name] + wake.at_s - wakes[0].at_s, wake) for name, wakes in seen.items() for wake in wakes]
    return [Steps(_worst(at, cut - 1.5 * WINDOW_S), _worst(at, cut - WINDOW_S / 2), one) for cut, one in zip(cuts, restored, strict=True)]


def _worst(wakes: list[tuple[float, Wake]], begin_s: float) -> list[float]:
    """In the stretch that begins then."""
    within = [wake.steps_ms for at_s, wake in wakes if begin_s <= at_s < begin_s + WINDOW_S]
    return [max(clock) for clock in zip(*within, strict=True)]


def ahead_ms(layout: InstanceLayout, node: str) -> list[float]:
    """How far the node's MONOTONIC and REALTIME are ahead of virtual time."""
    virtual = VirtualClock(ClockState.model_validate_json(layout.clock.read_bytes()))
    host_ns, (monotonic_ns, _, real_ns) = noticing.clocks(layout, node)
    return [(each - virtual.at_ns(host_ns)) / 1e6 for each in (monotonic_ns, real_ns)]


def apart(kind: Kind, swaps: int) -> list[list[list[float]]]:
    """Before the first swap and after each: of both nodes what `ahead_ms` says."""
    with standing(kind, 2) as (layout, spec):
        seen = [[ahead_ms(layout, node.name) for node in spec.nodes]]
        for number in range(swaps):
            swapped(layout, spec, 0, number)
            shutil.rmtree(spool_of(layout, number).root)
            seen.append([ahead_ms(layout, node.name) for node in spec.nodes])
    return seen


def step_rows(report: Report, kind: Kind, count: int, rounds: int) -> None:
    found, nodes = steps(kind, count, rounds), f"{count} {NAMES[kind]}"
    for index, clock in enumerate(CLOCKS):
        report.add(Row(f"{nodes}, a swap: worst step of a 10 ms sleep by {clock}", "ms", [one.across[index] for one in found],
                       [one.without[index] for one in found], "no swap"))
    report.add(Row(f"– less that without a swap of the same round, CLOCK_MONOTONIC ({nodes})", "ms",
                   [one.across[0] - one.without[0] for one in found]))
    report.add(Row(f"– the last node was let go later than planned ({nodes})", "ms", [one.restored.late_ns / 1e6 for one in found]))


def apart_rows(report: Report, kind: Kind, swaps: int) -> None:
    seen = apart(kind, swaps)
    for index, clock in enumerate((CLOCKS[0], CLOCKS[2])):
        between = [first[index] - second[index] for first, second in seen]
        report.add(Row(f"2 {NAMES[kind]}, {clock}: skew between the nodes after each of {swaps} swaps, less that before", "ms",
                       [each - between[0] for each in between[1:]]))
        report.add(Row(f"– of that, after the last ({NAMES[kind]}, {clock})", "ms", [between[-1] - between[0]]))
        report.add(Row(f"– node and virtual time apart after the last, less before ({NAMES[kind]}, {clock})", "ms",
                       [last[index] - first[index] for first, last in zip(seen[0], seen[-1], strict=True)]))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true")
    quick = parser.parse_args().quick
    report = Report("swap_clocks", "Nodes' clocks across swaps")
    for kind, count in CASES[:1] if quick else CASES:
        step_rows(report, kind, count, 1 if quick else ROUNDS)
    kinds: tuple[Kind, ...] = ("container",) if quick else ("container", "vm")
    for kind in kinds:
        apart_rows(report, kind, 3 if quick else SWAPS)
    report.notes.append(f"worst: over all nodes, in {WINDOW_S:g} s. Skew: clocks are asked for through the node's init, and the answer "
                        f"that came soonest of {noticing.READINGS} is taken")
    print(report.text()) if quick else report.publish()


if __name__ == "__main__":
    main()
