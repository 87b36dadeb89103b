"""Records: the flight recorder of one run, one row per revision."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, UniqueConstraint
from sqlmodel import Field, SQLModel

from models.states import RecordState
from models.tables.columns import Choice, Instant, Json, new_id, now


class Record(SQLModel, table=True):
    """Open until `window_closes_at`, then final. Amending a final record makes the next revision; both stay readable."""

    __table_args__ = (UniqueConstraint("run_id", "revision"),)

    id: str = Field(default_factory=lambda: new_id("rec"), primary_key=True)
    project_id: str = Field(foreign_key="project.id", index=True)
    run_id: str = Field(foreign_key="run.id")
    revision: int = Field(default=1)
    amends_id: str | None = Field(default=None, foreign_key="record.id")
    state: RecordState = Field(default=RecordState.COMMITTING, sa_type=Choice(RecordState), index=True)
    reason: str | None = Field(default=None, description="why the last attempt to commit failed; it may be tried again")
    root: str | None = Field(default=None, index=True, description="hash of the root manifest; None until committed, and once expunged")
    summary: dict[str, Any] = Field(default_factory=dict, sa_type=Json, description="what lists show; derived from the content")
    size_bytes: int = Field(default=0, sa_type=BigInteger, description="logical")
    files: int = 0
    rules: dict[str, Any] = Field(default_factory=dict, sa_type=Json, description="`models.spec.Rules`, applied when the window closes")
    window_closes_at: datetime | None = Field(default=None, sa_type=Instant, index=True)
    imported_from: str | None = None
    created_at: datetime = Field(default_factory=now, sa_type=Instant)
    created_by: str
    committed_at: datetime | None = Field(default=None, sa_type=Instant)
    finalized_at: datetime | None = Field(default=None, sa_type=Instant)
    hidden_at: datetime | None = Field(default=None, sa_type=Instant)
    expunged_at: datetime | None = Field(default=None, sa_type=Instant)
