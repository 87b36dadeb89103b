"""Runs, and what happened in them."""

from __future__ import annotations

from datetime import datetime
from html import escape
from typing import Any

from sqlalchemy import BigInteger, UniqueConstraint
from sqlmodel import Field, SQLModel

from models.states import RunOutcome, RunState
from models.tables.columns import Choice, Counter, Instant, Json, new_id, now


class Run(SQLModel, table=True):
    """One unit of work in an instance. Runs of an instance are serial; each yields one record."""

    __table_args__ = (UniqueConstraint("instance_id", "number"),)

    id: str = Field(default_factory=lambda: new_id("r"), primary_key=True)
    instance_id: str = Field(foreign_key="instance.id", index=True)
    number: int = Field(description="in its instance, from 1")
    template_id: str = Field(foreign_key="template.id", index=True, description="which the instance had during this run")
    spec_id: str = Field(foreign_key="spec.id")
    state: RunState = Field(default=RunState.DEFINED, sa_type=Choice(RunState), index=True)
    outcome: RunOutcome | None = Field(default=None, sa_type=Choice(RunOutcome), index=True)
    reason: str | None = Field(default=None, description="why it is not `ok`, in a sentence")
    parameters: dict[str, str] = Field(default_factory=dict, sa_type=Json, description="every parameter's value in this run")
    environment_of_run: str = Field(default="inherit", description="inherit or fresh")
    inputs: list[dict[str, str]] = Field(default_factory=list, sa_type=Json, description="files given to it: record, path, target")
    origin: str = Field(default="user", description="user, event, sweep, replay, schedule")
    begin_ns: int | None = Field(default=None, sa_type=BigInteger, description="virtual time at which its run time was 0")
    end_ns: int | None = Field(default=None, sa_type=BigInteger)
    events_collected: int = Field(default=0, sa_type=BigInteger, description="the conductor's log is in the table up to before this number")
    created_at: datetime = Field(default_factory=now, sa_type=Instant, index=True)
    created_by: str
    began_at: datetime | None = Field(default=None, sa_type=Instant)
    ended_at: datetime | None = Field(default=None, sa_type=Instant)
    hidden_at: datetime | None = Field(default=None, sa_type=Instant)
    expunged_at: datetime | None = Field(default=None, sa_type=Instant)

    def _repr_html_(self) -> str:
        """For notebooks, which get rows of this table from `net.run()`, `net.stop()` and `net.runs`."""
        lasted = f"{(self.end_ns - self.begin_ns) / 1e9:.3g} s" if self.begin_ns is not None and self.end_ns is not None else ""
        facts = {"run": self.number, "state": self.state, "outcome": self.outcome, "reason": self.reason, "lasted": lasted,
                 "environment": self.environment_of_run, "origin": self.origin, **self.parameters}
        rows = "".join(f"<tr><td>{escape(name)}</td><td>{escape(str(value))}</td></tr>" for name, value in facts.items() if value)
        return f"<table><tbody>{rows}</tbody></table>"


class ActivityEvent(SQLModel, table=True):
    """One event as it really happened: the conductor's log, line `number`, of one run."""

    __tablename__ = "activity_event"
    __table_args__ = (UniqueConstraint("run_id", "number"),)

    id: int | None = Field(default=None, primary_key=True, sa_type=Counter)
    run_id: str = Field(foreign_key="run.id")
    number: int = Field(sa_type=BigInteger, description="in the conductor's log of this instance")
    kind: str = Field(description="fired, completed, … as the conductor names it")
    token: int | None = Field(default=None, sa_type=BigInteger, description="joins an event's firing and its completion")
    cause: int | None = Field(default=None, sa_type=BigInteger, description="token of the sequence, timeline or group it stands in")
    origin: str = Field(default="", description="the timeline or sequence it stands in, or who sent it")
    target: str
    verb: str
    arguments: dict[str, Any] = Field(default_factory=dict, sa_type=Json)
    planned_ns: int | None = Field(default=None, sa_type=BigInteger)
    actual_ns: int = Field(sa_type=BigInteger, description="virtual")
    run_ns: int | None = Field(default=None, sa_type=BigInteger, description="run time")
    at: datetime = Field(sa_type=Instant, description="wall clock of the conductor's host")
    outcome_code: int | None = Field(default=None, description="0: as it should; None: not an end of anything")
    outcome_error: str | None = None
    detail: dict[str, Any] = Field(default_factory=dict, sa_type=Json, description="of programs: exit code, cpu time, memory, tag, files")
