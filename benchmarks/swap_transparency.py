"""What programs notice of a swap: a 10 ms sleep loop and a TCP flow, across 30 s of absence; beside no swap at all, and kill -STOP.

`python -m benchmarks.swap_transparency [--quick]`: quick is an absence of 1 s, not published. Needs root. Draws
docs/swap-transparency.svg.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from benchmarks.nodes import one_lan, own_state
from benchmarks.table import PAGE, Report, Row
from models.protocol.checkpoint import Life
from models.protocol.host import ChangeInstance, Create, InstanceStatus
from models.spec import Lan, Shaping, Spec
from nodeops import cgroups
from nodeops.checkpoint.capture import capture
from nodeops.checkpoint.restore import restore
from nodeops.checkpoint.spool import Spool
from nodeops.destroy import destroy
from nodeops.init.client import InitClient
from nodeops.instance import holding, layout_of
from nodeops.layout import InstanceLayout
from nodeops.reach import init_socket, read_inits
from nodeops.session import Here, HostSession

PICTURE = PAGE.with_name("swap-transparency.svg")
BEFORE_S, AFTER_S, DELAY_S = 4.0, 6.0, 0.02
SLEEPER = """
import json, os, time
last = begin = time.monotonic(); steps = []
while last - begin < {seconds}:
    time.sleep(.01); now = time.monotonic(); steps.append((now - begin, now - last)); last = now
json.dump(steps, open('/steps.new', 'w')); os.rename('/steps.new', '/steps')
"""
SENDER = """
import json, os, socket, struct, time
while True:
    try: peer = socket.create_connection(('n1', 5000)); break
    except OSError: time.sleep(.02)
begin = time.monotonic(); number = 0; samples = []
while time.monotonic() - begin < {seconds}:
    peer.sendall(struct.pack('<500Q', *range(number, number + 500))); number += 500; time.sleep(.004)
    info = struct.unpack('8B24I', peer.getsockopt(6, 11, 104))
    samples.append((time.monotonic() - begin, number * 8, info[23] / 1e3, info[26], info[31]))
peer.shutdown(socket.SHUT_WR); peer.recv(1)
json.dump(samples, open('/samples.new', 'w')); os.rename('/samples.new', '/samples')
"""
RECEIVER = """
import json, os, socket, struct, time
listener = socket.create_server(('', 5000)); peer, _ = listener.accept()
expected, wrong, rest, last, gap = 0, 0, b'', time.monotonic(), 0
while data := peer.recv(65536):
    now = time.monotonic(); gap = max(gap, now - last); last = now
    rest += data; whole = len(rest) // 8 * 8
    for (value,) in struct.iter_unpack('<Q', rest[:whole]):
        wrong += value != expected; expected = value + 1
    rest = rest[whole:]
json.dump({{'gap_s': gap, 'wrong': wrong}}, open('/received.new', 'w')); os.rename('/received.new', '/received')
"""
Absence = Callable[[InstanceLayout, Spec, float], None]


@dataclass
class Seen:
    """steps: (node's clock, step) in s. samples: (node's clock in s, bytes, rtt in ms, cwnd, retransmissions so far)."""

    steps: list[tuple[float, float]]
    samples: list[tuple[float, int, float, int, int]]
    gap_s: float
    wrong: int

    @property
    def retransmitted(self) -> int:
        """A counter that began anew counts on."""
        counts = [sample[4] for sample in self.samples]
        return sum(max(0, after - before) if after >= before else after for before, after in zip(counts, counts[1:], strict=False))


def nothing(layout: InstanceLayout, spec: Spec, seconds: float) -> None:
    """The run that the others are compared with."""


def swapped(layout: InstanceLayout, spec: Spec, seconds: float) -> None:
    spool = Spool(layout.root.parent.parent / "spool" / "c-1")
    with holding(layout, 1):
        capture(layout, spool, Life(incarnation="benchmark", epoch=0), _quiet)
    destroy(layout, 1)
    time.sleep(seconds)
    restore(spool, Create(instance=layout.root.name, name="benchmark", fence=1, spec=spec), _quiet)


def stopped(layout: InstanceLayout, spec: Spec, seconds: float) -> None:
    """What people do who have nothing else: every process but the inits."""
    inits = {identity.pid for identity in read_inits(layout).values()}
    procs = [cgroups.node_cgroup(layout.root.name, node.name) / "cgroup.procs" for node in spec.nodes]
    pids = [pid for path in procs for pid in map(int, path.read_text().split()) if pid not in inits]
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    time.sleep(seconds)
    for pid in pids:
        os.kill(pid, signal.SIGCONT)


def _quiet(_text: str, _done: int, _total: int) -> None:
    pass


def two_nodes() -> Spec:
    spec = one_lan(2)
    half = Shaping(delay_s=DELAY_S / 2)
    members = tuple(member.model_copy(update={"uplink": half, "downlink": half}) for member in spec.lans[0].members)
    return spec.model_copy(update={"lans": (Lan.model_validate(spec.lans[0].model_dump() | {"members": members}),)})


def start(layout: InstanceLayout, node: str, name: str, program: str) -> None:
    with init_socket(layout.node(node)) as path, InitClient(path) as client:
        client.run(f"trap '' HUP; cat > /{name}.py; python3 -S /{name}.py > /{name}.out 2>&1 < /dev/null &", stdin=program.encode())


def observe(absence: Absence, seconds: float) -> Seen:
    spec, lasting_s = two_nodes(), BEFORE_S + AFTER_S
    with own_state(), HostSession(Here()) as session:
        session.do("create", Create(instance="i-benchmark", name="benchmark", fence=1, spec=spec), InstanceStatus)
        layout = layout_of("i-benchmark")
        try:
            start(layout, "n1", "receiver", RECEIVER.format())
            start(layout, "n0", "sender", SENDER.format(seconds=lasting_s))
            start(layout, "n0", "sleeper", SLEEPER.format(seconds=lasting_s))
            time.sleep(BEFORE_S)
            absence(layout, spec, seconds)
            sender, receiver = layout.node("n0").upper, layout.node("n1").upper
            found = [_awaited(path, 3 * lasting_s) for path in (sender / "steps", sender / "samples", receiver / "received")]
        finally:
            session.call("destroy", ChangeInstance(instance="i-benchmark", fence=2))
    return Seen(found[0], found[1], found[2]["gap_s"], found[2]["wrong"])


def _awaited(path: Path, patience_s: float) -> list | dict:
    deadline = time.monotonic() + patience_s
    while not path.exists():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{path} was not written")
        time.sleep(0.05)
    return json.loads(path.read_text())


def draw(seen: dict[str, Seen], picture: Path) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4 * len(seen), 8), layout="constrained")
    axes = figure.subplots(3, len(seen), sharex="col", sharey="row", squeeze=False)
    for column, (name, one) in enumerate(seen.items()):
        at = [sample[0] for sample in one.samples]
        axes[0][column].plot([step[0] for step in one.steps], [step[1] * 1e3 for step in one.steps], ".", markersize=2)
        axes[1][column].plot(at, [sample[2] for sample in one.samples])
        axes[2][column].plot(at, [sample[3] for sample in one.samples])
        axes[0][column].set_title(name)
        axes[0][column].set_yscale("log")
        axes[2][column].set_xlabel("node's CLOCK_MONOTONIC, s")
    for row, label in enumerate(("step of a 10 ms sleep, ms", "TCP's smoothed round-trip time, ms", "congestion window, segments")):
        axes[row][0].set_ylabel(label)
    figure.savefig(picture, metadata={"Date": None})


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true")
    quick = parser.parse_args().quick
    seconds = 1.0 if quick else 30.0
    cases: dict[str, Absence] = {"no swap": nothing, f"swap of {seconds:g} s": swapped, f"kill -STOP for {seconds:g} s": stopped}
    seen = {name: observe(absence, seconds) for name, absence in cases.items()}
    report = Report("swap_transparency", "What programs notice of a swap (containers)")
    calm = [step[1] * 1e3 for step in seen["no swap"].steps]
    for name, one in seen.items():
        steps = [step[1] * 1e3 for step in one.steps]
        report.add(Row(f"{name}: worst step of a 10 ms sleep", "ms", [max(steps)], [max(calm)], "no swap"))
        report.add(Row(f"{name}: steps", "ms", steps, calm, "no swap"))
        report.add(Row(f"{name}: longest time without data, by the receiver's clock", "ms", [one.gap_s * 1e3]))
        report.add(Row(f"{name}: segments sent again", "", [one.retransmitted]))
        report.add(Row(f"{name}: numbers lost, doubled or out of order", "", [one.wrong]))
    if quick:
        print(report.text())
        return
    draw(seen, PICTURE)
    report.notes.append(f"![transparency]({PICTURE.name})")
    report.publish()


if __name__ == "__main__":
    main()
