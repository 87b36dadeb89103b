"""The store against restic, borg and casync: the same data, machine and cores, zstd at the same level or not at all, in one run.

`python -m benchmarks.store_peers [--scale 1] [--repeat 3] [--level 3] [--cases abcd] [--ram DIRECTORY…]`. Cases: a, RAM images of four
like machines; b, ten generations of logs; c, small files; d, noise. Their sizes are the issue's times SHARES times the scale, so that all
of it takes some eight minutes; --ram takes directories of real images, a generation each, instead of made ones. Files are in the page
cache before each run. Everybody writes to the same file system, below /var/tmp. Stored size is what lies in the store: of Swapbed without
its catalog, as of borg without its cache, since both can be made from it. Making an empty store is not timed.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks import store_data
from benchmarks.table import Report, Row
from models.errors import HostProblem

MB = 10**6
POLL_S = 0.01
SHARES = {"a": 0.5, "b": 0.2, "c": 0.2, "d": 1.0}  # of 4 × 256 MB twice, 10 × 500 MB, 100,000 files, 2 GB


@dataclass
class Measured:
    """seconds; peak memory of the process, bytes."""

    elapsed_s: float
    memory_bytes: int


class Tool(ABC):
    """One way to keep generations of a directory. Each method that costs something is one process."""

    name = ""
    fsync = ""

    def __init__(self, home: Path, level: int):
        self.home, self.level = home, level

    @abstractmethod
    def prepare(self) -> None: ...

    @abstractmethod
    def ingest(self, source: Path) -> Measured: ...

    @abstractmethod
    def restore(self, target: Path) -> Measured: ...

    def size(self) -> int:
        return sum(path.stat().st_size for path in self.home.rglob("*") if path.is_file())

    def run(self, *command: str | Path, cwd: Path | None = None, **environment: str) -> Measured:
        with tempfile.TemporaryFile() as said:
            began = time.perf_counter()
            process = subprocess.Popen([str(word) for word in command], cwd=cwd, env=os.environ | environment, stdout=subprocess.DEVNULL,
                                       stderr=said)
            peak = 0
            while process.poll() is None:
                peak = max(peak, _peak_bytes(process.pid))
                time.sleep(POLL_S)
            elapsed_s = time.perf_counter() - began
            if process.returncode:
                said.seek(0)
                raise HostProblem(f"{self.name} failed: {said.read().decode()[-500:]}", where=" ".join(map(str, command)))
        return Measured(elapsed_s, peak)


def _peak_bytes(pid: int) -> int:
    """So far, of that program alone: what wait4 tells has in it what the process was before exec, a copy of this one."""
    found = re.search(r"VmHWM:\s*(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    return int(found[1]) * 1024 if found else 0


class Swapbed(Tool):
    name, fsync = "swapbed", "every pack"

    def prepare(self) -> None:
        self.run(sys.executable, "-m", "benchmarks.store_child", self.home, "init", "-", str(self.level))

    def size(self) -> int:
        return sum(path.stat().st_size for path in (self.home / "store").rglob("*") if path.is_file())

    def ingest(self, source: Path) -> Measured:
        return self.run(sys.executable, "-m", "benchmarks.store_child", self.home, "ingest", source, str(self.level))

    def restore(self, target: Path) -> Measured:
        return self.run(sys.executable, "-m", "benchmarks.store_child", self.home, "restore", target, str(self.level))


class Restic(Tool):
    name, fsync = "restic", "every pack"

    def prepare(self) -> None:
        self._restic("init")

    def ingest(self, source: Path) -> Measured:
        return self._restic("backup", "--compression", "auto" if self.level else "off", source)

    def restore(self, target: Path) -> Measured:
        return self._restic("restore", "latest", "--target", target)

    def _restic(self, *words: str | Path) -> Measured:
        return self.run("restic", "--no-cache", "-r", self.home / "repository", *words, RESTIC_PASSWORD="benchmark")


class Borg(Tool):
    name, fsync = "borg", "every segment"

    def prepare(self) -> None:
        self._borg("init", "--encryption", "none", self.home / "repository")

    def ingest(self, source: Path) -> Measured:
        count = len(list(self.home.glob("archive-*")))
        (self.home / f"archive-{count}").touch()
        compression = f"zstd,{self.level}" if self.level else "none"
        return self._borg("create", "--compression", compression, f"{self.home}/repository::archive-{count}", source)

    def restore(self, target: Path) -> Measured:
        target.mkdir()
        latest = sorted(path.name for path in self.home.glob("archive-*"))[-1]
        return self._borg("extract", "--sparse", f"{self.home}/repository::{latest}", cwd=target)

    def size(self) -> int:
        return sum(path.stat().st_size for path in (self.home / "repository").rglob("*") if path.is_file())

    def _borg(self, *words: str | Path, cwd: Path | None = None) -> Measured:
        return self.run("borg", *words, cwd=cwd, BORG_BASE_DIR=str(self.home / "base"))


class Casync(Tool):
    name, fsync = "casync", "never"

    def prepare(self) -> None:
        """Its store is made by the first who writes to it."""

    def ingest(self, source: Path) -> Measured:
        return self.run("casync", "make", "--compression=zstd", f"--store={self.home}/chunks.castr", self.home / "index.caidx", source)

    def restore(self, target: Path) -> Measured:
        return self.run("casync", "extract", f"--store={self.home}/chunks.castr", self.home / "index.caidx", target)


TOOLS: tuple[type[Tool], ...] = (Swapbed, Restic, Borg, Casync)


@dataclass(frozen=True)
class Data:
    """fill: a directory with its generation of that number. size: what one generation is, for throughput."""

    name: str
    generations: int
    fill: Callable[[Path, int], None]


def datasets(scale: float, ram: Sequence[Path]) -> list[Data]:
    a, b, c, d = (SHARES[case] * scale for case in "abcd")
    image, logs, files, random = int(256 * MB * a) // 4096 * 4096, int(500 * MB * b), int(100_000 * c), int(2000 * MB * d)
    made = Data(f"a: RAM of 4 like machines, {image / MB:.0f} MB each, 2 generations", 2,
                lambda path, generation: store_data.ram_images(path, generation, image))
    real = Data(f"a: RAM images in {len(ram)} generations", len(ram), lambda path, generation: _copy(ram[generation], path))
    return [
        real if ram else made,
        Data(f"b: 10 generations of {logs / MB:.0f} MB of logs", 10, lambda path, generation: store_data.log_tree(path, generation, logs)),
        Data(f"c: {files:,} small files", 1, lambda path, generation: store_data.small_files(path, generation, files)),
        Data(f"d: {random / MB:,.0f} MB of noise", 1, lambda path, generation: store_data.noise(path, generation, random))]


def _copy(source: Path, target: Path) -> None:
    for path in source.iterdir():
        shutil.copyfile(path, target / f"{path.stem}.ram")


def compare(data: Data, tools: Sequence[type[Tool]], level: int, repeat: int, room: Path, report: Report) -> None:
    ingest: dict[str, list[float]] = {tool.name: [] for tool in tools}
    restore, size, memory = ({tool.name: [] for tool in tools} for _ in range(3))
    for _ in range(repeat):
        source = room / "source"
        source.mkdir()
        homes = [tool(room / tool.name, level) for tool in tools]
        for tool in homes:
            tool.home.mkdir()
            tool.prepare()
        costs: dict[str, list[Measured]] = {tool.name: [] for tool in tools}
        total = 0
        for generation in range(data.generations):
            data.fill(source, generation)
            total += warm(source)
            for tool in homes:
                costs[tool.name].append(tool.ingest(source))
        last = warm(source)
        for tool in homes:
            ingest[tool.name].append(total / MB / sum(cost.elapsed_s for cost in costs[tool.name]))
            memory[tool.name].append(max(cost.memory_bytes for cost in costs[tool.name]) / MB)
            size[tool.name].append(tool.size() / MB)
            restore[tool.name].append(last / MB / tool.restore(room / "target").elapsed_s)
            shutil.rmtree(room / "target")
        for path in (source, *(tool.home for tool in homes)):
            shutil.rmtree(path)
    own = tools[0].name
    others = [tool.name for tool in tools[1:]]
    for what, unit, found, best in (("ingest", "MB/s", ingest, max), ("restore", "MB/s", restore, max), ("stored", "MB", size, min),
                                    ("peak memory", "MB", memory, min)):
        peer = best(others, key=lambda name: sorted(found[name])[len(found[name]) // 2])
        report.add(Row(f"{data.name}: {what}", unit, found[own], found[peer], peer))
        report.notes += [f"{data.name}: {what}, {name}: {sorted(found[name])[len(found[name]) // 2]:.0f} {unit}" for name in others]


def warm(directory: Path) -> int:
    """Read everything once; how much that is."""
    total = 0
    for path in directory.rglob("*"):
        if path.is_file():
            total += path.stat().st_size
            with path.open("rb", buffering=0) as file:
                while file.read(1 << 22):
                    pass
    return total


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scale", type=float, default=1)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--cases", default="abcd", help="of a, b, c, d; only all of them are published")
    parser.add_argument("--level", type=int, default=3)
    parser.add_argument("--ram", type=Path, nargs="*", default=[])
    parser.add_argument("--quick", action="store_true", help="a look: a hundredth of the data, once, not published")
    given = parser.parse_args()
    scale, repeat = (0.01, 1) if given.quick else (given.scale, given.repeat)
    report = Report("store_peers", "The store against restic, borg and casync")
    report.notes.append(f"zstd level {given.level or 'none'} (restic: its 'auto', which is 3, casync: its default, 3); fsync: "
                        + ", ".join(f"{tool.name} {tool.fsync}" for tool in TOOLS)
                        + "; restic also encrypts; all may use every core; sources are in the page cache; sizes of the issue's cases: "
                        + ", ".join(f"{case} × {share * scale:g}" for case, share in SHARES.items()))
    with tempfile.TemporaryDirectory(prefix="swapbed-benchmark-", dir="/var/tmp") as room:
        for data in (one for one in datasets(scale, given.ram) if one.name[0] in given.cases):
            compare(data, TOOLS, given.level, repeat, Path(room), report)
    print(report.text()) if given.quick or given.cases != "abcd" else report.publish()


if __name__ == "__main__":
    main()
