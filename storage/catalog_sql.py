"""Bulk statements on chunks, in the form that each database is fast with: IN lists and executemany on SQLite, arrays on PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any

from sqlalchemy import Connection

SQLITE_BATCH = 2048  # of the 32,766 variables a statement may have; measured: no faster above
POSTGRES_BATCH = 50_000

CHUNK_COLUMNS = (("hash", "bytea"), ("pack_id", "bigint"), ("offset", "integer"), ("stored_bytes", "integer"), ("raw_bytes", "integer"),
                 ("kind", "smallint"), ("condemned", "boolean"), ("complete", "boolean"))
NAMES = ", ".join(f'"{name}"' for name, _ in CHUNK_COLUMNS)


def batches(items: Iterable[Any], size: int) -> Iterator[list[Any]]:
    remaining = iter(items)
    while batch := list(islice(remaining, size)):
        yield batch


def for_hashes(connection: Connection, statement: str, hashes: Sequence[bytes], parameters: tuple = ()) -> Iterator[Any]:
    """Rows of a SELECT, or of an UPDATE … RETURNING, in which `{hashes}` stands for the condition's right side: `c.hash {hashes}`.

    parameters: of the markers `?` after it. In batches: not one snapshot unless the transaction is.
    """
    if connection.dialect.name == "postgresql":
        text = statement.format(hashes="= ANY(%s)").replace("?", "%s")
        for batch in batches(hashes, POSTGRES_BATCH):
            yield from connection.exec_driver_sql(text, (batch, *parameters))
        return
    for batch in batches(hashes, SQLITE_BATCH):
        size = 1 << (len(batch) - 1).bit_length()  # few different statements, so that SQLite prepares each once
        batch += batch[-1:] * (size - len(batch))
        text = statement.format(hashes=f"IN ({','.join('?' * size)})")
        yield from connection.exec_driver_sql(text, (*batch, *parameters)).fetchall()


def insert_chunks(connection: Connection, rows: Sequence[tuple]) -> None:
    """Rows in the order of CHUNK_COLUMNS; one that is there stays as it is."""
    if not rows:
        return
    if connection.dialect.name == "postgresql":
        arrays = ", ".join(f"%s::{kind}[]" for _, kind in CHUNK_COLUMNS)
        connection.exec_driver_sql(f"INSERT INTO chunk ({NAMES}) SELECT * FROM unnest({arrays}) ON CONFLICT DO NOTHING",
                                   tuple(list(column) for column in zip(*rows, strict=True)))
        return
    connection.exec_driver_sql(f"INSERT OR IGNORE INTO chunk ({NAMES}) VALUES ({','.join('?' * len(CHUNK_COLUMNS))})", list(rows))


def delete_chunks(connection: Connection, pack_id: int, hashes: Sequence[bytes]) -> None:
    """These places in that pack."""
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql("DELETE FROM chunk WHERE pack_id = %s AND hash = ANY(%s)", (pack_id, list(hashes)))
    elif hashes:
        connection.exec_driver_sql("DELETE FROM chunk WHERE hash = ? AND pack_id = ?", [(name, pack_id) for name in hashes])
