"""A project: what may read what. Chunks, templates and names are shared within one and never across."""

from __future__ import annotations

from datetime import datetime

from sqlmodel import Field, SQLModel

from models.tables.columns import Instant, new_id, now


class Project(SQLModel, table=True):
    id: str = Field(default_factory=lambda: new_id("p"), primary_key=True)
    name: str = Field(unique=True, description="DNS label")
    created_at: datetime = Field(default_factory=now, sa_type=Instant)
