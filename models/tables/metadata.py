"""Metadata: named, mutable, versioned notes on templates, instances, runs and records; never inside them."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Index
from sqlmodel import Field, SQLModel

from models.states import Subject
from models.tables.columns import Choice, Counter, Instant, now


class Metadata(SQLModel, table=True):
    """The present value of one key of one subject."""

    __table_args__ = (Index("ix_metadata_key_value", "key", "value"),)

    subject: Subject = Field(primary_key=True, sa_type=Choice(Subject))
    subject_id: str = Field(primary_key=True)
    key: str = Field(primary_key=True)
    value: str
    changed_at: datetime = Field(default_factory=now, sa_type=Instant)
    changed_by: str


class MetadataChange(SQLModel, table=True):
    """History: what was before, what came after (None: absent), who, when."""

    __tablename__ = "metadata_change"
    __table_args__ = (Index("ix_metadata_change_subject", "subject", "subject_id"),)

    id: int | None = Field(default=None, primary_key=True, sa_type=Counter)
    subject: Subject = Field(sa_type=Choice(Subject))
    subject_id: str
    key: str
    before: str | None
    after: str | None
    changed_at: datetime = Field(default_factory=now, sa_type=Instant)
    changed_by: str
