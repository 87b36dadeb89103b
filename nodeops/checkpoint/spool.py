"""The directory of a checkpoint on a host; see `models.protocol.checkpoint` for what is in it. Paths, and reading manifests."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from models.errors import Corrupt
from models.protocol.checkpoint import CheckpointManifest, NodeManifest
from models.spec import Spec

Kind = TypeVar("Kind", bound=BaseModel)


@dataclass(frozen=True)
class NodeSpool:
    root: Path

    @property
    def manifest(self) -> Path:
        return self.root / "node.json"

    @property
    def images(self) -> Path:
        return self.root / "criu"

    @property
    def upper(self) -> Path:
        return self.root / "upper"

    @property
    def memory(self) -> Path:
        """What the node kept in memory as files; there only if it kept any."""
        return self.root / "memory"

    def memory_bytes(self) -> int:
        """Of processes and files; what a restore brings back into memory."""
        return sum(file.lstat().st_blocks * 512 for part in (self.images, self.memory) for file in part.rglob("*"))

    @property
    def vm(self) -> Path:
        """Instead of the three above, of a VM."""
        return self.root / "vm"

    @property
    def devices(self) -> Path:
        """As QEMU's migration has them, without RAM."""
        return self.vm / "devices"

    @property
    def ram(self) -> Path:
        return self.vm / "ram"

    @property
    def disk(self) -> Path:
        """What differs from the image's; there only if that has one."""
        return self.vm / "disk.qcow2"

    @property
    def work(self) -> Path:
        """There only while CRIU works."""
        return self.root / "work"

    def read(self) -> NodeManifest:
        return _read(self.manifest, NodeManifest)


@dataclass(frozen=True)
class Spool:
    root: Path

    @property
    def boot(self) -> Path:
        """Beside it: the boot of the host in which it was captured. After another, what of it had come to the disk is not known."""
        return self.root.with_name(f"{self.root.name}.boot")

    @property
    def manifest(self) -> Path:
        """Written last: a directory without it is no checkpoint."""
        return self.root / "checkpoint.json"

    @property
    def spec(self) -> Path:
        return self.root / "spec.json"

    @property
    def datastore(self) -> Path:
        return self.root / "datastore"

    @property
    def programs(self) -> Path:
        """By hash."""
        return self.root / "programs"

    @property
    def wires(self) -> Path:
        return self.root / "wires"

    @property
    def conductor(self) -> Path:
        return self.root / "conductor"

    @property
    def run(self) -> Path:
        """There only if a run went on."""
        return self.root / "run.json"

    def node(self, name: str) -> NodeSpool:
        return NodeSpool(self.root / "nodes" / name)

    def read(self) -> CheckpointManifest:
        return _read(self.manifest, CheckpointManifest)

    def read_spec(self) -> Spec:
        return _read(self.spec, Spec)


def _read(path: Path, kind: type[Kind]) -> Kind:
    try:
        return kind.model_validate_json(path.read_bytes())
    except FileNotFoundError as error:
        raise Corrupt("the checkpoint lacks this file", where=str(path)) from error
    except ValidationError as error:
        raise Corrupt("this file of the checkpoint cannot be read", where=str(path)) from error
