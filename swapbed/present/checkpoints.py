"""Checkpoints in lists, one by one, and compared."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import TYPE_CHECKING

from pydantic import BaseModel

from models.protocol.checkpoint import Costs
from swapbed.living.checkpoint_verbs import CheckpointDifference, KnownCheckpoint
from swapbed.present import units
from swapbed.present.output import table

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table

COLUMNS = ("checkpoint", "id", "state", "made for", "#virtual time", "#size", "#new", "#stood still", "parent")
DIFFERENCES_LIMIT = 60


class CheckpointShown(BaseModel):
    """name: INSTANCE/EPOCH. size: logical; hashed: read of it; stored: new chunks; sent: those, compressed. root: hash of all of it."""

    id: str
    name: str
    instance_id: str
    epoch: int
    state: str
    reason: str | None
    purpose: str
    parent: str | None
    root: str | None
    virtual_s: float | None
    size_bytes: int
    hashed_bytes: int
    stored_bytes: int
    sent_bytes: int
    created_at: datetime
    durable_at: datetime | None
    costs: Costs


def of(known: KnownCheckpoint) -> CheckpointShown:
    row = known.row
    return CheckpointShown(id=row.id, name=known.name, instance_id=row.instance_id, epoch=row.epoch, state=row.state, reason=row.reason,
                           purpose=row.purpose, parent=row.parent_id, root=row.root,
                           virtual_s=None if row.virtual_ns is None else row.virtual_ns / 1e9, size_bytes=row.size_bytes,
                           hashed_bytes=row.hashed_bytes, stored_bytes=row.stored_bytes, sent_bytes=row.sent_bytes,
                           created_at=row.created_at, durable_at=row.durable_at, costs=known.costs)


def listing(shown: Iterable[CheckpointShown]) -> Table:
    rows = [(one.name, one.id, one.state, one.purpose, "" if one.virtual_s is None else f"{one.virtual_s:.3f} s",
             units.size(one.size_bytes), units.size(one.stored_bytes),
             "" if one.costs.stood_ns is None else units.duration(one.costs.stood_ns / 1e9), one.parent or "")
            for one in shown]
    return table(None, COLUMNS, rows)


def sentence(one: CheckpointShown) -> str:
    """`net/2 (c-…) is durable: at 12.345 s of virtual time, 31 MiB, 2 MiB of them new`."""
    if one.state != "durable":
        return f"{one.name} ({one.id}) is {one.state}{': ' + one.reason if one.reason else ''}"
    return (f"{one.name} ({one.id}) is durable: at {one.virtual_s or 0:.3f} s of virtual time, {units.size(one.size_bytes)}, "
            f"{units.size(one.stored_bytes)} of them new")


def details(one: CheckpointShown) -> list[RenderableType]:
    costs = one.costs
    parts: list[RenderableType] = [sentence(one)]
    if costs.stood_ns is not None:
        steps = ", ".join(f"{step} {units.duration(taken / 1e9)}" for step, taken in costs.steps_ns.items())
        parts.append(f"the instance stood still for {units.duration(costs.stood_ns / 1e9)}: {steps}")
    if costs.host:
        parts.append(f"captured on {costs.host}")
    if costs.copying:
        parts.append(f"nodes' files: {costs.copying}; memory: written by CRIU")
    if costs.parts:
        rows = [(name or "manifests", units.size(part.read_bytes), units.size(part.new_bytes), units.size(part.sent_bytes))
                for name, part in sorted(costs.parts.items())]
        parts.append(table("What each part cost", ("part", "#hashed", "#new", "#sent"), rows, limit=2 * DIFFERENCES_LIMIT))
    return parts


def differences(found: CheckpointDifference) -> list[RenderableType]:
    parts: list[RenderableType] = [f"{units.duration(found.virtual_s)} of virtual time between them; frames in flight: "
                                   f"{found.frames_before}, then {found.frames_after}"]
    parts += [f"{verb}: {', '.join(names)}" for verb, names in (("ended", found.ended), ("begun", found.begun)) if names]
    rows = [(one.part, one.files, units.size(one.bytes_before), units.size(one.bytes_after)) for one in found.parts]
    parts.append(table("Changed parts", ("part", "#files", "#before", "#after"), rows))
    files = [(one.change, one.path, units.size(one.size_before), units.size(one.size_after)) for one in found.files]
    if files:
        parts.append(table("Nodes' files", ("change", "path", "#before", "#after"), files, limit=DIFFERENCES_LIMIT))
    return parts
