"""Is a string anywhere in the store or the database? Looked for in what there really is: bytes of chunks, objects, files, pages.

Says as plainly what it could not look at. Finding nothing in what was looked at is the proof that expunging promises.
"""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import DatabaseError

from models.database import reading
from models.errors import Corrupt, NotFound
from models.protocol.control import Message
from storage.objects import ObjectStore
from storage.pack import PREFIX, read_chunks, read_index

WINDOW_BYTES = 4 << 20
OF_SQLITE = (".db", "-wal", "-shm", "-journal")


class Sought(Message):
    """found: where it is. not_looked_at: what may have it all the same, and why that was not looked at."""

    found: tuple[str, ...] = ()
    looked_at: tuple[str, ...] = ()
    not_looked_at: tuple[str, ...] = ()

    def __add__(self, other: Sought) -> Sought:
        return Sought(found=self.found + other.found, looked_at=self.looked_at + other.looked_at,
                      not_looked_at=self.not_looked_at + other.not_looked_at)


def seek_in_store(objects: ObjectStore, secret: bytes, progress: Callable[[int, int], None] = lambda done, total: None) -> Sought:
    """Every object as it is, every chunk decompressed, damaged ones as far as they can be read, and what older versions hold."""
    found = []
    keys = [info.key for info in objects.listing()]
    for number, key in enumerate(keys):
        with contextlib.suppress(NotFound):  # deleted meanwhile
            found += [f"{key} in {objects.name}: {what}" for what in _in_object(key, objects.get(key), secret)]
        progress(number + 1, len(keys))
    versions = getattr(objects, "old_versions", None)
    for key, version, data in versions() if versions else ():
        found += [f"{key} in {objects.name}, old version {version}: {what}" for what in _in_object(key, data, secret)]
    return Sought(found=tuple(found), looked_at=(f"{len(keys)} objects of {objects.name}, their chunks decompressed",
                                                 *(("old versions of objects",) if versions else ())))


def _in_object(key: str, data: bytes, secret: bytes) -> Iterator[str]:
    if secret in data:
        yield "its bytes"
    if key.startswith(PREFIX):
        with contextlib.suppress(Corrupt):  # no pack: its bytes were looked at
            for chunk, content in read_chunks(data, read_index(data, key), key):
                if isinstance(content, bytes) and holds(content, secret):
                    yield f"chunk {chunk.hash.hex()}"


def holds(chunk: bytes, secret: bytes) -> bool:
    """Whether the secret is in it, or the greater part of it at one of its ends: it may lie across two chunks."""
    least = (len(secret) + 1) // 2
    return secret in chunk or any(chunk.endswith(secret[:part]) or chunk.startswith(secret[-part:]) for part in range(least, len(secret)))


def seek_in_database(on: Engine, secret: bytes) -> Sought:
    """SQLite: every byte of its files, free pages and write-ahead log included. PostgreSQL: every row, and, where we may read files, every
    page of every table and index, dead rows included."""
    where = on.url.render_as_string(hide_password=True)
    if on.dialect.name != "postgresql":
        path = Path(on.url.database or "")
        files = sorted(path.parent.glob(f"{path.name}*"))
        return seek_in_files(files, secret) + Sought(looked_at=(f"{where}: free pages and write-ahead log, too",))
    with reading(on) as session:
        connection = session.connection()
        tables = list(connection.execute(text("SELECT oid::regclass::text FROM pg_class WHERE relkind = 'r' AND NOT oid::regclass::text "
                                              "LIKE 'pg\\_%' AND NOT oid::regclass::text LIKE 'information\\_schema.%'")).scalars())
        rows = [f"{where}: a row of {table}" for table in tables if _in_rows(connection, table, secret)]
    pages = _in_pages(on, where, secret)
    beyond = f"{where}: write-ahead log and archives, which PostgreSQL reuses in its own time"
    return Sought(found=tuple(rows), looked_at=(f"{where}: all rows",), not_looked_at=(beyond,)) + pages


def _in_rows(connection: Connection, table: str, secret: bytes) -> bool:
    """As text, and as JSON would write it."""
    plain = secret.decode(errors="replace")
    found = text(f"SELECT EXISTS (SELECT 1 FROM {table} AS t WHERE position(:plain IN t::text) > 0 OR position(:hex IN t::text) > 0)")
    return bool(connection.execute(found, {"plain": plain, "hex": secret.hex()}).scalar())


def _in_pages(on: Engine, where: str, secret: bytes) -> Sought:
    files = text("SELECT oid::regclass::text, pg_relation_filepath(oid) FROM pg_class WHERE relkind IN ('r', 'i', 't') "
                 "AND pg_relation_filepath(oid) IS NOT NULL")
    overlapping = text("SELECT pg_read_binary_file(:file, :offset, :length, true)")
    found = []
    try:
        with on.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(text("CHECKPOINT"))  # what was changed just now is in files after it
            for name, file in connection.execute(files).all():
                offset = 0
                while data := connection.execute(overlapping, {"file": file, "offset": offset, "length": WINDOW_BYTES}).scalar():
                    if secret in data:
                        found.append(f"{where}: a page of {name}")
                        break
                    offset += max(1, len(data) - len(secret) + 1) if len(data) == WINDOW_BYTES else len(data)
    except DatabaseError as error:
        why = str(error.orig).strip().splitlines()[0]
        return Sought(not_looked_at=(f"{where}: pages with dead rows, which this user may not read ({why})",))
    return Sought(found=tuple(found), looked_at=(f"{where}: pages of tables and indexes",))


def seek_in_files(paths: list[Path], secret: bytes) -> Sought:
    """Their bytes. One that vanishes meanwhile has nothing any more."""
    found = []
    for path in paths:
        with contextlib.suppress(FileNotFoundError):
            if _in_file(path, secret):
                found.append(str(path))
    return Sought(found=tuple(found))


def _in_file(path: Path, secret: bytes) -> bool:
    before = b""
    with _opened(path) as file:
        while data := file.read(WINDOW_BYTES):
            if secret in before + data:
                return True
            before = data[-len(secret) + 1:] if len(secret) > 1 else b""
    return False


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[IO[bytes]]:
    """Files of SQLite's are read by another process: closing one drops all locks that this process has on it, and whoever opens that
    database next takes it for nobody's and cuts off what is mapped here (https://www.sqlite.org/howtocorrupt.html, 2.2)."""
    if not path.name.endswith(OF_SQLITE):
        with path.open("rb", buffering=0) as file:
            yield file
        return
    path.stat()
    with subprocess.Popen(["cat", path], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as reader:
        assert reader.stdout
        yield reader.stdout
        reader.kill()
