"""The parts of one restore, as all who work at it have them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from models.protocol.checkpoint import CheckpointManifest, NodeManifest, SavedMachine
from models.protocol.host import Create
from models.spec import Node
from nodeops.checkpoint.spool import Spool
from nodeops.layout import InstanceLayout


@dataclass(frozen=True)
class Revival:
    """spec, nodes, manifests and programs (node → path → content) are the checkpoint's; wanted says as what it
    comes back."""

    layout: InstanceLayout
    spool: Spool
    checkpoint: CheckpointManifest
    nodes: Sequence[Node]
    manifests: Mapping[str, NodeManifest]
    programs: Mapping[str, Mapping[str, bytes]]
    wanted: Create

    @property
    def containers(self) -> list[Node]:
        return [node for node in self.nodes if node.kind == "container"]

    @property
    def vms(self) -> list[Node]:
        return [node for node in self.nodes if node.kind == "vm"]

    @property
    def machines(self) -> dict[str, SavedMachine]:
        return {name: manifest.machine for name, manifest in self.manifests.items() if manifest.machine is not None}

    @property
    def later_ns(self) -> dict[str, int]:
        return {name: manifest.frozen_after_ns for name, manifest in self.manifests.items()}
