"""Instances, and where their nodes are."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import BigInteger, Index, text
from sqlmodel import Field, SQLModel

from models.states import InstanceState, PlacementState
from models.tables.columns import Choice, Instant, Json, new_id, now


class Instance(SQLModel, table=True):
    """A container of resources. Its name is free again once `ended_at` is set."""

    __table_args__ = (Index("uq_instance_living_name", "project_id", "name", unique=True,
                            sqlite_where=text("ended_at IS NULL"), postgresql_where=text("ended_at IS NULL")),)

    id: str = Field(default_factory=lambda: new_id("i"), primary_key=True)
    project_id: str = Field(foreign_key="project.id", index=True)
    template_id: str = Field(foreign_key="template.id", index=True)
    spec_id: str = Field(foreign_key="spec.id", description="what it is now; `modify` changes it")
    name: str = Field(index=True, description="DNS label")
    state: InstanceState = Field(default=InstanceState.DEFINED, sa_type=Choice(InstanceState), index=True)
    reason: str | None = Field(default=None, description="why it failed or is broken, in a sentence")
    parameters: dict[str, str] = Field(default_factory=dict, sa_type=Json, description="as given; the template's defaults fill the rest")
    seed: int = Field(sa_type=BigInteger, description="of every random choice in it")
    start_run: bool = Field(default=True, description="whether a run starts by itself when the instance is up")
    datastore_directory: str | None = Field(default=None, description="on the host that defined it; None: as the template's manifest")
    replay_of_id: str | None = Field(default=None, index=True, description="record; no foreign key, which would be a circle")
    forked_from_id: str | None = Field(default=None, index=True, description="checkpoint; likewise")
    checkpoint_id: str | None = Field(default=None, description="its latest; the parent of the next; likewise")
    home_id: str | None = Field(default=None, foreign_key="host.id", description="the conductor's; or the one that was chosen for it")
    incarnation: str = Field(description="random; a new one at each fork and each restore of a checkpoint that is not the latest")
    epoch: int = Field(default=0, description="never reused; bumped at each attempt to cut and each resume")
    virtual_ns: int = Field(default=0, sa_type=BigInteger, description="reading of the virtual clock when it last stood still")
    flow_run_id: str | None = Field(default=None, description="the Prefect flow run that last changed the state")
    created_at: datetime = Field(default_factory=now, sa_type=Instant)
    created_by: str
    up_at: datetime | None = Field(default=None, sa_type=Instant)
    ended_at: datetime | None = Field(default=None, sa_type=Instant, description="destroyed, or failed and cleaned up")
    hidden_at: datetime | None = Field(default=None, sa_type=Instant)
    expunged_at: datetime | None = Field(default=None, sa_type=Instant)


class Placement(SQLModel, table=True):
    """One node's place on one host."""

    instance_id: str = Field(foreign_key="instance.id", primary_key=True)
    node: str = Field(primary_key=True)
    host_id: str = Field(foreign_key="host.id", index=True)
    state: PlacementState = Field(default=PlacementState.PLANNED, sa_type=Choice(PlacementState))
