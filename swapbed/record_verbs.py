"""The verbs on records: find, list, read, compare, export, change. Command line and Python API both call these."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import and_, exists, func, or_
from sqlalchemy.orm import aliased
from sqlmodel import Session, col, select

from models.database import reading
from models.errors import Conflict, NotFound, TimedOut
from models.manifest import FileKind, ListedFile
from models.states import RecordState
from models.tables import Instance, Project, Record, Run, Template
from swapbed import subjects
from swapbed.lifecycle import project
from swapbed.present.file_names import printable
from swapbed.privilege import user
from tasks.record_trees import record_by_id, tree_of

if TYPE_CHECKING:
    from tasks.amending import Change

POLL_S = 0.03
COMMIT_S = 600.0


@dataclass(frozen=True)
class Known:
    """What the database knows of one record. template: `name@2`; not looked up for lists."""

    row: Record
    run: Run
    instance: Instance
    template: str | None = None

    @property
    def name(self) -> str:
        """`dumbbell-1/2`: of run 2; the instance may be gone, and another have its name."""
        return f"{self.instance.name}/{self.run.number}"


def find(text: str) -> Known:
    """By id, `INSTANCE/RUN`, or INSTANCE for its last run. Of instances with the same name the last; of revisions the newest that is not
    expunged, if there is one."""
    mine = project()
    with reading() as session:
        row = session.get(Record, text)
        if row is None or row.project_id != mine.id:
            row = _by_run(session, mine, text)
        return _known(session, row)


def _by_run(session: Session, mine: Project, text: str) -> Record:
    name, _, number = text.partition("/")
    query = (select(Record).join(Run, col(Record.run_id) == Run.id).join(Instance, col(Run.instance_id) == Instance.id)
             .where(Record.project_id == mine.id, (col(Instance.name) == name) | (col(Instance.id) == name)))
    if number:
        if not number.isdigit():
            raise NotFound("no such record", where=text, next="Name it like INSTANCE/2 for run 2, or by its id")
        query = query.where(Run.number == int(number))
    newest = query.order_by(col(Instance.created_at).desc(), col(Run.number).desc(), col(Record.expunged_at).is_(None).desc(),
                            col(Record.revision).desc())
    row = session.exec(newest).first()
    if row is None:
        runs = (select(Run.id).join(Instance, col(Run.instance_id) == Instance.id)
                .where(Instance.project_id == mine.id, (col(Instance.name) == name) | (col(Instance.id) == name)))
        if session.exec(runs.where(Run.number == int(number)) if number else runs).first() is not None:
            raise NotFound("there is no record of that run (yet)", where=text, next="It is made when the run stops: `swapbed run stop`")
        if session.exec(select(Instance.id).where(Instance.project_id == mine.id, Instance.name == name)).first() is not None:
            raise NotFound("there is no such run", where=text, next=f"`swapbed run ls {name}` lists them")
        raise NotFound("no such record", where=text, next="`swapbed record ls` lists them")
    return row


def all_of(instance: str | None = None, *, revisions: bool = False, hidden: bool = False, limit: int | None = None) -> list[Known]:
    """Of one instance (name or id), or of the project; by instance and run. Without revisions only the newest of each. limit: those of the
    newest runs. Raises NotFound if there never was such an instance."""
    query = _listed(project(), instance, revisions, hidden)
    if limit is not None:
        query = query.order_by(col(Run.created_at).desc(), col(Record.revision).desc()).limit(limit)
    with reading() as session:
        known = [Known(*row) for row in session.exec(query)]
    if instance is not None and not known:
        subjects.find(f"instance:{instance}")
    return sorted(known, key=lambda one: (one.instance.created_at, one.instance.id, one.run.number, one.row.revision))


def count_of(instance: str | None = None, *, revisions: bool = False, hidden: bool = False) -> int:
    """How many `all_of` would find without a limit."""
    query = _listed(project(), instance, revisions, hidden).with_only_columns(func.count(col(Record.id)))
    with reading() as session:
        return int(session.connection().execute(query).scalar_one())


def _listed(mine: Project, instance: str | None, revisions: bool, hidden: bool) -> Any:
    """The statement."""
    query: Any = (select(Record, Run, Instance).join(Run, col(Record.run_id) == Run.id).join(Instance, col(Run.instance_id) == Instance.id)
                  .where(Record.project_id == mine.id))
    if not hidden:
        query = query.where(col(Record.hidden_at).is_(None))
    if instance is not None:
        query = query.where((col(Instance.name) == instance) | (col(Instance.id) == instance))
    if not revisions:
        other = aliased(Record)
        there, gone = col(other.expunged_at).is_(None), col(Record.expunged_at).is_not(None)
        better = exists().where(col(other.run_id) == Record.run_id,
                                or_(and_(there, gone), and_(or_(there, gone), col(other.revision) > Record.revision)))
        query = query.where(~(better if hidden else better.where(col(other.hidden_at).is_(None))))
    return query


def of_run(run_id: str, *, timeout_s: float = COMMIT_S) -> Known:
    """The record of a run that is over, once it is committed. Raises TimedOut, and Conflict while the run is going on."""
    deadline = time.monotonic() + timeout_s
    while True:
        with reading() as session:
            row = session.exec(select(Record).where(Record.run_id == run_id).order_by(col(Record.revision).desc())).first()
            if row is None:
                run = session.get_one(Run, run_id)
                raise Conflict(f"run {run.number} is {run.state}, and has no record", where=run_id)
            if row.state is not RecordState.COMMITTING:
                return _known(session, row)
        if time.monotonic() > deadline:
            raise TimedOut(f"the record is not committed after {timeout_s:g} s{': ' + row.reason if row.reason else ''}", where=row.id)
        time.sleep(POLL_S)


def files(record: Record) -> list[ListedFile]:
    store, root = tree_of(record)
    return [file for file in store.list_tree(root) if file.kind is not FileKind.DIRECTORY]


def read(record: Record, path: str) -> Iterator[bytes]:
    """One file, in pieces."""
    store, root = tree_of(record)
    with store.read_tree(root) as tree:
        yield from tree.read(path)


def path_in(record: Record, path: str) -> str:
    r"""As the record has it, of what lists show: a name whose bytes are not UTF-8 is printed like `na\xefve`. Raises NotFound."""
    names = [file.path for file in files(record)]
    found = next((name for name in names if name == path), None) or next((name for name in names if printable(name) == path), None)
    if found is None:
        raise NotFound(f"'{printable(path)}' is not in this record", where=record.id, next="`swapbed record show --files` lists its files")
    return found


def add(record: Record, source: Path, target: str | None = None) -> Known:
    """A file or directory as added/TARGET: to an open record, or to a new revision of a final one."""
    from tasks.amending import adding

    return _amend(record, adding(source, target))


def remove(record: Record, path: str) -> Known:
    """A file or directory, from an open record, or from a new revision of a final one."""
    from tasks.amending import removing

    as_printed = {printable(file.path): file.path for file in files(record)}
    return _amend(record, removing(as_printed.get(path, path)))


def _amend(record: Record, change: Change) -> Known:
    from tasks.amending import amend
    from tasks.records import working_on_record

    with working_on_record(record.id, "amend record") as lease:
        made = amend(record.id, lease, change, user())
    with reading() as session:
        return _known(session, record_by_id(made.id))


def _known(session: Session, row: Record) -> Known:
    run = session.get_one(Run, row.run_id)
    template = session.get_one(Template, run.template_id)
    return Known(row, run, session.get_one(Instance, run.instance_id), f"{template.name}@{template.number}")
