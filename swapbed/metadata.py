"""The verbs on metadata: notes on templates, instances, runs and records, beside them and never inside."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from pydantic import BaseModel, ConfigDict

from models.database import reading, writing
from models.metadata import history_of, set_value, values_of
from swapbed import subjects
from swapbed.privilege import user


class Change(BaseModel):
    """before, after: None where the key was, or became, absent."""

    model_config = ConfigDict(from_attributes=True)

    key: str
    before: str | None
    after: str | None
    changed_at: datetime
    changed_by: str


def annotate(subject: str, notes: Mapping[str, Any] | None = None, **more: Any) -> dict[str, str]:
    """Set values, or remove those that are None, all of them or none; what there is now. subject: as `swapbed.subjects.find` reads it."""
    named = subjects.find(subject)
    with writing() as session:
        for key, value in {**(notes or {}), **more}.items():
            set_value(session, named.kind, named.id, key, None if value is None else str(value), by=user())
        return values_of(session, named.kind, named.id)


def notes(subject: str) -> dict[str, str]:
    named = subjects.find(subject)
    with reading() as session:
        return values_of(session, named.kind, named.id)


def history(subject: str) -> list[Change]:
    """Oldest first."""
    named = subjects.find(subject)
    with reading() as session:
        return [Change.model_validate(change) for change in history_of(session, named.kind, named.id)]
