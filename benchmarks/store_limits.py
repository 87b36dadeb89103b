"""How near the store comes to what its parts alone would allow: hashing, compressing, an S3 gateway's own PUT and GET of like objects.

`python -m benchmarks.store_limits [--megabytes 512] [--repeat 5] [--quick]`. Alone means: the same chunks from memory, by as many threads
as the store uses, with nothing else to do, for half a second at least. Data: RAM images (half zeros) that are new, and the same again,
which are all known. Both ends are on the same cores, so what is left for the store is less than each of its parts alone.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import boto3
from botocore.config import Config

from benchmarks import store_data
from benchmarks.table import Report, Row
from models.database import connect
from models.migrations import upgrade
from storage.chunking import BUFFER_BYTES, IMAGE_CHUNK_BYTES, Hole, cut_image, name_of
from storage.compression import LEVEL, compress, decompress
from storage.ingest import CONNECTIONS, WORKERS
from storage.local_objects import LocalObjects
from storage.objects import ObjectStore
from storage.pack import TARGET_BYTES
from storage.s3_objects import S3Objects
from storage.s3_server import S3Server, start_juicefs
from storage.store import Store

MB = 10**6
BATCH = BUFFER_BYTES // IMAGE_CHUNK_BYTES
LEAST_S = 0.5  # shorter, and starting threads would be measured
Piece = TypeVar("Piece")


def rate(size_bytes: int, do: Callable[[], object]) -> float:
    """MB/s of doing it."""
    began = time.perf_counter()
    do()
    return size_bytes / MB / (time.perf_counter() - began)


def in_threads(pool: ThreadPoolExecutor, do: Callable[[Sequence[Piece]], object], pieces: Sequence[Piece]) -> float:
    """Seconds of doing it to all of them, by all threads of the pool, for long enough to be measured; in batches as the store hands out."""
    batches = [pieces[at:at + BATCH] for at in range(0, len(pieces), BATCH)]
    list(pool.map(do, batches[:WORKERS]))
    rounds, began = 0, time.perf_counter()
    while time.perf_counter() - began < LEAST_S:
        list(pool.map(do, batches))
        rounds += 1
    return (time.perf_counter() - began) / rounds


def alone(report: Report, image: Path, repeat: int) -> dict[str, list[float]]:
    """What the chunks of the image take that are no zeros, cut before and in memory; and what looking for zeros takes, which every storing
    has to do. As MB/s of the whole image, since that is what the store is measured in."""
    data = image.read_bytes()
    buffers = [data[at:at + BUFFER_BYTES] for at in range(0, len(data), BUFFER_BYTES)]
    chunks = [cut for buffer in buffers for cut in cut_image(buffer) if not isinstance(cut, Hole)]
    size, real = len(data), sum(map(len, chunks))
    frames = [(compress(chunk, LEVEL), len(chunk)) for chunk in chunks]
    hashing, compressing, unpacking, ratios = [], [], [], []
    with ThreadPoolExecutor(WORKERS) as pool:
        for _ in range(repeat):
            looking_s = in_threads(pool, lambda batch: [list(cut_image(buffer)) for buffer in batch], buffers)
            hashing_s = in_threads(pool, lambda batch: [name_of(chunk) for chunk in batch], chunks)
            compressing_s = in_threads(pool, lambda batch: [compress(chunk, LEVEL) for chunk in batch], chunks)
            unpacking_s = in_threads(pool, lambda batch: [name_of(decompress(frame, raw, "")) for frame, raw in batch], frames)
            unpacking.append(size / MB / unpacking_s)
            hashing.append(size / MB / (looking_s + hashing_s))
            compressing.append(size / MB / compressing_s)
            ratios.append(real / MB / hashing_s)
    report.add(Row(f"BLAKE3 of {IMAGE_CHUNK_BYTES >> 10} KiB chunks alone, bytes hashed", "MB/s", ratios))
    report.add(Row("finding zeros and hashing the rest alone", "MB/s", hashing))
    report.add(Row(f"compressing alone, zstd {LEVEL}", "MB/s", compressing))
    report.add(Row("decompressing and verifying alone", "MB/s", unpacking))
    report.notes.append(f"the image has {size / MB:.0f} MB, {real / MB:.0f} of it in chunks that are not zeros")
    return {"hash": hashing, "compress": compressing, "unpack": unpacking}


def whole(report: Report, where: str, make: Callable[[], Store], image: Path, repeat: int, limits: dict[str, list[float]]) -> None:
    size = image.stat().st_size
    found: dict[str, list[float]] = {"new": [], "known": [], "fetched": []}
    stored_bytes = 0
    for number in range(repeat):
        store = make()
        began = time.perf_counter()
        stored = store.store_image(image)
        found["new"].append(size / MB / (time.perf_counter() - began))
        stored_bytes = stored.counts.sent_bytes
        found["known"].append(rate(size, lambda store=store: store.store_image(image)))
        target = image.with_name(f"again-{number}")
        found["fetched"].append(rate(size, lambda store=store, ref=stored.manifest, path=target: store.restore_image(ref, path)))
        target.unlink()
        store.catalog.on.dispose()
    share = stored_bytes / size
    sending = [value / share for value in limits["put"]]
    getting = [value / share for value in limits["get"]]
    slowest = _least((limits["compress"], "compressing alone"), (limits["hash"], "hashing alone"), (sending, "PUT alone"))
    report.add(Row(f"{where}: store what is new", "MB/s", found["new"], *slowest))
    report.add(Row(f"{where}: store what is known", "MB/s", found["known"], limits["hash"], "hashing alone"))
    fetching = _least((limits["unpack"], "decompressing alone"), (getting, "GET alone"))
    report.add(Row(f"{where}: restore", "MB/s", found["fetched"], *fetching))


def _least(*limits: tuple[list[float], str]) -> tuple[list[float], str]:
    return min(limits, key=lambda limit: sorted(limit[0])[len(limit[0]) // 2])


def objects_alone(report: Report, where: str, objects: ObjectStore, total_bytes: int, repeat: int) -> tuple[list[float], list[float]]:
    pack = os.urandom(TARGET_BYTES)
    put, get = [], []
    for number in range(repeat):
        keys = [f"alone/{number}-{at}" for at in range(max(1, total_bytes // TARGET_BYTES))]
        size = len(keys) * TARGET_BYTES
        with ThreadPoolExecutor(CONNECTIONS) as pool:
            put.append(rate(size, lambda keys=keys, pool=pool: list(pool.map(lambda key: objects.put(key, pack), keys))))
            get.append(rate(size, lambda keys=keys, pool=pool: [len(data) for data in pool.map(objects.get, keys)]))
        objects.delete(keys)
    report.add(Row(f"{where}: PUT alone, {TARGET_BYTES >> 20} MiB, {CONNECTIONS} connections", "MB/s", put))
    report.add(Row(f"{where}: GET alone", "MB/s", get))
    return put, get


def new_bucket(server: S3Server) -> S3Objects:
    name = f"benchmark-{os.urandom(4).hex()}"
    boto3.client("s3", endpoint_url=server.endpoint, aws_access_key_id=server.access_key, aws_secret_access_key=server.secret_key,
                 region_name="us-east-1", config=Config(s3={"addressing_style": "path"})).create_bucket(Bucket=name)
    return S3Objects(name, endpoint=server.endpoint, access_key=server.access_key, secret_key=server.secret_key)


def new_store(room: Path, objects: ObjectStore) -> Store:
    on = connect(f"sqlite:///{room}/catalog-{os.urandom(4).hex()}.db")
    upgrade(on)
    return Store(on, objects, "benchmark")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--megabytes", type=int, default=512)
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--quick", action="store_true", help="a look: little data, once, not published")
    given = parser.parse_args()
    size, repeat = (16, 1) if given.quick else (given.megabytes, given.repeat)
    report = Report("store_limits", "The store against what its parts alone allow")
    report.notes.append(f"{WORKERS} hashing threads, {CONNECTIONS} connections; rates are of the image's bytes, half of them zeros")
    with tempfile.TemporaryDirectory(prefix="swapbed-benchmark-", dir="/var/tmp") as directory:
        room = Path(directory)
        store_data.ram_images(room, 0, size * MB // 4096 * 4096)
        image = room / "vm-0.ram"
        limits = alone(report, image, repeat)
        server = start_juicefs(room / "juicefs", "benchmark", "benchmark-secret")
        try:
            kinds: dict[str, Callable[[], ObjectStore]] = {
                "directory": lambda: LocalObjects(room / f"store-{os.urandom(4).hex()}"),
                "S3 (JuiceFS's gateway)": lambda: new_bucket(server)}
            for where, make in kinds.items():
                put, get = objects_alone(report, where, make(), size * MB // 2, repeat)
                both = {**limits, "put": put, "get": get}
                whole(report, where, lambda make=make: new_store(room, make()), image, repeat, both)
        finally:
            server.process.kill()
            server.process.wait()
    print(report.text()) if given.quick else report.publish()


if __name__ == "__main__":
    main()
