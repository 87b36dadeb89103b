"""Checkpoints of whole instances; those of one instance form a tree."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger
from sqlmodel import Field, SQLModel

from models.states import CheckpointState, PartState
from models.tables.columns import Choice, Instant, Json, new_id, now


class Checkpoint(SQLModel, table=True):
    """A consistent state of a whole instance at one virtual instant."""

    id: str = Field(default_factory=lambda: new_id("c"), primary_key=True)
    project_id: str = Field(foreign_key="project.id", index=True)
    instance_id: str = Field(foreign_key="instance.id", index=True)
    run_id: str | None = Field(default=None, foreign_key="run.id", description="the run that was going on")
    parent_id: str | None = Field(default=None, foreign_key="checkpoint.id", index=True)
    spec_id: str = Field(foreign_key="spec.id")
    state: CheckpointState = Field(default=CheckpointState.CAPTURING, sa_type=Choice(CheckpointState))
    reason: str | None = None
    purpose: str = Field(default="checkpoint", description="checkpoint, swapout or snapshot")
    root: str | None = Field(default=None, index=True, description="hash of the root manifest; None until durable, and once expunged")
    virtual_ns: int | None = Field(default=None, sa_type=BigInteger, description="the instant of the cut")
    incarnation: str
    epoch: int
    requirements: dict[str, Any] = Field(default_factory=dict, sa_type=Json, description="what a host must match: base, CPU, tools")
    size_bytes: int = Field(default=0, sa_type=BigInteger, description="logical")
    hashed_bytes: int = Field(default=0, sa_type=BigInteger)
    sent_bytes: int = Field(default=0, sa_type=BigInteger)
    stored_bytes: int = Field(default=0, sa_type=BigInteger)
    costs: dict[str, Any] = Field(default_factory=dict, sa_type=Json, description="`models.protocol.checkpoint.Costs`")
    created_at: datetime = Field(default_factory=now, sa_type=Instant)
    created_by: str
    durable_at: datetime | None = Field(default=None, sa_type=Instant)
    expunged_at: datetime | None = Field(default=None, sa_type=Instant)


class CheckpointPart(SQLModel, table=True):
    """One node's, or one host's wires' or conductor's, part of a checkpoint; what a handoff pipelines."""

    __tablename__ = "checkpoint_part"

    checkpoint_id: str = Field(foreign_key="checkpoint.id", primary_key=True)
    part: str = Field(primary_key=True, description="node/NAME, wires, conductor")
    host_id: str = Field(foreign_key="host.id", index=True, description="where it was captured and is spooled")
    state: PartState = Field(default=PartState.CAPTURED, sa_type=Choice(PartState))
    manifest: str | None = Field(default=None, description="hash")
    size_bytes: int = Field(default=0, sa_type=BigInteger)
