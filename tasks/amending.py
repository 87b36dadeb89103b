"""Changing a record's files: of an open one in place, of a final one by making its next revision. Both stay readable."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any

from sqlmodel import col, func, select

from models.database import writing
from models.errors import InvalidInput, NotFound
from models.leases import Lease
from models.recorded import ADDED, OWN_FILES
from models.settings import settings
from models.states import RecordState
from models.tables import Record
from models.tables.columns import now
from storage.roots import RootKind
from tasks.record_trees import record_by_id, tree_of
from tasks.records import POLICY

Change = Callable[[Path], None]


@contextmanager
def changed_tree(record: Record) -> Iterator[Path]:
    """A directory with the record's files, to be changed and stored; gone afterwards."""
    store, root = tree_of(record)
    room = settings().state_dir / "spool"
    room.mkdir(parents=True, exist_ok=True, mode=0o700)
    with tempfile.TemporaryDirectory(prefix="record-", dir=room) as directory:
        store.restore_tree(root, Path(directory) / "content")
        yield Path(directory) / "content"


def amend(record_id: str, lease: Lease, change: Change, by: str) -> Record:
    """The record as changed: itself while it is open, else a new revision of it."""
    record = record_by_id(record_id)
    store, _ = tree_of(record)
    with changed_tree(record) as directory:
        change(directory)
        stored = store.store_tree(directory, POLICY)
    values: dict[str, Any] = {"root": stored.hash, "size_bytes": stored.manifest.size_bytes, "files": stored.manifest.files}
    if record.state is RecordState.OPEN:
        store.pin(RootKind.RECORD, record.id, stored.manifest)
        with writing() as session:
            lease.check(session)
            row = session.get_one(Record, record_id)
            for name, value in values.items():
                setattr(row, name, value)
        return record_by_id(record_id)
    if stored.hash == record.root:
        return record
    made = Record(project_id=record.project_id, run_id=record.run_id, amends_id=record.id, state=RecordState.FINAL, created_by=by,
                  summary=record.summary, rules=record.rules, committed_at=now(), finalized_at=now(), **values)
    store.pin(RootKind.RECORD, made.id, stored.manifest)
    with writing() as session:
        lease.check(session)
        made.revision = session.exec(select(func.max(col(Record.revision))).where(Record.run_id == record.run_id)).one() + 1
        session.add(made)
    return made


def adding(source: Path, target: str | None) -> Change:
    """A file or directory of this machine, as added/TARGET."""
    if not source.exists():
        raise NotFound("there is no such file", where=str(source))
    place = checked(f"{ADDED}/{target or source.resolve().name}")

    def change(directory: Path) -> None:
        there = directory / place
        there.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, there, symlinks=True, dirs_exist_ok=True)
        else:
            there.unlink(missing_ok=True)
            shutil.copyfile(source, there)

    return change


def removing(path: str) -> Change:
    """A file or directory of the record; not what says what the record is."""
    place = checked(path)
    if str(place) in OWN_FILES:
        raise InvalidInput("this file says what the record is, and stays", where=path)

    def change(directory: Path) -> None:
        there = directory / place
        if there.is_dir() and not there.is_symlink():
            shutil.rmtree(there)
        elif there.exists() or there.is_symlink():
            there.unlink()
        else:
            raise NotFound("the record has no such file", where=path)

    return change


def checked(path: str) -> PurePosixPath:
    """Raises InvalidInput for what leads out of a record."""
    place = PurePosixPath(path)
    if place.is_absolute() or ".." in place.parts or not place.parts:
        raise InvalidInput("this is no path within a record", where=path)
    return place
