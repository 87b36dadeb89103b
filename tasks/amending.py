"""Changing a record's files: of an open one in place, of a final one by making its next revision. Both stay readable."""

from __future__ import annotations

import os
import shutil
import stat
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any

from sqlmodel import col, func, select

from models.database import writing
from models.errors import HostProblem, InvalidInput, NotFound
from models.leases import Lease
from models.recorded import ADDED, OWN_FILES
from models.settings import settings
from models.states import RecordState
from models.tables import Record
from models.tables.columns import now
from storage.roots import RootKind
from storage.store import Store
from tasks.record_trees import project_of, record_by_id, tree_of
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
    with changed_tree(record) as directory, Store.of(project_of(record)) as store:
        try:
            change(directory)
        except OSError as error:
            raise HostProblem(f"the record cannot be changed: {error.strerror}", where=error.filename, next="It is as it was") from error
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
    """A file or directory of this machine, as added/TARGET. What is there already is replaced, but no directory by a file."""
    if not source.exists():
        raise NotFound("there is no such file", where=str(source))
    place = checked(f"{ADDED}/{target or source.resolve().name}")

    def change(directory: Path) -> None:
        there = _within(directory, place)
        if there is None:
            raise InvalidInput("in the record, a file or a symbolic link is in the way", where=str(place))
        there.parent.mkdir(parents=True, exist_ok=True)
        _put(source.resolve(), there, directory)

    return change


def _put(source: Path, there: Path, directory: Path) -> None:
    """Nothing is followed, on either side."""
    mode = source.lstat().st_mode
    if stat.S_ISDIR(mode):
        if there.is_symlink() or there.is_file():
            there.unlink()
        there.mkdir(exist_ok=True)
        for entry in sorted(source.iterdir()):
            _put(entry, there / entry.name, directory)
        return
    if not stat.S_ISREG(mode) and not stat.S_ISLNK(mode):
        raise InvalidInput("only files, directories and symbolic links can be added", where=str(source))
    if there.is_dir() and not there.is_symlink():
        raise InvalidInput("the record has a directory of that name", where=str(there.relative_to(directory)),
                           next="Remove it first: `swapbed record rm`")
    there.unlink(missing_ok=True)
    shutil.copy(source, there, follow_symlinks=False)


def removing(path: str) -> Change:
    """A file or directory of the record; not what says what the record is."""
    place = checked(path)
    if str(place) in OWN_FILES:
        raise InvalidInput("this file says what the record is, and stays", where=path)

    def change(directory: Path) -> None:
        there = _within(directory, place)
        if there is not None and there.is_dir() and not there.is_symlink():
            shutil.rmtree(there)
        elif there is not None and os.path.lexists(there):
            there.unlink()
        else:
            raise NotFound("the record has no such file", where=path)

    return change


def _within(directory: Path, place: PurePosixPath) -> Path | None:
    """Where that is in the record's tree. None: a file, or a link that a program of the run may have put there, is in the place of a
    directory on the way; through it one would come to the files of this machine."""
    there = directory
    for name in place.parts[:-1]:
        there /= name
        if os.path.lexists(there) and (there.is_symlink() or not there.is_dir()):
            return None
    return there / place.name


def checked(path: str) -> PurePosixPath:
    """Raises InvalidInput for what leads out of a record."""
    place = PurePosixPath(path)
    if place.is_absolute() or ".." in place.parts or not place.parts:
        raise InvalidInput("this is no path within a record", where=path)
    return place
