"""The pictures of `benchmarks.swap`: where the time of swaps goes, what checkpoints weigh, what a fork saves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

from benchmarks.table import PAGE
from swapbed.living.checkpoint_verbs import KnownCheckpoint

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from benchmarks.swap import Swap

DOCS = PAGE.parent
TIMES, SIZES, FORK = "swap-times.svg", "swap-sizes.svg", "swap-fork.svg"
BAR = 0.6


def draw_all(directory: Path, swaps: Mapping[str, Sequence[Swap]], live: Sequence[KnownCheckpoint], like: Mapping[int, tuple[float, float]],
             forks: tuple[Sequence[float], Sequence[float]]) -> list[str]:
    """Names of the files. live: checkpoints one after the other. like: count → MB stored and in all. forks: seconds, forked and anew."""
    from matplotlib import rc_context

    for name, figure in ((TIMES, lambda: times(swaps)), (SIZES, lambda: sizes(live, like)), (FORK, lambda: fork(*forks))):
        with rc_context({"font.size": 8, "svg.hashsalt": name}):
            figure().savefig(directory / name, metadata={"Date": None})
    return [TIMES, SIZES, FORK]


def times(swaps: Mapping[str, Sequence[Swap]]) -> Figure:
    """A bar for each kind of instance and direction, its parts one after the other; medians."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 2 + 0.5 * len(swaps)), layout="constrained")
    for axes, what, of, floor in zip(figure.subplots(1, 2), ("swapout", "swapin"), (lambda one: one.out, lambda one: one.back_in),
                                     (lambda one: one.copy_s + one.hash_s, lambda one: one.copy_s), strict=True):
        starts = dict.fromkeys(swaps, 0.0)
        of_all = sorted((of(rounds[0]) for rounds in swaps.values()), key=len, reverse=True)  # VMs have one part more
        for part in dict.fromkeys(part for parts in of_all for part in parts):
            lengths = {name: median(of(one).get(part, 0) for one in rounds) / 1e3 for name, rounds in swaps.items()}
            axes.barh(list(swaps), list(lengths.values()), BAR, left=list(starts.values()), label=part)
            starts = {name: start + lengths[name] for name, start in starts.items()}
        axes.plot([median(floor(one) for one in rounds) for rounds in swaps.values()], list(swaps), "k|", markersize=18, markeredgewidth=2,
                  label="floor: cp and BLAKE3 of the same bytes" if what == "swapout" else "floor: cp of the same bytes")
        axes.invert_yaxis()
        axes.set_title(what, loc="left", fontweight="bold")
        axes.set_xlabel("seconds")
        axes.legend(fontsize=7, ncols=2, loc="upper center", bbox_to_anchor=(0.5, -0.18))
    return figure


def sizes(live: Sequence[KnownCheckpoint], like: Mapping[int, tuple[float, float]]) -> Figure:
    """New bytes and pause of checkpoints one after the other; unique bytes of like nodes."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 3), layout="constrained")
    new, pause, unique = figure.subplots(1, 3)
    numbers = range(1, len(live) + 1)
    new.bar(numbers, [one.row.stored_bytes / 1e6 for one in live])
    new.set(title="new bytes of a checkpoint, MB", xlabel="checkpoint")
    pause.plot(numbers, [(one.costs.stood_ns or 0) / 1e6 for one in live], "o-")
    pause.set(title="pause of a live checkpoint, ms", xlabel="checkpoint")
    pause.set_ylim(bottom=0)
    unique.plot(list(like), [both[1] for both in like.values()], "o--", label="all bytes")
    unique.plot(list(like), [both[0] for both in like.values()], "o-", label="new bytes")
    unique.set(title="checkpoint of like nodes, MB", xlabel="nodes", xticks=list(like))
    unique.set_ylim(bottom=0)
    unique.legend()
    return figure


def fork(branched: Sequence[float], new: Sequence[float]) -> Figure:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 1.6), layout="constrained")
    axes = figure.subplots()
    axes.barh(["fork", "deploy and warm up"], [median(branched), median(new)], BAR)
    axes.invert_yaxis()
    axes.set_xlabel("seconds")
    return figure
