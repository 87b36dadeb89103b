"""A record's row, and its tree in the store."""

from __future__ import annotations

from sqlmodel import Session, col, select

from models.database import reading
from models.errors import Corrupt, NotFound
from models.recorded import Recorded
from models.tables import Project, Record
from storage.store import Store


def record_by_id(record_id: str) -> Record:
    with reading() as session:
        record = session.get(Record, record_id)
    if record is None:
        raise NotFound("no such record", where=record_id)
    return record


def first_record(session: Session, run_id: str) -> Record | None:
    """The run's, as it was before anything was amended. None: the run never began, or is not over."""
    return session.exec(select(Record).where(Record.run_id == run_id).order_by(col(Record.revision))).first()


def tree_of(record: Record) -> tuple[Store, str]:
    """The store, and the hash of the record's tree in it. Raises NotFound while it is not committed, or once it is expunged."""
    if record.root is None:
        what = "the record was expunged" if record.expunged_at else f"the record is {record.state}"
        raise NotFound(what + (f": {record.reason}" if record.reason else ""), where=record.id)
    return Store.of(project_of(record)), record.root


def recorded(record: Record) -> Recorded:
    """Its record.json."""
    store, root = tree_of(record)
    try:
        return Recorded.model_validate_json(store.read_file(root, "record.json"))
    except ValueError as error:
        raise Corrupt("its record.json cannot be read", where=record.id) from error


def project_of(record: Record) -> str:
    with reading() as session:
        return session.get_one(Project, record.project_id).name
