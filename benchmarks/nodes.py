"""Making and unmaking nodes: the work on the host alone, without command and Prefect, against Mininet's of the same size.

`python -m benchmarks.nodes [--quick]`: quick is a look with few nodes, once, not published. Needs root; `mn`, if it is to be compared.
"""

from __future__ import annotations

import argparse
import gc
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.table import Report, Row
from models.protocol.host import ChangeInstance, Create, InstanceStatus
from models.settings import settings
from models.spec import Lan, Member, Node, Spec
from nodeops.instance import layout_of
from nodeops.reach import read_inits
from nodeops.session import Here, HostSession

MININET = ("mn", "--switch", "lxbr", "--controller", "none", "--test", "none")
SETTLE_S = 120


@dataclass
class Once:
    """One instance made, looked at, and unmade; seconds, and bytes of the whole host per node."""

    create_s: float
    destroy_s: float
    memory_bytes: float
    slab_bytes: float
    init_bytes: float


def one_lan(count: int) -> Spec:
    members = tuple(Member(node=f"n{index}", interface="eth1", mac=f"02:00:00:00:{index >> 8:02x}:{index & 255:02x}",
                           addresses=(f"10.1.{(index + 2) >> 8}.{(index + 2) & 255}/16",)) for index in range(count))
    return Spec(nodes=tuple(Node(name=member.node) for member in members), lans=(Lan(name="lan", kind="lan", members=members),))


@contextmanager
def own_state() -> Iterator[Path]:
    """A state directory of this benchmark's, on the file system where it usually is."""
    directory = Path(tempfile.mkdtemp(prefix="swapbed-benchmark-", dir="/var/lib"))
    os.environ["SWAPBED_STATE_DIR"] = str(directory)
    settings.cache_clear()
    try:
        yield directory
    finally:
        shutil.rmtree(directory)


def measure(count: int) -> Once:
    """Times begin with the agent's start, as a deploy's do, and end when every init and the wires answer."""
    settle()
    spec, before = one_lan(count), meminfo()
    began = time.perf_counter()
    with HostSession(Here()) as session:
        session.do("create", Create(instance="i-benchmark", name="benchmark", spec=spec, daemons=("wires",)), InstanceStatus)
        created = time.perf_counter()
        after = meminfo()
        own = init_bytes()
        began_destroying = time.perf_counter()
        session.call("destroy", ChangeInstance(instance="i-benchmark"))
        destroyed = time.perf_counter()
    return Once(created - began, destroyed - began_destroying, (before["MemAvailable"] - after["MemAvailable"]) / count,
                (after["Slab"] - before["Slab"]) / count, own)


def init_bytes() -> float:
    """Proportional set size of one node's init."""
    identity = read_inits(layout_of("i-benchmark"))["n0"]
    lines = Path(f"/proc/{identity.pid}/smaps_rollup").read_text().splitlines()
    return next(float(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))


def meminfo() -> dict[str, int]:
    gc.collect()
    return {line.split(":")[0]: int(line.split()[1]) * 1024 for line in Path("/proc/meminfo").read_text().splitlines()}


def settle() -> None:
    """The kernel takes namespaces apart in the background: wait until no worker is at it."""
    deadline = time.monotonic() + SETTLE_S
    while time.monotonic() < deadline and any("cleanup_net" in stack for stack in worker_stacks()):
        time.sleep(0.2)


def worker_stacks() -> Iterator[str]:
    for comm in Path("/proc").glob("[0-9]*/comm"):
        try:
            if comm.read_text().startswith("kworker"):
                yield (comm.parent / "stack").read_text()
        except OSError:
            continue


def mininet(count: int) -> float:
    began = time.perf_counter()
    subprocess.run([*MININET, "--topo", f"single,{count}"], check=True, capture_output=True, timeout=300)
    return time.perf_counter() - began


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true")
    quick = parser.parse_args().quick
    report = Report("nodes", "Making and unmaking nodes (work on the host)")
    for count, repetitions in ((10, 1),) if quick else ((100, 5), (1000, 3)):
        with own_state():
            runs = [measure(count) for _ in range(repetitions)]
        peer = [mininet(count) for _ in range(repetitions)] if shutil.which("mn") and count <= 100 else []
        report.add(Row(f"{count} nodes on one LAN, made and unmade", "s", [run.create_s + run.destroy_s for run in runs], peer, "mn, lxbr"))
        report.add(Row(f"– of that, made: agent, nodes, wires, all answering ({count})", "s", [run.create_s for run in runs]))
        report.add(Row(f"– of that, unmade ({count})", "s", [run.destroy_s for run in runs]))
        report.add(Row(f"memory of the host per node ({count})", "KiB", [run.memory_bytes / 1024 for run in runs]))
        report.add(Row(f"– of that, kernel slab ({count})", "KiB", [run.slab_bytes / 1024 for run in runs]))
        report.add(Row(f"– of that, init, its share of pages ({count})", "KiB", [run.init_bytes / 1024 for run in runs]))
    report.notes.append("The kernel takes network namespaces apart in the background after a destroy has returned; runs wait for that.")
    if quick:
        print(report.text())
    else:
        report.publish()


if __name__ == "__main__":
    main()
