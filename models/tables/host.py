"""Hosts: machines that nodes are placed on."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger
from sqlmodel import Field, SQLModel

from models.states import HostState
from models.tables.columns import Choice, Instant, Json, new_id, now


class Host(SQLModel, table=True):
    """Capacities are what may be promised to nodes; None: without limit."""

    id: str = Field(default_factory=lambda: new_id("h"), primary_key=True)
    name: str = Field(unique=True)
    address: str | None = Field(default=None, description="SSH destination, user@host:port; None: this machine")
    python: str | None = Field(default=None, description="path of Swapbed's interpreter there; None: the usual place")
    state: HostState = Field(default=HostState.UP, sa_type=Choice(HostState))
    nodes: int | None = Field(default=None, description="how many nodes it may carry")
    cpus: float | None = None
    memory_bytes: int | None = Field(default=None, sa_type=BigInteger)
    facts: dict[str, Any] = Field(default_factory=dict, sa_type=Json, description="what `doctor` found")
    seen_at: datetime | None = Field(default=None, sa_type=Instant)
    created_at: datetime = Field(default_factory=now, sa_type=Instant)
