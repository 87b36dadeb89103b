"""`swapbed demo`: a real experiment from beginning to end, with a summary at the end of it.

It consists of acts, each a function that does something on the stage and says what came of it. What is added to Swapbed adds an act.
"""

from __future__ import annotations

import itertools
import math
import runpy
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from models.errors import ExperimentFailed, NotFound
from models.states import RUN
from swapbed import record_verbs, replaying
from swapbed.instance import Instance, deploy
from swapbed.living import checkpoint_verbs, events, measurement, results, runs, swapping
from swapbed.present import activity, records, run_rows, summary, topology, units
from swapbed.present.output import print_text
from swapbed.present.progress import Report
from swapbed.record_difference import difference

if TYPE_CHECKING:
    from rich.console import RenderableType

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"
WATCH_S = 0.3
SWAPOUT_AFTER = 0.4  # of the flows' duration
AWAY_S = 3.0


@dataclass
class Stage:
    """directory: for pictures."""

    net: Instance
    report: Report
    directory: Path
    begun_s: float = field(default_factory=time.monotonic)


Act = Callable[[Stage], "Iterator[RenderableType]"]


def what_there_is(stage: Stage) -> Iterator[RenderableType]:
    spec = stage.net.spec
    yield f"{stage.net.name} is up after {units.duration(round(time.monotonic() - stage.begun_s, 2))}: {topology.summary(spec)}"
    yield topology.lans_table(spec)


def what_happens(stage: Stage) -> Iterator[RenderableType]:
    """The run as it goes, until it is over. In the middle of it, it is not there for a while."""
    access, seen, swapout_s = stage.net._access, 0, math.inf
    duration_s = float(next(parameter.value for parameter in stage.net.spec.parameters if parameter.name == "DURATION"))
    yield "what happens, in seconds of the run:"
    while True:
        over = runs.latest(stage.net.id).state in RUN.final
        for line in events.happened(access, since=seen):
            seen = line.number + 1
            yield activity.sentence(line)
            if (line.target, line.verb) == ("flows", "run") and swapout_s == math.inf:
                swapout_s = time.monotonic() + SWAPOUT_AFTER * duration_s
        if over:
            break
        if time.monotonic() >= swapout_s:
            swapout_s = math.nan
            yield from absence(stage)
        stage.report("the run is going on", 0, 0)
        time.sleep(WATCH_S)
    run = runs.latest(stage.net.id)
    yield run_rows.sentence(run_rows.RunShown.model_validate(run))
    if run.outcome != "ok":
        raise ExperimentFailed(f"the demo's run is {run.state}: {run.outcome}, {run.reason}", where=stage.net.name)


def absence(stage: Stage) -> Iterator[RenderableType]:
    begun_s = time.monotonic()
    swapping.swapout(stage.net.name, report=stage.report)
    saved = checkpoint_verbs.find_checkpoint(stage.net.name).row
    assert saved.virtual_ns is not None
    instant = f"[{saved.virtual_ns / 1e9:8.3f}]  "
    yield (f"{instant}  swapout: everything stands still at this instant of its clock and leaves this host, processes, connections, "
           f"frames in flight; {units.size(saved.stored_bytes)} in the store")
    for left_s in range(round(AWAY_S), 0, -1):
        stage.report(f"nothing of {stage.net.name} is on any host, for {left_s} s more", 0, 0)
        time.sleep(1)
    swapping.swapin(stage.net.name, report=stage.report)
    yield f"{instant}  swapin: it goes on there, {units.duration(round(time.monotonic() - begun_s, 1))} later by everybody else's clock"


def what_was_noticed(stage: Stage) -> Iterator[RenderableType]:
    """By a program that asks another one twenty times a second."""
    trips = [tuple(map(float, line.split())) for line in stage.net["left1"].read("/swapbed/archive/rtt.txt").decode().splitlines()]
    pauses_ms = [1000 * (later - sooner) for (sooner, _), (later, _) in itertools.pairwise(trips)]
    yield (f"what its programs noticed of the swap, by their own clocks: of {len(trips)} answers to a probe each 50 ms, two in a row were "
           f"asked for at most {max(pauses_ms):.0f} ms apart, and the slowest took {max(trip for _, trip in trips):.0f} ms")


def what_agents_did(stage: Stage) -> Iterator[RenderableType]:
    yield summary.agents_table(results.invocations(stage.net._access))


def what_links_do(stage: Stage) -> Iterator[RenderableType]:
    """Now that they are idle."""
    measured = []
    for one in measurement.measure(stage.net._access):
        measured.append(one)
        stage.report("measuring links", len(measured), len(stage.net.spec.lans))
    yield summary.measured_table(measured)


def pictures(stage: Stage) -> Iterator[RenderableType]:
    stage.report("drawing", 0, 0)
    plot = runpy.run_path(str(EXAMPLES / "dumbbell" / "plot.py"))
    picture = stage.directory / "dumbbell.png"
    plot["plot"](stage.net, picture)
    yield f"throughput and queue over time: {picture}"


def the_record(stage: Stage) -> Iterator[RenderableType]:
    """What is kept of the run, for ever."""
    stage.report("committing the record", 0, 0)
    known = record_verbs.of_run(runs.latest(stage.net.id).id)
    shown = records.of(known)
    yield (f"kept in the store as {known.row.id}: parameters, template, every event, {units.count(shown.files, 'file')}, "
           f"{units.size(shown.size_bytes)}; its hash is {known.row.root}")


def the_replay(stage: Stage) -> Iterator[RenderableType]:
    """The same experiment again, from nothing but its record, and what came out otherwise."""
    first = record_verbs.of_run(runs.latest(stage.net.id).id)
    again = replaying.replay(first.row.id, report=stage.report)
    found = difference(first.row, again.row)
    yield f"replayed from its record, as {again.instance.name}; `swapbed record diff {first.row.id} {again.row.id}`:"
    yield from records.difference_tables(found.model_copy(update={"files": ()}))
    files = f"{units.count(len(found.files), 'file')} of what programs wrote differ"
    yield f"both were told the same, and the same happened in them; {files}" if found.same else f"not all happened as before; {files}"


ACTS: tuple[Act, ...] = (what_there_is, what_happens, what_was_noticed, what_agents_did, what_links_do, pictures, the_record, the_replay)


def play(report: Report, parameters: dict[str, Any], acts: tuple[Act, ...] = ACTS) -> None:
    """Deploy the dumbbell, play the acts, and destroy it, whatever happens in between."""
    if not EXAMPLES.is_dir():
        raise NotFound("the examples are not installed", where=str(EXAMPLES), next="Run the demo in a checkout of Swapbed: make demo.")
    begun_s = time.monotonic()
    with deploy(EXAMPLES / "dumbbell", report=report, **parameters) as net:
        stage = Stage(net, report, Path(tempfile.mkdtemp(prefix="swapbed-demo-")), begun_s)
        for act in acts:
            for part in act(stage):
                print_text(part)
        report("destroying", 0, 0)
        ended_s = time.monotonic()
    print_text(f"destroyed in {units.duration(round(time.monotonic() - ended_s, 2))}; nothing is left of it on this host")
