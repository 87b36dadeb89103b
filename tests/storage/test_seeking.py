"""What is hidden somewhere in store or database is found there, else its absence would prove nothing."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Engine, text

from models.database import writing
from storage.expunging import expunge, scrub_database, scrub_file
from storage.roots import RootKind
from storage.s3_objects import S3Objects
from storage.seeking import holds, seek_in_database, seek_in_files, seek_in_store
from storage.store import Store
from tests.storage.conftest import admin

SECRET = b"correct horse battery staple"


@given(st.binary(max_size=64), st.binary(max_size=64), st.integers(min_value=0, max_value=len(SECRET)))
def test_it_is_found_on_either_side_of_a_cut(before: bytes, after: bytes, cut: int) -> None:
    assert holds(before + SECRET[:cut], SECRET) or holds(SECRET[cut:] + after, SECRET)


def test_a_compressed_chunk_is_looked_into(any_store: Store, tmp_path: Path) -> None:
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree/log").write_bytes(b"line after line\n" * 900 + SECRET)
    any_store.pin(RootKind.RECORD, "r", any_store.store_tree(tmp_path / "tree").manifest)
    found = seek_in_store(any_store.objects, SECRET)
    assert any("chunk" in place for place in found.found)
    assert expunge(any_store.catalog.on, any_store.objects, "test", [(RootKind.RECORD, "r")], holder="test").done
    assert seek_in_store(any_store.objects, SECRET).found == ()


def test_an_old_version_is_looked_into(request: pytest.FixtureRequest) -> None:
    server = request.getfixturevalue("seaweedfs")
    admin(server).create_bucket(Bucket="seeking")
    admin(server).put_bucket_versioning(Bucket="seeking", VersioningConfiguration={"Status": "Enabled"})
    objects = S3Objects("seeking", endpoint=server.endpoint, access_key=server.access_key, secret_key=server.secret_key)
    objects.put("roots/a", SECRET)
    objects.put("roots/a", b"nothing")
    assert ["old version" in place for place in seek_in_store(objects, SECRET).found] == [True]
    objects.delete(["roots/a"])
    assert seek_in_store(objects, SECRET).found == ()


def test_rows_and_dead_rows_are_looked_at(database: Engine) -> None:
    with writing(database) as session:
        session.connection().execute(text("INSERT INTO project (id, name, created_at) VALUES ('p-x', :name, '2026-01-01')"),
                                     {"name": SECRET.decode()})
    assert seek_in_database(database, SECRET).found
    with writing(database) as session:
        session.connection().execute(text("DELETE FROM project"))
    if database.dialect.name == "postgresql":
        assert any("page" in place for place in seek_in_database(database, SECRET).found), "a dead row"
    scrub_database(database)
    after = seek_in_database(database, SECRET)
    assert after.found == () and after.looked_at
    assert (database.dialect.name == "postgresql") == any("write-ahead log" in place for place in after.not_looked_at)


CHECKPOINTS = """
import fcntl, sys
with open(sys.argv[1], "r+b") as shared:
    fcntl.lockf(shared, fcntl.LOCK_EX, 1, 121)  # WAL_CKPT_LOCK: https://www.sqlite.org/walformat.html, "WAL locks"
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_log_is_emptied_although_another_makes_a_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "x.db"
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as alone:
        alone.execute("PRAGMA journal_mode = WAL")
        alone.execute("PRAGMA secure_delete = ON")
        alone.execute("CREATE TABLE t (b)")
        alone.execute("INSERT INTO t VALUES (?)", (SECRET,))
        alone.execute("DELETE FROM t")
        with subprocess.Popen([sys.executable, "-c", CHECKPOINTS, f"{path}-shm"], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
            assert other.stdout is not None and other.stdout.readline() == b"held\n"
            waits = []
            monkeypatch.setattr("storage.expunging.time.sleep", lambda delay_s: waits.append(delay_s) or other.communicate())
            scrub_file(alone)
        assert waits and seek_in_files([path, tmp_path / "x.db-wal"], SECRET).found == ()


def test_it_is_found_across_windows(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(os.urandom((4 << 20) - 5) + SECRET)
    assert seek_in_files([tmp_path / "file", tmp_path / "gone"], SECRET).found == (str(tmp_path / "file"),)
    (tmp_path / "file").write_bytes(SECRET[:-1])
    assert seek_in_files([tmp_path / "file"], SECRET).found == ()


def test_looking_at_a_database_leaves_its_locks_alone(tmp_path: Path) -> None:
    """Seen as a SIGBUS: another process had cut off the file that this one had mapped."""
    path = tmp_path / "x.db"
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as here:
        here.execute("PRAGMA journal_mode = WAL")
        here.execute("CREATE TABLE t (b)")
        here.execute("BEGIN IMMEDIATE")
        here.execute("INSERT INTO t VALUES (?)", (SECRET,))
        assert seek_in_files([path, tmp_path / "x.db-wal", tmp_path / "x.db-shm"], b"nowhere").found == ()
        other = "import sqlite3, sys; sqlite3.connect(sys.argv[1], timeout=0).execute('BEGIN IMMEDIATE')"
        refused = subprocess.run([sys.executable, "-c", other, path], capture_output=True, text=True)
        assert "database is locked" in refused.stderr
        here.execute("COMMIT")
    assert seek_in_files([path], SECRET).found == (str(path),)
