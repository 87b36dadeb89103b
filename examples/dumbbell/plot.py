"""Throughput of every flow and the bottleneck's queue over time, from a living instance of this template:

    python examples/dumbbell/plot.py dumbbell-1 dumbbell.png
"""

import json
import sys
from pathlib import Path

from matplotlib.figure import Figure

import swapbed


def throughput(report: dict) -> tuple[list[float], list[float]]:
    """Middles of iperf3's intervals in seconds since the flow began, and Mbit/s in each."""
    sums = [interval["sum"] for interval in report["intervals"]]
    return [(s["start"] + s["end"]) / 2 for s in sums], [s["bits_per_second"] / 1e6 for s in sums]


def queueing(text: str) -> tuple[list[float], list[float]]:
    """Seconds of the probe, and milliseconds that its round trip exceeds the shortest one by."""
    times, trips = zip(*(map(float, line.split()) for line in text.splitlines()), strict=True)
    return list(times), [trip - min(trips) for trip in trips]


def plot(net: swapbed.Instance, picture: Path) -> None:
    """The logs of the last run, as they lie in the nodes."""
    figure = Figure(figsize=(8, 6), layout="constrained")
    rates, queue = figure.subplots(2, sharex=True)
    for node in net:
        if node.name.startswith("left"):
            report = json.loads(node.read("/swapbed/archive/iperf3.json"))
            rates.plot(*throughput(report), label=f"{node.name} → {node.name.replace('left', 'right')}")
    queue.plot(*queueing(net["left1"].read("/swapbed/archive/rtt.txt").decode()), linewidth=0.8, color="black")
    values = {parameter.name: parameter.value for parameter in net.spec.parameters}
    rates.set(title="bottleneck of {BANDWIDTH}, {DELAY}, {DISCIPLINE} queue of {QUEUE}; TCP {CONGESTION}".format(**values),
              ylabel="Mbit/s", ylim=(0, None))
    rates.legend()
    queue.set(xlabel="seconds", ylabel="ms in the bottleneck's queue", ylim=(0, None))
    figure.savefig(picture, dpi=120)


if __name__ == "__main__":
    plot(swapbed.attach(sys.argv[1]), Path(sys.argv[2]))
