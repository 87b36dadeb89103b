"""What instances asked of the controller, and what became of it."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger
from sqlmodel import Field, SQLModel

from models.states import MessageState
from models.tables.columns import Choice, Instant, Json, now


class OutboxMessage(SQLModel, table=True):
    """One message of one instance's outbox on one host; its number is the position read up to. Stored once, handled once."""

    __tablename__ = "outbox_message"

    instance_id: str = Field(foreign_key="instance.id", primary_key=True)
    host_id: str = Field(foreign_key="host.id", primary_key=True)
    number: int = Field(primary_key=True, sa_type=BigInteger)
    kind: str = Field(description="terminate, stop-run, start-run, swapout, node-died, …")
    content: dict[str, Any] = Field(default_factory=dict, sa_type=Json)
    run: int | None = Field(default=None, description="number of the run that was going on when it was said")
    flow: str | None = Field(default=None, description="what it was turned into; None: not yet, or nothing was to be done")
    ids: dict[str, str] = Field(default_factory=dict, sa_type=Json)
    state: MessageState = Field(default=MessageState.HEARD, sa_type=Choice(MessageState), index=True)
    reason: str | None = None
    heard_at: datetime = Field(default_factory=now, sa_type=Instant)
    handled_at: datetime | None = Field(default=None, sa_type=Instant)
