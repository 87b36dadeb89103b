"""What programs notice of a swap: a 10 ms sleep loop and a TCP flow, across 30 s of absence, in containers and in virtual machines; beside
no swap at all, CRIU for each container by itself, and kill -STOP.

`python -m benchmarks.swap_transparency [--quick]`: quick is an absence of 1 s, not published. Needs root and a C compiler. Draws
docs/swap-transparency.svg.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from statistics import median, quantiles

from benchmarks import noticing
from benchmarks.absences import FENCE, Absence, nothing, one_by_one, stopped, swapped
from benchmarks.nodes import one_lan, own_state
from benchmarks.noticing import CLOCKS, Kind, Received, Sent, Wake, of_kind
from benchmarks.table import PAGE, Report, Row
from models.protocol.host import ChangeInstance, Create, InstanceStatus
from models.spec import Lan, Shaping, Spec
from nodeops.checkpoint.restore import Restored
from nodeops.instance import layout_of
from nodeops.session import Here, HostSession

PICTURE = PAGE.with_name("swap-transparency.svg")
BEFORE_S, AFTER_S, DELAY_S, BIN_S = 4.0, 6.0, 0.02, 0.1
COLUMNS = ("step of a 10 ms sleep, ms", "throughput at the receiver, Mbit/s", "smoothed round-trip time, ms",
           "congestion window, segments")


@dataclass(frozen=True)
class Case:
    """beside: the name of the run that it is compared with."""

    name: str
    kind: Kind
    absence: Absence
    beside: str


@dataclass
class Seen:
    """asked_s: when the absence was asked for, in seconds since the programs began. twice: segments that the receiver had already.
    restored: of a swap."""

    asked_s: float
    wakes: list[Wake]
    sent: list[Sent]
    received: list[Received]
    twice: int
    restored: Restored | None

    @property
    def gap_s(self) -> float:
        """The longest time without data."""
        return max(after.at_s - before.at_s for before, after in pairwise(self.received))

    @property
    def wrong(self) -> int:
        """Bytes at the end that never came count, too."""
        return self.received[-1].wrong + abs(self.sent[-1].bytes - self.received[-1].bytes)

    @property
    def again(self) -> int:
        """Segments sent again; a counter that began anew counts on."""
        counts = [one.again for one in self.sent]
        return sum(after - before if after >= before else after for before, after in pairwise(counts))

    def steps_ms(self, clock: int = 0) -> list[float]:
        return [wake.steps_ms[clock] for wake in self.wakes]

    def afterwards(self) -> list[Sent]:
        """What was sent when it had been asked for."""
        return [one for one in self.sent if one.at_s - self.sent[0].at_s > self.asked_s]

    def throughput(self) -> tuple[list[float], list[float]]:
        """Seconds since the beginning, and Mbit/s in the BIN_S from there on."""
        begin = self.received[0].at_s
        bins = [0.0] * (int((self.received[-1].at_s - begin) / BIN_S) + 1)
        for before, after in pairwise(self.received):
            bins[int((after.at_s - begin) / BIN_S)] += (after.bytes - before.bytes) * 8 / 1e6 / BIN_S
        return [index * BIN_S for index in range(len(bins) - 1)], bins[:-1]


def two_nodes(kind: Kind) -> Spec:
    spec = one_lan(2)
    half = Shaping(delay_s=DELAY_S / 2)
    members = tuple(member.model_copy(update={"uplink": half, "downlink": half}) for member in spec.lans[0].members)
    return of_kind(spec.model_copy(update={"lans": (Lan.model_validate(spec.lans[0].model_dump() | {"members": members}),)}), kind)


def observe(case: Case, seconds: float) -> Seen:
    """The flow goes from n0 to n1; n0 sleeps. Without a conductor, whose connections to the nodes a bare CRIU would refuse."""
    spec, lasting_s = two_nodes(case.kind), BEFORE_S + AFTER_S + (seconds if case.absence is stopped else 0)
    address = spec.lans[0].members[1].addresses[0].partition("/")[0]
    with own_state(), tempfile.TemporaryDirectory() as scratch, HostSession(Here()) as session:
        datastore = noticing.build(Path(scratch) / "datastore", case.kind)
        session.do("create", Create(instance="i-benchmark", name="benchmark", fence=FENCE, spec=spec, daemons=("wires",),
                                    datastore=str(datastore)), InstanceStatus)
        layout = layout_of("i-benchmark")
        try:
            noticing.start(layout, "n1", "receive", "received")
            noticing.start(layout, "n0", f"send {address} {lasting_s}", "sent")
            noticing.start(layout, "n0", f"sleep {lasting_s}", "wakes")
            begun = time.monotonic()
            time.sleep(BEFORE_S)
            asked_s = time.monotonic() - begun
            restored = case.absence(layout, spec, seconds)
            time.sleep(AFTER_S)
            found = [noticing.written(layout, node, name, 3 * lasting_s) for node, name in
                     (("n0", "wakes"), ("n0", "sent"), ("n1", "received"))]
            twice = noticing.segments_twice(layout, "n1")
        finally:
            session.call("destroy", ChangeInstance(instance="i-benchmark", fence=FENCE + 1))
    return Seen(asked_s, noticing.wakes(found[0]), noticing.sent(found[1]), noticing.received(found[2]), twice, restored)


def cases(seconds: float) -> list[Case]:
    without = {"container": "containers, no swap", "vm": "VMs, no swap"}
    return [Case(without["container"], "container", nothing, without["container"]),
            Case(f"containers, swap of {seconds:g} s", "container", swapped, without["container"]),
            Case(f"containers, CRIU for each alone, {seconds:g} s", "container", one_by_one, without["container"]),
            Case(f"containers, kill -STOP for {seconds:g} s", "container", stopped, without["container"]),
            Case(without["vm"], "vm", nothing, without["vm"]),
            Case(f"VMs, swap of {seconds:g} s", "vm", swapped, without["vm"])]


def rows(report: Report, name: str, one: Seen, calm: Seen) -> None:
    for index, clock in enumerate(CLOCKS):
        report.add(Row(f"{name}: worst step of {clock}", "ms", [max(one.steps_ms(index))], [max(calm.steps_ms(index))], "no swap"))
    report.add(Row(f"{name}: steps of CLOCK_MONOTONIC", "ms", one.steps_ms(), calm.steps_ms(), "no swap"))
    report.add(Row(f"{name}: longest time without data", "ms", [one.gap_s * 1e3], [calm.gap_s * 1e3], "no swap"))
    report.add(Row(f"{name}: segments sent again", "", [one.again]))
    report.add(Row(f"{name}: segments that arrived twice", "", [one.twice]))
    report.add(Row(f"{name}: numbers and bytes lost, doubled or out of order", "", [one.wrong]))
    after = one.afterwards()
    before = one.sent[-len(after) - 1]
    report.add(Row(f"{name}: least congestion window since the absence", "segments", [min(each.window for each in after)], [before.window],
                   "before"))
    report.add(Row(f"{name}: greatest smoothed round-trip time since the absence", "ms", [max(each.round_trip_ms for each in after)],
                   [before.round_trip_ms], "before"))
    hundredths = quantiles(one.steps_ms(), n=100)
    report.notes.append(f"{name}: steps of CLOCK_MONOTONIC, 1st, 10th, 50th, 90th, 99th percentile and the five largest: "
                        + ", ".join(f"{hundredths[part - 1]:.1f}" for part in (1, 10, 50, 90, 99)) + "; "
                        + ", ".join(f"{step:.1f}" for step in sorted(one.steps_ms())[-5:]) + " ms")
    if one.restored is not None:
        report.notes.append(f"{name}: let go {one.restored.late_ns / 1e6:.2f} ms later than planned, at attempt {one.restored.attempts}; "
                            f"restored connections had stood for {one.restored.waited_ns / 1e6:.0f} ms")


def draw(seen: dict[str, Seen], picture: Path) -> None:
    """A line of panels for each case, as wide as a page, alike in scale; dotted: when the absence was asked for."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure
    from matplotlib.ticker import LogLocator, NullFormatter

    with rc_context({"font.size": 8, "svg.hashsalt": picture.name}):
        figure = Figure(figsize=(11, 1.8 * len(seen)), layout="constrained")
        table = figure.subplots(len(seen), len(COLUMNS), sharey="col")
        for line, (name, one) in zip(table, seen.items(), strict=True):
            for axes, (at, values) in zip(line, _curves(one), strict=True):
                axes.plot(at, values, linewidth=1)
                axes.axvline(one.asked_s, color="black", linestyle=":", linewidth=1)
            line[0].lines[0].set(linestyle="none", marker=".", markersize=2, rasterized=True)
            line[0].set_title(name, loc="left", fontweight="bold")
        for column, label in enumerate(COLUMNS):
            table[0][column].annotate(label, (0.5, 1.25), xycoords="axes fraction", ha="center")
            for axes in table[:, column]:
                if column == 1:
                    axes.set_ylim(bottom=0)
                    continue
                axes.set_yscale("log")
                axes.yaxis.set(major_locator=LogLocator(subs=(1, 3)), major_formatter="{x:g}", minor_formatter=NullFormatter())
        figure.supxlabel("seconds of the node's own CLOCK_MONOTONIC; dotted: when the absence was asked for", fontsize=8)
        figure.savefig(picture, dpi=150, metadata={"Date": None} if picture.suffix == ".svg" else None)


def _curves(one: Seen) -> list[tuple[list[float], list[float]]]:
    slept, sent = [wake.at_s - one.wakes[0].at_s for wake in one.wakes], [each.at_s - one.sent[0].at_s for each in one.sent]
    return [(slept, one.steps_ms()), one.throughput(), (sent, [each.round_trip_ms for each in one.sent]),
            (sent, [float(each.window) for each in one.sent])]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true")
    quick = parser.parse_args().quick
    seconds = 1.0 if quick else 30.0
    report = Report("swap_transparency", "What programs notice of a swap")
    seen: dict[str, Seen] = {}
    for case in cases(seconds):
        seen[case.name] = observe(case, seconds)
        rows(report, case.name, seen[case.name], seen[case.beside])
    rate = median(seen["containers, no swap"].throughput()[1])
    report.notes.append(f"Two nodes, {DELAY_S * 1e3:g} ms one way, {rate:.0f} Mbit/s. 'CRIU for each alone' is what `docker checkpoint` "
                        "does: one container after the other, with CRIU's own network lock, while all else goes on.")
    if quick:
        draw(seen, Path(tempfile.gettempdir()) / PICTURE.name)
        print(report.text())
        return
    draw(seen, PICTURE)
    report.notes.append(f"![transparency]({PICTURE.name})")
    report.publish()


if __name__ == "__main__":
    main()
