"""Data for the store's benchmarks, the same bytes every time for the same scale. Each function fills a directory, generation by generation.

The RAM images are made to be like those of VMs of one kind, unless real ones are given: 45 % zero pages; 40 % pages of this system's own
libraries and programs, in runs of 1 to 32 pages whose order differs from machine to machine; 15 % heap that is each machine's own.
"""

from __future__ import annotations

import random
import struct
from collections.abc import Iterator
from pathlib import Path

import numpy

PAGE = 4096
MB = 10**6
SYSTEM = ("/usr/lib/x86_64-linux-gnu", "/usr/bin", "/usr/lib/python3.11")
MACHINES = 4


def ram_images(directory: Path, generation: int, image_bytes: int) -> None:
    """Of four like machines: `vm-N.ram`. The second generation has a fourteenth of the pages changed."""
    system = system_pages(int(image_bytes * 0.5))
    for machine in range(MACHINES):
        noise = random.Random(machine)
        pages = _machine(noise, system, image_bytes // PAGE)
        for step in range(generation):
            changes = random.Random(1000 * step + machine)
            for _ in range(len(pages) // 14):
                pages[changes.randrange(len(pages))] = heap_page(changes)
        with (directory / f"vm-{machine}.ram").open("wb") as file:
            for page in pages:
                file.write(page)


def system_pages(size: int) -> list[bytes]:
    """What the page cache of a machine of this system is full of."""
    pages: list[bytes] = []
    for path in _files(SYSTEM):
        data = path.read_bytes()
        pages += [data[at:at + PAGE].ljust(PAGE, b"\0") for at in range(0, len(data), PAGE)]
        if len(pages) * PAGE >= size:
            return pages
    return pages


def heap_page(noise: random.Random) -> bytes:
    """Pointers that share their upper half, small numbers, some text: it compresses about threefold."""
    bits = numpy.frombuffer(noise.randbytes(PAGE), "<u8")
    pointers = 0x7F0000000000 + noise.randrange(1 << 30) + (bits & 0xFFFFF)
    return numpy.where((bits >> 56) < 102, pointers, bits >> 20 & 0xFFF).astype("<u8").tobytes()


def log_tree(directory: Path, generation: int, size: int) -> None:
    """Logs, results and a capture of an experiment; each generation appends to some and edits some lines in the middle of others."""
    noise = random.Random(7)
    files = 200
    for number in range(files):
        path = directory / f"node-{number % 20}" / ("ping.log" if number < 20 else f"result-{number}.csv")
        path.parent.mkdir(parents=True, exist_ok=True)
        if generation == 0:
            path.write_bytes(_capture(noise, size // files) if number % 10 == 9 else _log(noise, size // files))
    edits = random.Random(generation)
    for path in edits.sample(sorted(directory.rglob("*.*")), 12) if generation else ():
        data = path.read_bytes()
        at = edits.randrange(len(data))
        path.write_bytes(data[:at] + b"an edited line\n" + data[at:] + _log(edits, 2000))


def small_files(directory: Path, generation: int, count: int) -> None:
    """In directories of 100; each generation changes one in a hundred."""
    noise = random.Random(generation)
    for number in range(count):
        path = directory / f"{number // 10_000}" / f"{number // 100 % 100}" / f"{number}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        if generation == 0 or number % 100 == generation:
            path.write_bytes(_log(noise, 100 + noise.randrange(3900)))


def noise(directory: Path, generation: int, size: int) -> None:
    """Bytes that neither compress nor repeat, in one file."""
    source = random.Random(generation)
    with (directory / "noise").open("wb") as file:
        for _ in range(0, size, MB):
            file.write(source.randbytes(MB))


def record(directory: Path, generation: int, size: int, logs: float) -> None:
    """A record like those of the seed's Table 1: so much of it logs, the rest captures. A later one is of a like run: the same program
    with the same messages, but other numbers."""
    source = random.Random(generation)
    for number in range(10):
        (directory / f"node-{number}").mkdir(parents=True, exist_ok=True)
        (directory / f"node-{number}/agent.log").write_bytes(_log(source, int(size * logs / 10)))
        (directory / f"node-{number}/capture.pcap").write_bytes(_capture(source, int(size * (1 - logs) / 10)))


def _machine(noise: random.Random, system: list[bytes], count: int) -> list[bytes]:
    pages: list[bytes] = []
    runs = [(at, noise.randrange(1, 33)) for at in range(0, len(system), 16)]
    noise.shuffle(runs)
    for at, length in runs:
        if len(pages) >= count * 0.4:
            break
        pages += system[at:at + length]
    pages = pages[:int(count * 0.4)] + [heap_page(noise) for _ in range(int(count * 0.15))]
    zero = bytes(PAGE)
    return pages + [zero] * (count - len(pages))


def _log(noise: random.Random, size: int) -> bytes:
    lines, total, sequence = [], 0, noise.randrange(1000)
    while total < size:
        sequence += 1
        line = b"[%d.%06d] 64 bytes from 10.1.%d.2: icmp_seq=%d ttl=64 time=%.3f ms\n" % (
            1700000000 + sequence // 5, noise.randrange(10**6), noise.randrange(20), sequence, 20 + noise.random() * 5)
        lines.append(line)
        total += len(line)
    return b"".join(lines)[:size]


def _capture(noise: random.Random, size: int) -> bytes:
    """Frames with like headers and payloads that do not compress."""
    frames, total = [], 0
    while total < size:
        frame = struct.pack("<IIII", 1700000000, noise.randrange(10**6), 1400, 1400) + bytes(54) + noise.randbytes(1346)
        frames.append(frame)
        total += len(frame)
    return b"".join(frames)[:size]


def _files(places: tuple[str, ...]) -> Iterator[Path]:
    for place in places:
        for path in sorted(Path(place).rglob("*")):
            if path.is_file() and not path.is_symlink() and path.stat().st_size > PAGE:
                yield path
