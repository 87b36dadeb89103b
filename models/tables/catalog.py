"""The storage catalog: which chunk lies in which pack, what is pinned, and who is just storing or fetching.

`pack` and `chunk` can be made anew from the packs themselves (`storage.rebuild`); `root` from the objects that mirror it. Rows of `chunk`
are by far the most rows there are, so they hold nothing that another table can tell, and refer to nothing by a foreign key.
Times `_s` are seconds since 1970 by the database's clock.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, Double, Index, LargeBinary, SmallInteger, UniqueConstraint
from sqlmodel import Field, SQLModel

from models.manifest import ManifestKind
from models.states import PackState, TransferState
from models.tables.columns import Choice, Counter, Instant, Json, new_id, now


class Pack(SQLModel, table=True):
    """One object of chunks. Its number is never given again, nor is its name."""

    __table_args__ = {"sqlite_autoincrement": True}

    id: int | None = Field(default=None, primary_key=True, sa_type=Counter)
    project_id: str = Field(foreign_key="project.id", index=True)
    name: str = Field(unique=True, description="BLAKE3 of its bytes, hex")
    state: PackState = Field(sa_type=Choice(PackState), index=True)
    transfer_id: str | None = Field(default=None, index=True, description="None: found by a rebuild")
    writer: str = Field(default="", description="instance whose host sent it, and which alone relies on it until it is verified")
    size_bytes: int = Field(sa_type=BigInteger)
    chunks: int = 0
    writable_until_s: float | None = Field(default=None, sa_type=Double, description="a permission to put it may be used until then")
    created_s: float = Field(sa_type=Double)
    retired_s: float | None = Field(default=None, sa_type=Double)


class Chunk(SQLModel, table=True):
    """One place of one chunk. condemned: a collection found no root that reaches it; it is told to nobody any more.

    complete: everything that this node refers to, and all below it, was in verified packs when somebody looked.
    """

    __table_args__ = {"sqlite_with_rowid": False}

    hash: bytes = Field(primary_key=True, sa_type=LargeBinary)
    pack_id: int = Field(primary_key=True, sa_type=BigInteger, sa_column_kwargs={"autoincrement": False})
    offset: int
    stored_bytes: int
    raw_bytes: int
    kind: int = Field(sa_type=SmallInteger, description="`storage.nodes.Kind`")
    condemned: bool = False
    complete: bool = False


class Root(SQLModel, table=True):
    """Something that pins a manifest and all it reaches. name: the id of the template, record, checkpoint or image."""

    __table_args__ = (UniqueConstraint("project_id", "kind", "name"),)

    id: str = Field(default_factory=lambda: new_id("root"), primary_key=True)
    project_id: str = Field(foreign_key="project.id")
    kind: str = Field(description="template, record, checkpoint, image, recovered")
    name: str
    manifest: str = Field(index=True, description="hash, hex")
    manifest_kind: ManifestKind = Field(sa_type=Choice(ManifestKind))
    size_bytes: int = Field(default=0, sa_type=BigInteger, description="logical")
    files: int = 0
    created_at: datetime = Field(default_factory=now, sa_type=Instant)


class Transfer(SQLModel, table=True):
    """One storing or fetching, from its token to its end. id: the token's nonce, so that a token begins one transfer only."""

    __table_args__ = (Index("ix_transfer_living", "state", "expires_s"),)

    id: str = Field(primary_key=True)
    project_id: str = Field(foreign_key="project.id")
    instance: str = Field(index=True, description="empty: Swapbed's own process")
    operation: str = Field(description="store or fetch")
    state: TransferState = Field(sa_type=Choice(TransferState))
    manifests: list[dict[str, Any]] = Field(default_factory=list, sa_type=Json, description="what may be fetched: `ManifestRef`s")
    secret_hash: str = Field(default="", description="BLAKE3 of what the host must say in every request")
    epoch: int | None = Field(default=None, sa_type=BigInteger, description="the store's, when it began")
    expires_s: float = Field(sa_type=Double)
    sent_bytes: int = Field(default=0, sa_type=BigInteger)


class StoreIdentity(SQLModel, table=True):
    """The one object store this catalog is about, and how far collecting its garbage has come.

    epoch: odd while chunks are being condemned. As in the store's own mark; lower: this catalog is older than the packs.
    condemned_epoch: what is condemned may go when every transfer that began in an earlier epoch is over; 0: nothing is.
    """

    __tablename__ = "store"

    id: int = Field(default=1, primary_key=True, sa_column_kwargs={"autoincrement": False})
    identity: str
    epoch: int = Field(default=0, sa_type=BigInteger)
    condemned_epoch: int = Field(default=0, sa_type=BigInteger)
