"""Chunk sizes: unique bytes against metadata, on RAM, disk and log data. The store's defaults follow from this table.

`python -m benchmarks.store_chunks [--megabytes 256] [--ram DIRECTORY…] [--disk IMAGE…] [--quick]`. Per size, in MB of what there is: unique
chunks (zeros free), the same compressed, and what describing them costs: manifest, pack index and catalog, METADATA_BYTES per chunk.
"""

from __future__ import annotations

import argparse
import subprocess
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

from pyfastcdc import FastCDC

from benchmarks import store_data
from benchmarks.table import Report, Row
from storage.chunking import name_of
from storage.compression import LEVEL, compress
from storage.nodes import RECORD
from storage.pack import INDEX_RECORD

MB = 10**6
CATALOG_BYTES = 60  # a row, measured by benchmarks.store_catalog on SQLite
METADATA_BYTES = RECORD.size + INDEX_RECORD.size + CATALOG_BYTES
SIZES = [4096 << step for step in range(9)]


def fixed(path: Path, size: int) -> Iterator[bytes]:
    with path.open("rb") as file:
        while chunk := file.read(size):
            yield chunk


def content_defined(path: Path, size: int) -> Iterator[bytes]:
    data = path.read_bytes()
    for chunk in FastCDC(size, min_size=size // 4, max_size=size * 4).cut_buf(data) if data else ():
        yield bytes(chunk.data)


def measure(chunks: Iterable[bytes]) -> tuple[int, int, int, int]:
    """Bytes looked at, unique chunks, their bytes, the same compressed."""
    seen: set[bytes] = set()
    total = unique = packed = 0
    for chunk in chunks:
        total += len(chunk)
        if chunk.strip(b"\0"):
            name = name_of(chunk)
            if name not in seen:
                seen.add(name)
                unique += len(chunk)
                packed += len(compress(chunk, LEVEL))
    return total, len(seen), unique, packed


def table(report: Report, what: str, files: list[Path], cutters: tuple[str, ...], sizes: list[int]) -> None:
    for cutter in cutters:
        parts = []
        for size in sizes:
            cut = fixed if cutter == "fixed" else content_defined
            total, count, unique, packed = measure(chunk for path in files for chunk in cut(path, size))
            described = count * METADATA_BYTES
            named = f"{what}, {total / MB:.0f} MB, {cutter} {size >> 10} KiB"
            report.add(Row(f"{named}: stored and described", "MB", [(packed + described) / MB]))
            parts.append(f"{size >> 10} KiB: {unique / MB:.0f} / {packed / MB:.0f} / {described / MB:.2f}")
        report.notes.append(f"{what}, {cutter}, MB of unique chunks / the same compressed / what describes them: " + "; ".join(parts))


def disk_image(room: Path, megabytes: int) -> Path:
    """A file system with part of this system's files."""
    image, tree = room / "disk.img", room / "disk"
    for number, page in enumerate(store_data.system_pages(megabytes * MB // 2)[::64]):
        path = tree / f"{number % 50}" / f"{number}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(page * (number % 7 + 1))
    subprocess.run(["mkfs.ext4", "-q", "-d", tree, image, f"{megabytes}M"], check=True)
    return image


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--megabytes", type=int, default=256, help="of each RAM image and of the disk")
    parser.add_argument("--ram", type=Path, nargs="*", default=[])
    parser.add_argument("--disk", type=Path, nargs="*", default=[])
    parser.add_argument("--quick", action="store_true", help="a look: little data, few sizes, not published")
    given = parser.parse_args()
    megabytes, sizes = (8, SIZES[2:5]) if given.quick else (given.megabytes, SIZES)
    report = Report("store_chunks", "Chunk sizes")
    with tempfile.TemporaryDirectory(prefix="swapbed-benchmark-", dir="/var/tmp") as directory:
        room = Path(directory)
        ram = [path for place in given.ram for path in sorted(place.iterdir())]
        if not ram:
            for generation in range(2):
                (room / f"ram-{generation}").mkdir()
                store_data.ram_images(room / f"ram-{generation}", generation, megabytes * MB // 4096 * 4096)
                ram += sorted((room / f"ram-{generation}").iterdir())
        table(report, "RAM", ram, ("fixed",), sizes)
        table(report, "disk", given.disk or [disk_image(room, megabytes)], ("fixed",), sizes)
        logs = []
        for generation in range(3):
            (room / f"logs-{generation}").mkdir()
            store_data.log_tree(room / f"logs-{generation}", 0, megabytes * MB)
            for edit in range(1, generation + 1):
                store_data.log_tree(room / f"logs-{generation}", edit, megabytes * MB)
            logs += [path for path in sorted((room / f"logs-{generation}").rglob("*")) if path.is_file()]
        table(report, "logs", logs, ("content-defined", "fixed"), sizes)
    print(report.text()) if given.quick else report.publish()


if __name__ == "__main__":
    main()
