"""Throughput of every flow and the bottleneck's queue over time, from a living instance of this template:

    python examples/dumbbell/plot.py dumbbell-1 dumbbell.png
"""

import json
import re
import sys

import matplotlib

import swapbed

matplotlib.use("Agg")
from matplotlib import pyplot  # noqa: E402  (the backend is chosen first)

PROBE = re.compile(r"^\[(?P<time>[\d.]+)\] .* time=(?P<rtt>[\d.]+) ms", re.MULTILINE)


def throughput(report: dict) -> tuple[list[float], list[float]]:
    """Middles of iperf3's intervals in seconds since the flow began, and Mbit/s in each."""
    sums = [interval["sum"] for interval in report["intervals"]]
    return [(s["start"] + s["end"]) / 2 for s in sums], [s["bits_per_second"] / 1e6 for s in sums]


def queueing(text: str) -> tuple[list[float], list[float]]:
    """Seconds since the first probe, and milliseconds that its round trip exceeds the shortest one by."""
    probes = [(float(m["time"]), float(m["rtt"])) for m in PROBE.finditer(text)]
    least = min(rtt for _, rtt in probes)
    return [time - probes[0][0] for time, _ in probes], [rtt - least for _, rtt in probes]


def main(instance: str, picture: str) -> None:
    net = swapbed.attach(instance)
    figure, (rates, queue) = pyplot.subplots(2, sharex=True, figsize=(8, 6), layout="constrained")
    for name in ("left1", "left2"):
        report = json.loads(net[name].read("/swapbed/archive/iperf3.json"))
        rates.plot(*throughput(report), label=f"{name} → {name.replace('left', 'right')}")
    queue.plot(*queueing(net["left1"].read("/swapbed/archive/rtt.txt").decode()), linewidth=0.8, color="black")
    rates.set(title=f"{instance}: {', '.join(f'{p.name} {p.value}' for p in net.spec.parameters)}", ylabel="Mbit/s", ylim=(0, None))
    rates.legend()
    queue.set(xlabel="seconds", ylabel="ms in the bottleneck's queue", ylim=(0, None))
    figure.savefig(picture, dpi=120)
    print(picture)


if __name__ == "__main__":
    main(*sys.argv[1:])
