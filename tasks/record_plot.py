"""A record as a picture: what its links carried, delayed and dropped, when its programs ran, and the values they reported."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from models.errors import NotFound
from models.protocol.runs import LinkOfRun, Links
from models.recorded import Agents, Recorded, RecordedEvent
from models.tables import Record
from tasks.record_trees import tree_of
from tasks.trace_reading import Way, frames_of, ways

if TYPE_CHECKING:
    from matplotlib.axes import Axes

FORMS = ("png", "svg", "pdf")
ROWS_LIMIT = 24  # more than this nobody reads
TRACE_LIMIT_BYTES = 256 << 20
CAUSES = {"dropped_queue": "queue full", "dropped_red": "RED", "dropped_loss": "loss", "dropped_down": "link down"}
Panel = tuple[str, int, Callable[["Axes"], None]]
"""Its title, how many rows are in it, and what draws it."""


@dataclass
class Seen:
    """What of a record can be drawn. traced: what each end of a traced link sent. programs: agent, first and last second of the run."""

    title: str
    lasted_s: float
    links: list[LinkOfRun] = field(default_factory=list)
    traced: list[Way] = field(default_factory=list)
    programs: list[tuple[str, float, float]] = field(default_factory=list)
    results: dict[str, float] = field(default_factory=dict)


def plot(record: Record, form: str = "png", dpi: int = 110) -> bytes:
    """form: one of FORMS. Raises NotFound where nothing in it can be drawn, or while it is not committed."""
    from matplotlib.figure import Figure

    seen = look(record)
    panels = list(_panels(seen))
    if not panels:
        raise NotFound("there is nothing in this record to draw: no traffic, no program that ended, no value that is a number",
                       where=record.id)
    heights = [max(1.6, 0.6 + 0.24 * rows) for _, rows, _ in panels]
    figure = Figure(figsize=(9, 0.6 + sum(heights)), layout="constrained")
    every = figure.subplots(len(panels), squeeze=False, height_ratios=heights)
    for (title, _, draw), axes in zip(panels, every[:, 0], strict=True):
        draw(axes)
        axes.set_title(title, fontsize=9, loc="left")
        axes.tick_params(labelsize=8)
        axes.grid(alpha=0.3)
    figure.suptitle(seen.title, fontsize=10)
    out = io.BytesIO()
    metadata = {"png": {"Software": None}, "svg": {"Date": None}, "pdf": {"CreationDate": None}}[form]
    figure.savefig(out, format=form, dpi=dpi, metadata=metadata)
    return out.getvalue()


def look(record: Record) -> Seen:
    store, root = tree_of(record)
    with store.read_tree(root) as tree:
        listing = {file.path: file.size_bytes for file in tree.walk()}

        def content(path: str) -> bytes:
            return b"".join(tree.read(path)) if path in listing else b""

        said = Recorded.model_validate_json(content("record.json"))
        begin_ns = said.begin_ns or 0
        lasted_s = ((said.end_ns or begin_ns) - begin_ns) / 1e9
        values = " ".join(f"{name}={value}" for name, value in said.parameters.items())
        seen = Seen(f"run {said.run} of {said.instance}: {said.outcome}" + (f"\n{values[:110]}" if values else ""), lasted_s)
        for path in listing:
            if path == "links.json" or (path.startswith("hosts/") and path.endswith("/links.json")):
                seen.links += Links.model_validate_json(content(path)).links
            elif "traces/" in path and path.endswith(".pcapng") and 0 < listing[path] <= TRACE_LIMIT_BYTES:
                seen.traced += ways(frames_of(content(path)))
        agents = Agents.model_validate_json(content("agents.json") or b"{}")
        events = [RecordedEvent.model_validate_json(line) for line in content("events.jsonl").splitlines()]
    seen.programs = [(event.target, (event.detail["start_ns"] - begin_ns) / 1e9, (event.detail["end_ns"] - begin_ns) / 1e9)
                     for event in events if event.kind == "exited" and {"start_ns", "end_ns"} <= event.detail.keys()]
    seen.results = dict(_numbers(agents.results()))
    return seen


def _numbers(results: dict[str, str]) -> Iterable[tuple[str, float]]:
    for name, value in results.items():
        try:
            number = float(value)
        except ValueError:
            continue
        if abs(number) < float("inf"):
            yield name, number


def _panels(seen: Seen) -> Iterable[Panel]:
    traced = {f"from {way.place}": way for way in seen.traced}
    if traced:
        yield "throughput of traced links", 8, lambda axes: _over_time(axes, {
            label: (way.seconds, [rate / 1e6 for rate in way.rates_bps]) for label, way in traced.items()}, "Mbit/s")
    if any(way.delays for way in traced.values()):
        yield "time in traced links: delay, and waiting in queues", 8, lambda axes: _over_time(axes, {
            label: ([at for at, _ in way.delays], [delay * 1000 for _, delay in way.delays])
            for label, way in traced.items() if way.delays}, "ms")
    busy = sorted((link for link in seen.links if link.out_frames), key=lambda link: -link.out_bytes)[:ROWS_LIMIT]
    if busy and seen.lasted_s > 0:
        yield ("links: mean throughput over the run; | what was asked for, × achieved while full", len(busy),
               lambda axes: _rates(axes, busy, seen.lasted_s))
    losing = sorted((link for link in seen.links if _dropped(link)), key=lambda link: -_dropped(link))[:ROWS_LIMIT]
    if losing:
        yield "frames dropped", len(losing), lambda axes: _drops(axes, losing)
    if seen.programs:
        rows = list(dict.fromkeys(name for name, _, _ in seen.programs))[:ROWS_LIMIT]
        yield "programs", len(rows), lambda axes: _programs(axes, rows, seen.programs)
    if seen.results:
        yield "values that programs reported", min(len(seen.results), ROWS_LIMIT), lambda axes: _results(axes, seen.results)


def _over_time(axes: Axes, lines: dict[str, tuple[list[float], list[float]]], unit: str) -> None:
    for label, (seconds, values) in list(lines.items())[:ROWS_LIMIT]:
        axes.plot(seconds, values, linewidth=0.9, label=label)
    axes.set(xlabel="seconds of the run", ylabel=unit, ylim=(0, None))
    axes.legend(fontsize=7)


def _rates(axes: Axes, links: list[LinkOfRun], lasted_s: float) -> None:
    places = range(len(links))
    axes.barh(places, [link.out_bytes * 8 / lasted_s / 1e6 for link in links], color="#8fb3d9")
    for marker, values in (("|", [link.requested.bandwidth_bps for link in links]), ("x", [link.achieved_bps for link in links])):
        points = [(value / 1e6, place) for value, place in zip(values, places, strict=True) if value]
        axes.scatter([x for x, _ in points], [y for _, y in points], marker=marker, color="#1f2a37", zorder=3)
    _rows(axes, [_name(link) for link in links])
    axes.set_xlabel("Mbit/s")


def _drops(axes: Axes, links: list[LinkOfRun]) -> None:
    before = [0] * len(links)
    for cause, label in CAUSES.items():
        counts = [getattr(link, cause) for link in links]
        if any(counts):
            axes.barh(range(len(links)), counts, left=before, label=label)
            before = [a + b for a, b in zip(before, counts, strict=True)]
    _rows(axes, [_name(link) for link in links])
    axes.set_xlabel("frames")
    axes.legend(fontsize=7)


def _programs(axes: Axes, rows: list[str], programs: list[tuple[str, float, float]]) -> None:
    for name, begun_s, ended_s in programs:
        if name in rows:
            axes.barh(rows.index(name), ended_s - begun_s, left=begun_s, color="#b9d3b0", edgecolor="#4b6b42")
    _rows(axes, rows)
    axes.set_xlabel("seconds of the run")


def _results(axes: Axes, results: dict[str, float]) -> None:
    """Their units differ, so the axis is logarithmic, and each says its value."""
    shown: list[tuple[str, Any]] = list(results.items())[:ROWS_LIMIT]
    axes.barh(range(len(shown)), [value for _, value in shown], color="#e3c48f")
    axes.set_xscale("symlog")
    _rows(axes, [f"{name} = {value:g}" for name, value in shown])


def _rows(axes: Axes, labels: list[str]) -> None:
    axes.set_yticks(range(len(labels)), labels)
    axes.invert_yaxis()


def _name(link: LinkOfRun) -> str:
    return f"{link.lan}: {link.node} {link.direction}"


def _dropped(link: LinkOfRun) -> int:
    return sum(getattr(link, cause) for cause in CAUSES)
