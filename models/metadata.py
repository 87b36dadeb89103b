"""Metadata of templates, instances, runs and records: the present values, and who changed what, when, from what."""

from __future__ import annotations

import re
from collections.abc import Iterable

from sqlmodel import Session, col, select

from models.errors import InvalidInput
from models.states import Subject
from models.tables import Metadata, MetadataChange
from models.tables.columns import now

KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,62}")
VALUE_LIMIT = 64 << 10


def set_value(session: Session, subject: Subject, subject_id: str, key: str, value: str | None, *, by: str) -> None:
    """value None: the key goes. What changes nothing leaves no trace in the history."""
    _check(subject_id, key, value)
    row = session.get(Metadata, (subject, subject_id, key))
    before = row.value if row else None
    if before == value:
        return
    session.add(MetadataChange(subject=subject, subject_id=subject_id, key=key, before=before, after=value, changed_by=by))
    if row is None:
        session.add(Metadata(subject=subject, subject_id=subject_id, key=key, value=value or "", changed_by=by))
    elif value is None:
        session.delete(row)
    else:
        row.value, row.changed_by, row.changed_at = value, by, now()
    session.flush()


def values_of(session: Session, subject: Subject, subject_id: str) -> dict[str, str]:
    mine = select(Metadata).where(Metadata.subject == subject, Metadata.subject_id == subject_id).order_by(Metadata.key)
    return {row.key: row.value for row in session.exec(mine)}


def history_of(session: Session, subject: Subject, subject_id: str) -> list[MetadataChange]:
    """Oldest first."""
    mine = select(MetadataChange).where(MetadataChange.subject == subject, MetadataChange.subject_id == subject_id)
    return list(session.exec(mine.order_by(col(MetadataChange.id))))


def add_history(session: Session, subject: Subject, subject_id: str, changes: Iterable[MetadataChange]) -> None:
    """As it happened elsewhere, oldest first; of keys that the subject never had here. What it comes to is the present."""
    present: dict[str, MetadataChange] = {}
    for change in changes:
        _check(subject_id, change.key, change.after)
        session.add(change)
        present[change.key] = change
    for key, last in present.items():
        if last.after is not None:
            session.add(Metadata(subject=subject, subject_id=subject_id, key=key, value=last.after, changed_at=last.changed_at,
                                 changed_by=last.changed_by))
    session.flush()


def _check(subject_id: str, key: str, value: str | None) -> None:
    if not KEY.fullmatch(key):
        raise InvalidInput(f"'{key}' cannot be a key (a letter, then letters, digits, '_', '.', '-', at most 63)", where=subject_id)
    if value is not None and (len(value) > VALUE_LIMIT or "\0" in value):
        raise InvalidInput(f"the value of '{key}' is over {VALUE_LIMIT >> 10} KiB, or holds a NUL byte", where=subject_id,
                           next="Metadata are notes: put data into a record or a datastore")
