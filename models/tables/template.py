"""Templates, which form trees, and the specs they evaluate to."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import Index, UniqueConstraint, text
from sqlmodel import Field, SQLModel

from models.tables.columns import Instant, Json, new_id, now

LIVING_ROOT = text("number = 1 AND expunged_at IS NULL")


class Template(SQLModel, table=True):
    """One immutable definition. `models.templates.add_template` makes them; only hidden_at, expunged_at ever change.

    Expunging empties source, datastore and the rest of the content, and keeps the row as a tombstone.
    """

    __table_args__ = (UniqueConstraint("project_id", "digest"), UniqueConstraint("root_id", "number"),
                      Index("uq_template_root_name", "project_id", "name", unique=True,
                            sqlite_where=LIVING_ROOT, postgresql_where=LIVING_ROOT))

    id: str = Field(default_factory=lambda: new_id("t"), primary_key=True)
    project_id: str = Field(foreign_key="project.id", index=True)
    digest: str = Field(description="BLAKE3 of content and parent's digest, hex", index=True)
    parent_id: str | None = Field(default=None, foreign_key="template.id", index=True)
    root_id: str = Field(foreign_key="template.id", description="its own id, if it has no parent")
    number: int = Field(description="per root, counted from 1, as in `name@3`; outside the digest")
    name: str = Field(index=True, description="the root's, so that `name@3` means one template")
    language: str = Field(description="yaml, python, ns")
    source: str | None
    source_name: str = Field(description="file name of the source, for error messages")
    datastore: str | None = Field(default=None, description="hash of the tree manifest; None: no files")
    datastore_name: str | None = Field(default=None, description="where a checkout puts it, relative to the source; outside the digest")
    externals: list[dict[str, Any]] = Field(default_factory=list, sa_type=Json, description="git or S3 sources, each with its pin")
    parameters: list[dict[str, Any]] = Field(default_factory=list, sa_type=Json, description="`models.spec.Parameter`, as defined")
    imported_from: str | None = Field(default=None, description="installation it came from")
    created_at: datetime = Field(default_factory=now, sa_type=Instant)
    created_by: str
    hidden_at: datetime | None = Field(default=None, sa_type=Instant)
    expunged_at: datetime | None = Field(default=None, sa_type=Instant)


class StoredSpec(SQLModel, table=True):
    """A `models.spec.Spec` as evaluated, once per project however many instances and runs have it."""

    __tablename__ = "spec"
    __table_args__ = (UniqueConstraint("project_id", "digest"),)

    id: str = Field(default_factory=lambda: new_id("s"), primary_key=True)
    project_id: str = Field(foreign_key="project.id")
    digest: str = Field(description="`Spec.digest`")
    body: str | None = Field(description="JSON; None once expunged")
