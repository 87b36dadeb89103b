"""Notes on templates, instances, runs and records as they go with an export: beside what is hashed, with their history."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from pydantic import BaseModel, ConfigDict
from sqlmodel import Session

from models.metadata import add_history, history_of, values_of
from models.states import Subject
from models.tables import MetadataChange


class NoteChange(BaseModel):
    """before, after: None where the key was, or became, absent."""

    model_config = ConfigDict(extra="forbid", from_attributes=True)

    key: str
    before: str | None
    after: str | None
    changed_at: datetime
    changed_by: str


class NotesOf(BaseModel):
    """of: a template's digest, or an id. notes: what the history comes to, for readers."""

    model_config = ConfigDict(extra="forbid")

    kind: Subject
    of: str
    notes: dict[str, str] = {}
    history: list[NoteChange] = []


class Notes(BaseModel):
    model_config = ConfigDict(extra="forbid")

    format: int = 1
    subjects: list[NotesOf] = []


Named = Mapping[tuple[Subject, str], str]
"""The id here, of each thing as an export names it."""


def notes_on(session: Session, named: Named) -> Notes:
    """Of those that have any, or once had."""
    found = [NotesOf(kind=kind, of=of, notes=values_of(session, kind, identifier),
                     history=[NoteChange.model_validate(row) for row in history_of(session, kind, identifier)])
             for (kind, of), identifier in sorted(named.items())]
    return Notes(subjects=[one for one in found if one.history])


def take_notes(session: Session, notes: Notes, named: Named) -> int:
    """A key that a thing has, or had, here stays as it is here; the others come with their history. Returns how many came."""
    came = 0
    for one in notes.subjects:
        identifier = named.get((one.kind, one.of))
        if identifier is None:
            continue
        known = {change.key for change in history_of(session, one.kind, identifier)}
        add_history(session, one.kind, identifier, [MetadataChange(subject=one.kind, subject_id=identifier, **change.model_dump())
                                                    for change in one.history if change.key not in known])
        came += len({change.key for change in one.history} - known)
    return came
