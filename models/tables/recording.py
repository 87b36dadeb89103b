"""Recordings: events captured while someone works by hand, for later replay."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger
from sqlmodel import Field, SQLModel

from models.states import RecordingState
from models.tables.columns import Choice, Instant, Json, new_id, now


class Recording(SQLModel, table=True):
    """Its clock can be stopped, so that pauses are not replayed: recorded time = virtual time - skipped_ns."""

    id: str = Field(default_factory=lambda: new_id("g"), primary_key=True)
    instance_id: str = Field(foreign_key="instance.id", index=True)
    name: str
    state: RecordingState = Field(default=RecordingState.RECORDING, sa_type=Choice(RecordingState))
    begin_ns: int = Field(sa_type=BigInteger, description="virtual")
    skipped_ns: int = Field(default=0, sa_type=BigInteger)
    paused_ns: int | None = Field(default=None, sa_type=BigInteger, description="virtual time at which its clock was stopped")
    created_at: datetime = Field(default_factory=now, sa_type=Instant)
    created_by: str


class RecordingEvent(SQLModel, table=True):
    __tablename__ = "recording_event"

    recording_id: str = Field(foreign_key="recording.id", primary_key=True)
    position: int = Field(primary_key=True, description="order of replay")
    offset_ns: int = Field(sa_type=BigInteger, description="recorded time since the recording began")
    target: str
    verb: str
    arguments: dict[str, Any] = Field(default_factory=dict, sa_type=Json)
    node: str | None = Field(default=None, description="where a command was run by hand; its target is no agent of the template then")
