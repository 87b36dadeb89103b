"""The wires alone: added latency, error of delay and rate, frames per second, bulk TCP; with 1, 10 and 100 links carrying traffic.

`python -m benchmarks.wires [--quick] [--no-page]`, as root, on a machine that does nothing else: about eight minutes. Two namespaces are
joined by as many links as asked; the traffic of all of them together is half of what one link was measured to carry.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from subprocess import Popen
from types import ModuleType

from benchmarks import bulk, flood, one_way
from benchmarks.bare_network import BareNetwork, link
from benchmarks.table import Report, Row
from models.events import Arguments
from models.spec import Queue, Shaping

LINKS = (1, 10, 100)
ROOM = Queue(limit=10_000)
SMALL_PAYLOAD_BYTES, FULL_PAYLOAD_BYTES = 18, 1472  # Ethernet frames of 60 and 1514 bytes
OVERHEAD_BYTES = 42
FLOOD_PER_S = 200_000  # more than the wires carry
FAST = Shaping(bandwidth_bps=10_000_000_000, delay_s=0.0001, queue=ROOM)
OFFERED, BACKLOG_S = 1.5, 0.25  # a sender that pauses must not leave the link idle
PROBES = 300
BYTES, PACKETS = 0, 1
RATES_MBPS = (1, 10, 100, 1000)
COUNTED_MBPS = 100  # above it frames are counted by the interface, not by a Python receiver
UNREAD_SINK = """
import socket, time
sink = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
sink.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
sink.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
sink.bind(("", 9))
print("up", flush=True)
time.sleep(3600)
"""
TIMED_SINK = """
import socket, struct
SO_TIMESTAMPNS = 35
sink = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
for option, value in ((SO_TIMESTAMPNS, 1), (socket.SO_REUSEADDR, 1), (socket.SO_RCVBUF, 1 << 22)):
    sink.setsockopt(socket.SOL_SOCKET, option, value)
sink.bind(("10.9.1.2", 9))
print("up", flush=True)
sink.settimeout(2)
stamps = []
try:
    while True:
        stamps.append(struct.unpack("@ll", sink.recvmsg(2000, 64)[1][0][2]))
except TimeoutError:
    print(len(stamps) - 1, stamps[-1][0] - stamps[0][0] + (stamps[-1][1] - stamps[0][1]) / 1e9)
"""


class Bench:
    """Nodes a and b, links 1 to n between them, all shaped alike; link1 may be shaped anew."""

    def __init__(self, network: BareNetwork, count: int, seconds: float):
        self.network, self.seconds = network, seconds
        self.addresses = [f"10.9.{number}.2" for number in range(1, count + 1)]

    def start(self, node: str, script: ModuleType | str, *arguments: object) -> Popen[bytes]:
        """script: a module of this folder, or source text."""
        what = ["-c", script] if isinstance(script, str) else [str(script.__file__)]
        return self.network.popen(node, sys.executable, *map(str, (*what, *arguments)))

    def shape(self, shaping: Shaping) -> None:
        """Both halves of link1, as they stand here."""
        with self.network.client() as wires:
            for direction in ("uplink", "downlink"):
                wires.change("link1", Arguments(direction=direction, bandwidth_bps=shaping.bandwidth_bps, delay_s=shaping.delay_s,
                                                queue_limit=shaping.queue.limit))

    def drain(self) -> None:
        """What earlier traffic left in link1's queues is gone afterwards."""
        self.shape(FAST)
        before = -1
        while (now := self.received(PACKETS, 0.2, "link1:")[0]) or before:
            before = now

    def frames_per_s(self, rate: float, addresses: Sequence[str]) -> float:
        """Small frames that b's interfaces get while a sends at that rate."""
        sender = self.start("a", flood, rate, self.seconds + 1, SMALL_PAYLOAD_BYTES, *addresses)
        time.sleep(0.5)
        packets, seconds = self.received(PACKETS, self.seconds)
        finish(sender)
        return packets / seconds

    def received(self, field: int, seconds: float, interface: str = "link") -> tuple[int, float]:
        """(growth, seconds) of a receive counter of b, summed over the interfaces whose names begin so. field: BYTES or PACKETS."""
        before, begin = self._counters(field, interface), time.monotonic()
        time.sleep(seconds)
        return self._counters(field, interface) - before, time.monotonic() - begin

    def _counters(self, field: int, interface: str) -> int:
        lines = Path(f"/proc/{self.network.nodes['b'].pid}/net/dev").read_text().splitlines()[2:]
        return sum(int(line.split(":")[1].split()[field]) for line in lines if line.strip().startswith(interface))

    def one_way_ns(self, address: str, count: int, interval_s: float) -> list[int]:
        receiver = self.start("b", one_way, "receive", count)
        up(receiver)
        finish(self.start("a", one_way, "send", address, count, interval_s))
        return sorted(map(int, finish(receiver).split()))

    def bulk_bps(self, rate_bps: float) -> float:
        receiver = self.start("b", bulk, "receive", len(self.addresses))
        up(receiver)
        finish(self.start("a", bulk, "send", rate_bps, self.seconds, *self.addresses))
        total, seconds = finish(receiver).split()
        return int(total) * 8 / float(seconds)

    def rate_bps(self, asked_bps: float) -> float:
        """What comes out of link1 when more than it carries goes in."""
        frame_bits = (FULL_PAYLOAD_BYTES + OVERHEAD_BYTES) * 8
        offered = (OFFERED * asked_bps / frame_bits, self.seconds + 1, FULL_PAYLOAD_BYTES, self.addresses[0])
        if asked_bps > COUNTED_MBPS * 10**6:
            sender = self.start("a", flood, *offered)
            time.sleep(0.5)
            size, elapsed = self.received(BYTES, self.seconds, "link1:")
            finish(sender)
            return size * 8 / elapsed
        sink = self.start("b", TIMED_SINK)
        up(sink)
        finish(self.start("a", flood, *offered))
        frames, seconds = finish(sink).split()
        return int(frames) * frame_bits / float(seconds)

    @contextmanager
    def background(self, frames_per_s: float) -> Iterator[None]:
        """Small frames on all links but, where there are others, the first."""
        if frames_per_s <= 0:
            yield
            return
        sender = self.start("a", flood, frames_per_s, 3600, SMALL_PAYLOAD_BYTES, *(self.addresses[1:] or self.addresses))
        time.sleep(0.5)
        try:
            yield
        finally:
            sender.kill()
            sender.communicate()


def up(process: Popen[bytes]) -> None:
    assert process.stdout
    if process.stdout.readline() != b"up\n":
        raise RuntimeError(process.communicate()[1].decode())


def finish(process: Popen[bytes]) -> str:
    out, errors = process.communicate(timeout=120)
    if process.returncode:
        raise RuntimeError(errors.decode())
    return out.decode()


@contextmanager
def bench(count: int, shaping: Shaping, seconds: float) -> Iterator[Bench]:
    root = Path(tempfile.mkdtemp(prefix="wires-benchmark-", dir="/var/tmp"))
    try:
        with BareNetwork(root / "instance", [link(number, "a", "b", shaping, shaping) for number in range(1, count + 1)]) as network:
            made = Bench(network, count, seconds)
            sink = made.start("b", UNREAD_SINK)
            up(sink)
            try:
                yield made
            finally:
                sink.kill()
                sink.communicate()
    finally:
        shutil.rmtree(root)


def add_veth(network: BareNetwork) -> str:
    """What the kernel's own wire between the same two namespaces takes."""
    a, b = (network.nodes[name].pid for name in "ab")
    subprocess.run(["ip", "link", "add", "veth", "netns", str(a), "type", "veth", "peer", "name", "veth", "netns", str(b)], check=True)
    for node, address in (("a", "10.8.0.1/24"), ("b", "10.8.0.2/24")):
        for command in (f"ip addr add {address} dev veth", "ip link set veth up"):
            assert network.run(node, *command.split()).returncode == 0
    assert network.run("a", "ping", "-c", "1", "-W", "5", "10.8.0.2").returncode == 0
    return "10.8.0.2"


def at(values: Sequence[int], fraction: float) -> int:
    return values[min(len(values) - 1, int(fraction * len(values)))]


def repeated(times: int, measure: Callable[[], float]) -> list[float]:
    return [measure() for _ in range(times)]


def measure_one_link(report: Report, times: int, seconds: float) -> tuple[float, float]:
    """What one link carries: frames per second and bits per second; and its latency beside a veth pair's."""
    with bench(1, Shaping(), seconds) as unshaped:
        address = add_veth(unshaped.network)
        through, beside = ([at(unshaped.one_way_ns(to, 500, 0.001), 0.5) / 1e3 for _ in range(times)] for to in ("10.9.1.2", address))
        report.add(Row("one-way latency, unshaped link, p50", "µs", through, beside, "veth pair"))
        frames = repeated(times, lambda: unshaped.frames_per_s(FLOOD_PER_S, unshaped.addresses))
        report.add(Row("small frames, unshaped link", "frames/s", frames))
        report.add(Row("bulk TCP, unshaped link", "Gbit/s", repeated(times, lambda: unshaped.bulk_bps(0) / 1e9)))
    with bench(1, FAST, seconds) as shaped:
        frames = repeated(times, lambda: shaped.frames_per_s(FLOOD_PER_S, shaped.addresses))
        report.add(Row("small frames, shaped link", "frames/s", frames, [80_000], "asked for"))
        bits = repeated(times, lambda: shaped.bulk_bps(0))
        report.add(Row("bulk TCP, shaped link", "Gbit/s", [value / 1e9 for value in bits], [5], "asked for"))
    return sorted(frames)[len(frames) // 2], sorted(bits)[len(bits) // 2]


def measure_links(report: Report, count: int, times: int, seconds: float, capacity: tuple[float, float]) -> None:
    """Errors of link1 while all links together carry half of what one can, and, for one link, while nothing else runs."""
    half_frames, half_bps = capacity[0] / 2, capacity[1] / 2
    loads = [("nothing else", 0.0), ("half load", half_frames)] if count == 1 else [("half load", half_frames)]
    with bench(count, FAST, seconds) as made:
        label = f"{count} link{'s' * (count > 1)}"
        delivered = repeated(times, lambda: made.frames_per_s(half_frames, made.addresses))
        report.add(Row(f"{label}, half load: small frames delivered", "frames/s", delivered, [half_frames], "sent"))
        bulk_gbps = repeated(times, lambda: made.bulk_bps(half_bps) / 1e9)
        report.add(Row(f"{label}, half load: bulk TCP", "Gbit/s", bulk_gbps, [half_bps / 1e9], "paced"))
        for load, frames_per_s in loads:
            for delay_ms in (10, 100):
                measure_delay(report, made, f"{label}, {load}: error of {delay_ms} ms delay", times, delay_ms, frames_per_s)
        measure_rates(report, made, label, times, half_frames)


def measure_delay(report: Report, made: Bench, what: str, times: int, delay_ms: int, background_per_s: float) -> None:
    made.shape(Shaping(delay_s=delay_ms / 2000, queue=ROOM))
    with made.background(background_per_s):
        runs = [made.one_way_ns(made.addresses[0], PROBES, 0.002) for _ in range(times)]
    errors = [sorted(abs(delay - delay_ms * 10**6) for delay in run) for run in runs]
    report.add(Row(f"{what}, p50", "µs", [at(run, 0.5) / 1e3 for run in errors]))
    report.add(Row(f"{what}, p99", "µs", [at(run, 0.99) / 1e3 for run in errors], [500], "limit"))


def measure_rates(report: Report, made: Bench, label: str, times: int, half_frames: float) -> None:
    for mbps in RATES_MBPS:
        frames_per_s = mbps * 10**6 / (FULL_PAYLOAD_BYTES + OVERHEAD_BYTES) / 8
        made.drain()
        made.shape(Shaping(bandwidth_bps=mbps * 10**6, queue=Queue(limit=max(50, int(BACKLOG_S * frames_per_s)))))
        with made.background(half_frames - frames_per_s if len(made.addresses) > 1 else 0):
            rates = [made.rate_bps(mbps * 1e6) for _ in range(times)]
        report.add(Row(f"{label}: error of {mbps} Mbit/s", "%", [100 * abs(rate / mbps / 1e6 - 1) for rate in rates]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one short repetition of each, 1 and 10 links: whether it works")
    parser.add_argument("--no-page", action="store_true", help="leave docs/benchmarks.md alone")
    options = parser.parse_args()
    times, seconds, links = (1, 0.5, LINKS[:2]) if options.quick else (5, 2.0, LINKS)
    report = Report("wires", "The wires", notes=NOTES)
    capacity = measure_one_link(report, times, seconds)
    for count in links:
        measure_links(report, count, times, seconds, capacity)
    if options.no_page:
        print(report.text())
    else:
        report.publish()


NOTES = [
    "A shaped link has 10 Gbit/s and 0.1 ms in each of its four pipes; a frame passes two of them. Small frames are of 60 bytes.",
    "Delays are one-way, from before the sender's system call to the receiving kernel's time stamp, of one probe every 2 ms.",
    "Rates are those of 1514-byte frames offered at 1.5 times the rate, with a queue of a quarter of a second.",
    "A frame costs two system calls and, shaped, about 1.5 µs of Python of one process, whatever the number of links. The next factor "
    "of two would come from moving frames in batches (AF_XDP or packet rings on veth pairs in place of a read and a write per frame of a "
    "TAP) or from a second process for half of the LANs; that loop in C would gain less.",
]

if __name__ == "__main__":
    main()
