"""Checkpoints that go with a record when they are asked for: those of its run, each as one file of all its chunks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from datetime import datetime
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from pydantic import BaseModel, ConfigDict
from sqlmodel import Session, col, select

from models.database import reading
from models.manifest import Hash, ManifestKind, ManifestRef
from models.settings import settings
from models.spec import Spec
from models.states import CheckpointState
from models.tables import Checkpoint, Run
from models.tables.columns import new_id
from models.templates import load_spec, store_spec
from storage.roots import RootKind
from storage.store import Store
from swapbed.exchange.archive_files import Member

PIECE_BYTES = 1 << 20


class ExportedCheckpoint(BaseModel):
    """spec: of the instance at that instant. The file is named by root. parent: an id, which may not be in the export."""

    model_config = ConfigDict(extra="forbid")

    id: str
    parent: str | None
    root: Hash
    size_bytes: int
    spec: Spec
    purpose: str
    virtual_ns: int | None
    incarnation: str
    epoch: int
    requirements: dict[str, Any]
    costs: dict[str, Any]
    created_at: datetime
    created_by: str
    durable_at: datetime | None

    @property
    def manifest(self) -> ManifestRef:
        return ManifestRef(kind=ManifestKind.TREE, hash=self.root, size_bytes=self.size_bytes)


class Checkpoints(BaseModel):
    model_config = ConfigDict(extra="forbid")

    format: int = 1
    checkpoints: list[ExportedCheckpoint] = []


def checkpoints_of_run(session: Session, run: Run) -> Checkpoints:
    """Oldest first."""
    durable = select(Checkpoint).where(Checkpoint.run_id == run.id, Checkpoint.state == CheckpointState.DURABLE,
                                       col(Checkpoint.root).is_not(None)).order_by(col(Checkpoint.epoch))
    same = set(ExportedCheckpoint.model_fields) - {"parent", "spec"}
    return Checkpoints(checkpoints=[
        ExportedCheckpoint(parent=row.parent_id, spec=load_spec(session, row.spec_id), **row.model_dump(include=same))
        for row in session.exec(durable)])


def members(store: Store, checkpoints: Sequence[ExportedCheckpoint], below: str, stack: ExitStack) -> Iterator[Member]:
    """Their files; they are in the state directory's spool as long as the stack is open, since an archive must know their lengths."""
    room = settings().state_dir / "spool"
    room.mkdir(parents=True, exist_ok=True, mode=0o700)
    for one in {one.root: one for one in checkpoints}.values():
        place = Path(stack.enter_context(TemporaryDirectory(prefix="checkpoint-", dir=room))) / one.root
        with place.open("wb") as out:
            store.write_manifest(one.manifest, out)
        yield Member(f"{below}/{one.root}", size_bytes=place.stat().st_size, pieces=partial(_pieces, place))


def take(store: Store, checkpoints: Sequence[ExportedCheckpoint], directory: Path) -> None:
    """Into the store, pinned under their ids. Raises Corrupt where one is not what its hash says."""
    for one in checkpoints:
        with (directory / one.root).open("rb") as given:
            store.take_manifest(one.manifest, given, str(directory / one.root))
        store.pin(RootKind.CHECKPOINT, one.id, one.manifest)


def let_go(store: Store, checkpoints: Sequence[ExportedCheckpoint]) -> None:
    """Of an import that failed: those that have no row."""
    with reading() as session:
        unknown = [one.id for one in checkpoints if session.get(Checkpoint, one.id) is None]
    for identifier in unknown:
        store.unpin(RootKind.CHECKPOINT, identifier)


def add_rows(session: Session, checkpoints: Sequence[ExportedCheckpoint], run: Run, project_id: str) -> int:
    """Returns how many of them were not here."""
    came = 0
    for one in checkpoints:
        row = session.get(Checkpoint, one.id)
        if row is not None and row.root is not None:
            continue
        fields = {**one.model_dump(include=set(Checkpoint.model_fields) - {"spec"}), "expunged_at": None}
        parent = session.get(Checkpoint, one.parent) if one.parent else None
        fields |= {"project_id": project_id, "instance_id": run.instance_id, "run_id": run.id, "state": CheckpointState.DURABLE,
                   "spec_id": store_spec(session, project_id, one.spec).id, "parent_id": parent.id if parent else None}
        if row is None:
            session.add(Checkpoint(**fields))
        else:
            row.sqlmodel_update(fields)
        session.flush()
        came += 1
    return came


def with_free_ids(session: Session, checkpoints: Sequence[ExportedCheckpoint], project_id: str) -> list[ExportedCheckpoint]:
    """Ids are kept, but where they are another project's."""
    found = []
    for one in checkpoints:
        row = session.get(Checkpoint, one.id)
        found.append(one if row is None or row.project_id == project_id else one.model_copy(update={"id": new_id("c")}))
    return found


def _pieces(place: Path) -> Iterator[bytes]:
    with place.open("rb") as file:
        while piece := file.read(PIECE_BYTES):
            yield piece
