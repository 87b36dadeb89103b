"""Leaving the hosts and coming back: 2, 10 and 50 containers, where the time goes, and what further checkpoints and forks cost.

`python -m benchmarks.swap [--quick]`: quick is two nodes, once, not published. Needs root. The floor is copying the checkpoint's files
with `cp -a`, and hashing them with BLAKE3 on one core.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from blake3 import blake3

from benchmarks.nodes import one_lan, own_state
from benchmarks.table import Report, Row
from models.database import engine
from models.spec import ProgramAgent, Spec, TimedEvent
from models.tables.columns import now
from storage.store import Store
from swapbed.instance import Instance, deploy, fork
from swapbed.living import checkpoint_verbs
from swapbed.living.checkpoint_verbs import KnownCheckpoint
from swapbed.serving import server

COUNTS, ROUNDS, CHECKPOINTS = (2, 10, 50), 5, 10
ALIKE = (1, 2, 4, 8, 16)
HEAP_BYTES = 8_000_000
PROGRAM = f"""exec python3 -S -c '
import os, random, time
half = {HEAP_BYTES // 2}; x = bytearray(os.urandom(half) + random.Random(1).randbytes(half)); open("/held", "w").close()
while True: x[0] = (x[0] + 1) % 256; time.sleep(.01)'"""
WARM_UP_S, WARM_NODES = 20, 10


@dataclass
class Swap:
    """Seconds: from the call of swapout until durable, and until hosts were free; from the call of swapin until it went on; the floor's."""

    durable_s: float
    free_s: float
    running_s: float
    copy_s: float
    hash_s: float
    checkpoint: KnownCheckpoint


def holding(count: int) -> Spec:
    """Nodes that hold some memory, half of it alike in all of them, and touch a page of it a hundred times a second."""
    spec = one_lan(count)
    agents = tuple(ProgramAgent(name=f"hold{index}", node=node.name, command=PROGRAM) for index, node in enumerate(spec.nodes))
    return Spec.model_validate(spec.model_dump() | {
        "agents": agents, "events": tuple(TimedEvent(target=agent.name, verb="start") for agent in agents)})


@contextmanager
def living(spec: Spec) -> Iterator[Instance]:
    with deploy(spec) as net:
        for node in net.nodes:
            while node.run("test -e /held").exit_code:
                time.sleep(0.05)
        yield net


def swap(net: Instance, directory: Path) -> Swap:
    asked, begun = now(), time.monotonic()
    net.swapout()
    free_s = time.monotonic() - begun
    made = checkpoint_verbs.find_checkpoint(net.name)
    assert made.row.durable_at
    copy_s, hash_s = floor(made, directory)
    begun = time.monotonic()
    net.swapin()
    return Swap((made.row.durable_at - asked).total_seconds(), free_s, time.monotonic() - begun, copy_s, hash_s, made)


def floor(made: KnownCheckpoint, directory: Path) -> tuple[float, float]:
    """Seconds to copy the same files, and to hash them."""
    Store.of().restore_tree(made.tree, directory / "one")
    begun = time.perf_counter()
    subprocess.run(["cp", "-a", directory / "one", directory / "two"], check=True)
    copied = time.perf_counter()
    for file in (directory / "one").rglob("*"):
        if file.is_file() and not file.is_symlink():
            blake3(file.read_bytes()).digest()
    hashed = time.perf_counter()
    for name in ("one", "two"):
        shutil.rmtree(directory / name)
    return copied - begun, hashed - copied


def swaps(report: Report, count: int, rounds: int, directory: Path) -> None:
    with living(holding(count)) as net:
        done = [swap(net, directory) for _ in range(rounds)]
    copies, hashes = [one.copy_s for one in done], [one.hash_s for one in done]
    report.add(Row(f"{count} containers: swapout until durable", "s", [one.durable_s for one in done], hashes, "BLAKE3 of the same bytes"))
    report.add(Row(f"{count} containers: swapout until hosts are free", "s", [one.free_s for one in done], copies, "cp of the same bytes"))
    for step in done[0].checkpoint.costs.steps_ns:
        report.add(Row(f"– of that: {step} ({count})", "ms", [one.checkpoint.costs.steps_ns[step] / 1e6 for one in done]))
    report.add(Row(f"{count} containers: swapin until running", "s", [one.running_s for one in done], copies, "cp of the same bytes"))
    report.add(Row(f"{count} containers: size of the checkpoint", "MB", [one.checkpoint.row.size_bytes / 1e6 for one in done]))


def live(report: Report, count: int, checkpoints: int, directory: Path) -> None:
    with living(holding(count)) as net:
        made = [net.checkpoint() for _ in range(checkpoints)]
        memory = Path("/dev/shm") / directory.name
        memory.mkdir()
        try:
            copies = [floor(made[-1], memory)[0] * 1e3 for _ in range(3)]
        finally:
            shutil.rmtree(memory)
    pauses = [(one.costs.stood_ns or 0) / 1e6 for one in made]
    report.add(Row(f"live checkpoint of {count} containers: pause", "ms", pauses, copies, "cp within memory"))
    report.add(Row(f"– new bytes of the first ({count})", "MB", [made[0].row.stored_bytes / 1e6]))
    report.add(Row(f"– new bytes of the last of {checkpoints} ({count})", "MB", [made[-1].row.stored_bytes / 1e6],
                   [made[0].row.stored_bytes / 1e6], "the first"))
    report.add(Row(f"– bytes hashed for the last of {checkpoints} ({count})", "MB", [made[-1].row.hashed_bytes / 1e6]))
    report.notes.append(f"Nodes' files: {made[-1].costs.copying}. CRIU writes memory into files of the same file system's page cache.")


def alike(report: Report, counts: tuple[int, ...]) -> None:
    """Each count in a state directory of its own, whose store is empty."""
    for count in counts:
        with own_installation(), living(holding(count)) as net:
            made = net.checkpoint()
        stored, size = [made.row.stored_bytes / 1e6], [made.row.size_bytes / 1e6]
        report.add(Row(f"unique bytes of {count} like nodes", "MB", stored, size, "all bytes"))


def forks(report: Report, rounds: int, warm_up_s: float) -> None:
    spec, new, branched = holding(WARM_NODES), [], []
    for _ in range(rounds):
        begun = time.monotonic()
        with living(spec):
            time.sleep(warm_up_s)
            new.append(time.monotonic() - begun)
    with living(spec) as net:
        made = net.checkpoint()
        for _ in range(rounds):
            begun = time.monotonic()
            with fork(made):
                branched.append(time.monotonic() - begun)
    report.add(Row(f"fork of {WARM_NODES} nodes that were warmed up for {warm_up_s:g} s", "s", branched, new, "deploying and warming up"))


@contextmanager
def own_installation() -> Iterator[Path]:
    with own_state() as directory:
        engine.cache_clear()
        server.ensure()
        try:
            yield directory
        finally:
            server.down()
            engine.cache_clear()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true")
    quick = parser.parse_args().quick
    report = Report("swap", "Swapout, swapin, checkpoints, forks (containers)")
    with own_installation(), tempfile.TemporaryDirectory(dir="/var/lib") as scratch:
        for count in (2,) if quick else COUNTS:
            swaps(report, count, 1 if quick else ROUNDS, Path(scratch))
        live(report, 2 if quick else 10, 2 if quick else CHECKPOINTS, Path(scratch))
        if not quick:
            forks(report, 3, WARM_UP_S)
    alike(report, (1, 2) if quick else ALIKE)
    report.notes.append(f"Each node holds {HEAP_BYTES >> 20} MiB in one program, half of it random, half of it alike in all nodes.")
    if quick:
        print(report.text())
    else:
        report.publish()


if __name__ == "__main__":
    main()
