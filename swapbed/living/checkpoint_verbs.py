"""The verbs on checkpoints: find, list, compare, and fork. Command line and Python API both call these."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlmodel import Session, col, select

from models.checkpoints import checkpoints_of, define_fork
from models.database import reading, writing
from models.errors import Conflict, NotFound
from models.manifest import Difference, ManifestKind, ManifestRef
from models.protocol.checkpoint import CheckpointManifest, Costs, NodeManifest, part_of
from models.protocol.control import Message
from models.states import CheckpointState
from models.tables import Checkpoint, Instance
from models.templates import load_spec
from storage.store import Store
from swapbed import subjects
from swapbed.lifecycle import Known, find, host_named, pass_on, project
from swapbed.living.runs import checked
from swapbed.present.progress import Report, quiet
from swapbed.privilege import user
from swapbed.serving import server
from swapbed.serving.launch import launch


@dataclass(frozen=True)
class KnownCheckpoint:
    """What the database knows of one checkpoint. instance: whose state it is."""

    row: Checkpoint
    instance: Instance

    @property
    def name(self) -> str:
        """`dumbbell-1/2`: its second cut. The instance may be gone, and another have its name."""
        return f"{self.instance.name}/{self.row.epoch}"

    @property
    def costs(self) -> Costs:
        return Costs.model_validate(self.row.costs)

    @property
    def tree(self) -> ManifestRef:
        """Raises Conflict if it is not durable."""
        if self.row.root is None:
            raise Conflict(f"the checkpoint is {self.row.state}, and has no content", where=self.row.id)
        return ManifestRef(kind=ManifestKind.TREE, hash=self.row.root, size_bytes=self.row.size_bytes)


class PartDifference(Message):
    """Of one node's kind of state, or of what is of the whole instance: files that changed, came or went, with their sizes."""

    part: str
    files: int
    bytes_before: int
    bytes_after: int


class CheckpointDifference(Message):
    """virtual_s: how much later the second is. ended, begun: processes, as `a: sh (17)`. files: what nodes changed of theirs."""

    virtual_s: float
    frames_before: int
    frames_after: int
    ended: tuple[str, ...] = ()
    begun: tuple[str, ...] = ()
    parts: tuple[PartDifference, ...] = ()
    files: tuple[Difference, ...] = ()


def find_checkpoint(text: str) -> KnownCheckpoint:
    """By id, `INSTANCE/EPOCH`, or INSTANCE for its newest durable one. Of instances with the same name the last."""
    mine = project()
    with reading() as session:
        row = session.get(Checkpoint, text)
        if row is None or row.project_id != mine.id:
            row = _by_instance(session, mine.id, text)
        return KnownCheckpoint(row, session.get_one(Instance, row.instance_id))


def _by_instance(session: Session, project_id: str, text: str) -> Checkpoint:
    name, _, number = text.partition("/")
    query = (select(Checkpoint).join(Instance, col(Checkpoint.instance_id) == Instance.id)
             .where(Checkpoint.project_id == project_id, (col(Instance.name) == name) | (col(Instance.id) == name))
             .order_by(col(Instance.created_at).desc(), col(Checkpoint.epoch).desc()))
    if number:
        query = query.where(Checkpoint.epoch == int(number) if number.isdigit() else Checkpoint.id == "")
    else:
        query = query.where(Checkpoint.state == CheckpointState.DURABLE)
    row = session.exec(query).first()
    if row is None:
        raise NotFound("there is no such checkpoint", where=text,
                       next="Name it by its id, INSTANCE/EPOCH, or INSTANCE for its newest; `swapbed checkpoint ls INSTANCE` lists them")
    return row


def all_of(instance: str) -> list[KnownCheckpoint]:
    """Of an instance, living or not, oldest first, failed ones too."""
    instance_id = subjects.find(f"instance:{instance}").id
    with reading() as session:
        of = session.get_one(Instance, instance_id)
        return [KnownCheckpoint(row, of) for row in checkpoints_of(session, instance_id)]


def create(instance: str, *, report: Report = quiet) -> KnownCheckpoint:
    """Of a living instance, which goes on; returns when it is durable."""
    done = launch("checkpoint", pass_on(report), instance_id=find(instance).row.id)
    return find_checkpoint(str(done["checkpoint_id"]))


def fork(checkpoint: str, *, name: str | None = None, parameters: Mapping[str, Any] | None = None, host: str | None = None,
         report: Report = quiet) -> Known:
    """A new instance that goes on from there beside the other, with the same addresses inside; returns when it does.

    parameters: for all that is started in it from now on; what runs already keeps the values it was started with. host: where; default:
    where the checkpoint was made, or another host if that is gone, drained, full or unsuited.
    """
    chosen = find_checkpoint(checkpoint)
    place = {} if host is None else {"host_id": host_named(host)}
    server.ensure()
    with writing() as session:
        values = checked(load_spec(session, chosen.row.spec_id), parameters or {}, chosen.row.id)
        made = define_fork(session, chosen.row, created_by=user(), name=name, parameters=values)
    launch("fork", pass_on(report), instance_id=made.id, **place)
    return find(made.id)


def difference(before: str, after: str) -> CheckpointDifference:
    """In what two checkpoints differ; costs what the difference is large."""
    first, second = find_checkpoint(before), find_checkpoint(after)
    store = Store.of()
    changes = list(store.diff_trees(first.tree, second.tree))
    manifests = [CheckpointManifest.model_validate_json(store.read_file(one.tree, "checkpoint.json")) for one in (first, second)]
    running = [_processes(store, one.tree, manifest) for one, manifest in zip((first, second), manifests, strict=True)]
    return CheckpointDifference(
        virtual_s=(manifests[1].virtual_ns - manifests[0].virtual_ns) / 1e9, frames_before=manifests[0].frames,
        frames_after=manifests[1].frames, ended=tuple(sorted(running[0] - running[1])), begun=tuple(sorted(running[1] - running[0])),
        parts=_by_part(changes), files=tuple(change for change in changes if part_of(change.path).endswith(" files")))


def _processes(store: Store, tree: ManifestRef, manifest: CheckpointManifest) -> set[str]:
    found = set()
    for node in manifest.nodes:
        saved = NodeManifest.model_validate_json(store.read_file(tree, f"nodes/{node}/node.json"))
        found |= {f"{node}: {process.name} ({process.pid})" for process in saved.processes}
    return found


def _by_part(changes: list[Difference]) -> tuple[PartDifference, ...]:
    parts: dict[str, PartDifference] = {}
    for change in changes:
        if change.change == "changed" and "content" not in change.what:
            continue
        name = part_of(change.path)
        old = parts.get(name, PartDifference(part=name, files=0, bytes_before=0, bytes_after=0))
        parts[name] = PartDifference(part=name, files=old.files + 1, bytes_before=old.bytes_before + change.size_before,
                                     bytes_after=old.bytes_after + change.size_after)
    return tuple(parts[name] for name in sorted(parts))
