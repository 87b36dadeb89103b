"""The seed's Table 1 (its §6.1): size in the store, and time to commit, of a minimal, a BitTorrent-like and a ghete-like record; cold, and
with a like record before it.

`python -m benchmarks.store_records [--repeat 5] [--quick]`. Beside it, `tar -c | zstd -1` of the same files. Emulab's workbench with
Subversion took 48, 418 and 861 s, and 48, 19,380 and 20,240 KB of 88, 31,782 and 72,330.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import tempfile
import time
from pathlib import Path

from benchmarks import store_data
from benchmarks.store_limits import new_store
from benchmarks.store_peers import warm
from benchmarks.table import Report, Row
from storage.local_objects import LocalObjects
from storage.roots import RootKind

KB = 10**3
PEER = "tar | zstd -1"
# name, bytes, share of logs (so that compressed sizes are near those of the seed's table)
RECORDS = (("minimal", 88 * KB, 1.0), ("BitTorrent-like", 31_782 * KB, 0.5), ("ghete-like", 72_330 * KB, 0.9))


def measure(name: str, size: int, logs: float, repeat: int, room: Path, report: Report) -> None:
    times: dict[str, list[float]] = {"cold": [], "with a predecessor": [], PEER: []}
    sizes: dict[str, list[float]] = {"cold": [], "with a predecessor": [], PEER: []}
    for _ in range(repeat):
        objects = LocalObjects(room / f"store-{os.urandom(4).hex()}")
        store = new_store(room, objects)
        before = 0
        for generation, which in enumerate(("cold", "with a predecessor")):
            source = room / f"{name}-{os.urandom(4).hex()}"
            source.mkdir()
            store_data.record(source, 0, size, logs)
            if generation:
                (source / "node-0/agent.log").write_bytes(b"another run\n" + (source / "node-0/agent.log").read_bytes())
            warm(source)
            began = time.perf_counter()
            store.pin(RootKind.RECORD, which, store.store_tree(source).manifest)
            times[which].append(time.perf_counter() - began)
            held = sum(info.size_bytes for info in objects.listing())
            sizes[which].append((held - before) / KB)
            before = held
        began = time.perf_counter()
        tar = room / "record.tar.zst"
        subprocess.run(f"tar -c -C {source} . | zstd -q -1 -f -o {tar} && sync {tar}", shell=True, check=True)
        times[PEER].append(time.perf_counter() - began)
        sizes[PEER].append(tar.stat().st_size / KB)
    for which in ("cold", "with a predecessor"):
        named = f"{name} ({size / KB:,.0f} KB), {which}"
        report.add(Row(f"{named}: time to commit", "s", times[which], times[PEER], PEER))
        report.add(Row(f"{named}: size in the store", "KB", sizes[which], sizes[PEER], PEER))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--quick", action="store_true", help="a look: once, a tenth of the data, not published")
    given = parser.parse_args()
    report = Report("store_records", "Records as in the seed's Table 1")
    with tempfile.TemporaryDirectory(prefix="swapbed-benchmark-", dir="/var/tmp") as room:
        for name, size, logs in RECORDS:
            measure(name, size // 10 if given.quick else size, logs, 1 if given.quick else given.repeat, Path(room), report)
    print(report.text()) if given.quick else report.publish()


if __name__ == "__main__":
    main()
