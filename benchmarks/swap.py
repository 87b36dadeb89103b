"""Leaving the hosts and coming back, 2, 10 and 50 containers, 2 and 4 VMs: where the time goes; what further checkpoints and forks cost.

`python -m benchmarks.swap [--quick]`: quick is two nodes of each kind, once, not published. Needs root. The floor is copying the
checkpoint's files with `cp -a`, and hashing them with BLAKE3 on one core. Draws docs/swap-times.svg, docs/swap-sizes.svg and
docs/swap-fork.svg.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from pathlib import Path

from blake3 import blake3

from benchmarks import swap_pictures
from benchmarks.flow_times import tasks
from benchmarks.nodes import one_lan, own_state
from benchmarks.table import Report, Row
from models.database import engine
from models.spec import ProgramAgent, Spec, TimedEvent
from models.tables.columns import now
from storage.store import Store
from swapbed.instance import Instance, deploy, fork
from swapbed.lifecycle import find
from swapbed.living import checkpoint_verbs
from swapbed.living.checkpoint_verbs import KnownCheckpoint
from swapbed.serving import server

COUNTS, VM_COUNTS, ROUNDS, FORKS, CHECKPOINTS, VM_CHECKPOINTS = (2, 10, 50), (2, 4), 3, 2, 10, 3
ALIKE = (1, 2, 4, 8, 16)
HEAP_BYTES, VM_BYTES, VM_HELD_MB = 8_000_000, 256 << 20, 64
PROGRAM = f"""exec python3 -S -c '
import os, random, time
half = {HEAP_BYTES // 2}; x = bytearray(os.urandom(half) + random.Random(1).randbytes(half)); open("/held", "w").close()
while True: x[0] = (x[0] + 1) % 256; time.sleep(.01)'"""
VM_PROGRAM = f"dd if=/dev/urandom of=/random bs=1M count={VM_HELD_MB} && touch /held && while :; do sleep 1; done"
WARM_UP_S, WARM_NODES = 20, 10


@dataclass
class Swap:
    """Seconds: from the call of swapout until durable, and until hosts were free; from the call of swapin until it went on; the floor's.

    flow_out, flow_in: Prefect's ids of the two flow runs.
    """

    asked: datetime
    free: datetime
    asked_back: datetime
    back: datetime
    flow_out: str
    flow_in: str
    copy_s: float
    hash_s: float
    checkpoint: KnownCheckpoint

    @property
    def durable(self) -> datetime:
        assert self.checkpoint.row.durable_at
        return self.checkpoint.row.durable_at

    @property
    def durable_s(self) -> float:
        return _ms(self.asked, self.durable) / 1e3

    @property
    def free_s(self) -> float:
        return _ms(self.asked, self.free) / 1e3

    @property
    def running_s(self) -> float:
        return _ms(self.asked_back, self.back) / 1e3

    @cached_property
    def out(self) -> dict[str, float]:
        """Where the time of the swapout went, one after the other, in ms."""
        done = tasks(self.flow_out, "store checkpoint")
        began, ended = next(when for name, when in done.items() if name.startswith("capture on"))
        still = {f"standing still: {step}": taken / 1e6 for step, taken in self.checkpoint.costs.steps_ns.items()}
        return {"command, flow, swapout events": _ms(self.asked, began), "before standing still": _ms(began, ended) - sum(still.values()),
                **still, "store": _ms(ended, self.durable), "free the host, flow's end": _ms(self.durable, self.free)}

    @cached_property
    def back_in(self) -> dict[str, float]:
        """The same of the swapin."""
        done = tasks(self.flow_in, "restore on")
        fetching, restoring = (next(when for name, when in done.items() if name.startswith(task)) for task in ("fetch", "restore on"))
        return {"command, flow": _ms(self.asked_back, fetching[0]), "fetch": _ms(*fetching), "place": _ms(fetching[1], restoring[0]),
                "restore": _ms(*restoring), "flow's end": _ms(restoring[1], self.back)}


def holding(count: int, *, vms: bool = False) -> Spec:
    """Nodes that hold some memory. Containers: half of it alike in all of them, and a page of it touched a hundred times a second."""
    spec = one_lan(count)
    nodes = tuple(node.model_copy(update={"kind": "vm", "memory_bytes": VM_BYTES}) for node in spec.nodes) if vms else spec.nodes
    agents = tuple(ProgramAgent(name=f"hold{index}", node=node.name, command=VM_PROGRAM if vms else PROGRAM)
                   for index, node in enumerate(nodes))
    return Spec.model_validate(spec.model_dump() | {
        "nodes": nodes, "agents": agents, "events": tuple(TimedEvent(target=agent.name, verb="start") for agent in agents)})


@contextmanager
def living(spec: Spec) -> Iterator[Instance]:
    with deploy(spec) as net:
        for node in net.nodes:
            while node.run("test -e /held").exit_code:
                time.sleep(0.05)
        yield net


def swap(net: Instance, directory: Path) -> Swap:
    asked = now()
    net.swapout()
    free, flow_out = now(), _last_flow(net)
    made = checkpoint_verbs.find_checkpoint(net.name)
    copy_s, hash_s = floor(made, directory)
    asked_back = now()
    net.swapin()
    return Swap(asked, free, asked_back, now(), flow_out, _last_flow(net), copy_s, hash_s, made)


def _last_flow(net: Instance) -> str:
    """The run that last changed its state."""
    flow_run = find(net.id).row.flow_run_id
    assert flow_run
    return flow_run


def _ms(before: datetime, after: datetime) -> float:
    return (after - before).total_seconds() * 1e3


def floor(made: KnownCheckpoint, directory: Path) -> tuple[float, float]:
    """Seconds to copy the same files, and to hash them; holes cost nothing."""
    Store.of().restore_tree(made.tree, directory / "one")
    begun = time.perf_counter()
    subprocess.run(["cp", "-a", directory / "one", directory / "two"], check=True)
    copied = time.perf_counter()
    for file in (directory / "one").rglob("*"):
        if file.is_file() and not file.is_symlink():
            _hash(file)
    hashed = time.perf_counter()
    for name in ("one", "two"):
        shutil.rmtree(directory / name)
    return copied - begun, hashed - copied


def _hash(path: Path) -> None:
    digest = blake3()
    with path.open("rb") as file:
        end, size = 0, path.stat().st_size
        while end < size:
            try:
                begin = os.lseek(file.fileno(), end, os.SEEK_DATA)
            except OSError:  # a hole up to the end
                break
            end = os.lseek(file.fileno(), begin, os.SEEK_HOLE)
            digest.update(os.pread(file.fileno(), end - begin, begin))


def named(count: int, vms: bool) -> str:
    return f"{count} VMs of {VM_BYTES >> 20} MB" if vms else f"{count} containers"


def swaps(report: Report, count: int, rounds: int, directory: Path, *, vms: bool = False) -> tuple[str, list[Swap]]:
    with living(holding(count, vms=vms)) as net:
        done = [swap(net, directory) for _ in range(rounds)]
    nodes = named(count, vms)
    copies, hashes = [one.copy_s for one in done], [one.hash_s for one in done]
    report.add(Row(f"{nodes}: swapout until durable", "s", [one.durable_s for one in done], hashes, "BLAKE3 of the same bytes"))
    report.add(Row(f"{nodes}: swapout until hosts are free", "s", [one.free_s for one in done], copies, "cp of the same bytes"))
    for part in done[0].out:
        report.add(Row(f"– of that: {part} ({nodes})", "ms", [one.out[part] for one in done]))
    report.add(Row(f"{nodes}: swapin until running", "s", [one.running_s for one in done], copies, "cp of the same bytes"))
    for part in done[0].back_in:
        report.add(Row(f"– of that: {part} ({nodes})", "ms", [one.back_in[part] for one in done]))
    report.add(Row(f"{nodes}: size of the checkpoint", "MB", [one.checkpoint.row.size_bytes / 1e6 for one in done]))
    report.add(Row(f"{nodes}: of it read and hashed", "MB", [one.checkpoint.row.hashed_bytes / 1e6 for one in done]))
    return nodes, done


def live(report: Report, count: int, checkpoints: int, directory: Path, *, vms: bool = False) -> list[KnownCheckpoint]:
    nodes = named(count, vms)
    with living(holding(count, vms=vms)) as net:
        made = [net.checkpoint() for _ in range(checkpoints)]
        memory = Path("/dev/shm") / directory.name
        memory.mkdir()
        try:
            copies = [floor(made[-1], memory)[0] * 1e3 for _ in range(3)]
        finally:
            shutil.rmtree(memory)
    pauses = [(one.costs.stood_ns or 0) / 1e6 for one in made]
    report.add(Row(f"live checkpoint of {nodes}: pause", "ms", pauses, copies, "cp within memory"))
    for step in made[0].costs.steps_ns:
        report.add(Row(f"– of that: {step} ({nodes})", "ms", [one.costs.steps_ns[step] / 1e6 for one in made]))
    report.add(Row(f"– new bytes of the first ({nodes})", "MB", [made[0].row.stored_bytes / 1e6]))
    report.add(Row(f"– new bytes of the last of {checkpoints} ({nodes})", "MB", [made[-1].row.stored_bytes / 1e6],
                   [made[0].row.stored_bytes / 1e6], "the first"))
    report.add(Row(f"– bytes hashed for the last of {checkpoints} ({nodes})", "MB", [made[-1].row.hashed_bytes / 1e6]))
    return made


def alike(report: Report, counts: tuple[int, ...]) -> dict[int, tuple[float, float]]:
    """Each count in a state directory of its own, whose store is empty. Count → MB stored, and all."""
    found = {}
    for count in counts:
        with own_installation(), living(holding(count)) as net:
            made = net.checkpoint()
        stored, size = [made.row.stored_bytes / 1e6], [made.row.size_bytes / 1e6]
        report.add(Row(f"unique bytes of {count} like nodes", "MB", stored, size, "all bytes"))
        found[count] = stored[0], size[0]
    return found


def forks(report: Report, rounds: int, warm_up_s: float) -> tuple[list[float], list[float]]:
    """Seconds that forking takes, and that deploying and warming up does."""
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
    return branched, new


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
    report = Report("swap", "Swapout, swapin, checkpoints, forks")
    with own_installation(), tempfile.TemporaryDirectory(dir="/var/lib") as scratch:
        rounds, directory = 1 if quick else ROUNDS, Path(scratch)
        found = dict(swaps(report, count, rounds, directory) for count in (COUNTS[:1] if quick else COUNTS))
        found |= dict(swaps(report, count, rounds, directory, vms=True) for count in (VM_COUNTS[:1] if quick else VM_COUNTS))
        made = live(report, 2 if quick else 10, 2 if quick else CHECKPOINTS, directory)
        live(report, VM_COUNTS[0], 2 if quick else VM_CHECKPOINTS, directory, vms=True)
        report.notes.append(f"Nodes' files: {made[-1].costs.copying}. Memory is written into files of the same file system's page cache.")
        forked = forks(report, 1 if quick else FORKS, 1 if quick else WARM_UP_S)
    like = alike(report, (1, 2) if quick else ALIKE)
    report.notes.append(f"Each container holds {HEAP_BYTES / 1e6:g} MB in one program, half of it random, half of it alike in all of them; "
                        f"each VM {VM_HELD_MB} MiB of random bytes. VMs are emulated where KVM boots no guest.")
    with tempfile.TemporaryDirectory() as scratch:
        for name in swap_pictures.draw_all(Path(scratch) if quick else swap_pictures.DOCS, found, made, like, forked):
            report.notes.append(f"![{Path(name).stem}]({name})")
    print(report.text()) if quick else report.publish()


if __name__ == "__main__":
    main()
