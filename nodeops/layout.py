"""Where an instance keeps its things on a host. Paths only; nothing here touches the disk.

    instances/ID/
      spec.json            what this instance runs: the evaluated `models.spec.Spec`
      identity.json        name, project, state, fence (highest lease number seen)
      lock                 held by whoever changes the instance
      inits.json           node → identity of its init
      journal.jsonl        every kernel object, written before it is made (`nodeops.journal`)
      clock.json           `nodeops.clock.ClockState`
      layer/               empty: where the nodes' lower layers are mounted, seen by nodes alone (`nodeops.layer`)
      shared/swapbed/datastore/   the instance's copy of its template's datastore, copy-on-write in every node
      wires.sock .log .pid control socket, log and identity of the wires; conductor.* likewise
      events.jsonl         every event as it really happened; outbox.jsonl: what the controller must hear
      upper/NODE/          exactly what the node changed: the upper layer of its root, whose base and other layers are given
      work/NODE/           overlayfs's own
      nodes/NODE/          what a VM is made of

Directories are few on purpose: removing one costs up to a millisecond where the disk discards freed blocks at once.

A node is its processes: its mounts and its network namespace are seen by nobody else and end with its init. Whoever needs
them while it lives goes through `nodeops.reach`, which makes sure of the right process.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

INSIDE = Path("/swapbed")  # in every node; see models.protocol.init.RUN_DIRECTORY


@dataclass(frozen=True)
class NodeLayout:
    instance: InstanceLayout
    name: str

    @property
    def root(self) -> Path:
        """Files of a VM."""
        return self.instance.root / "nodes" / self.name

    @property
    def upper(self) -> Path:
        """Reading it from outside is always allowed."""
        return self.instance.root / "upper" / self.name

    @property
    def work(self) -> Path:
        return self.instance.root / "work" / self.name

    @property
    def logs(self) -> Path:
        """Seen in the node as /swapbed/logs; one directory per agent. Missing until something was written."""
        return self.upper / "swapbed" / "logs"

    @property
    def archive(self) -> Path:
        """Seen in the node as /swapbed/archive. Missing until something was written."""
        return self.upper / "swapbed" / "archive"


@dataclass(frozen=True)
class InstanceLayout:
    root: Path

    @property
    def spec(self) -> Path:
        return self.root / "spec.json"

    @property
    def identity(self) -> Path:
        return self.root / "identity.json"

    @property
    def lock(self) -> Path:
        return self.root / "lock"

    @property
    def journal(self) -> Path:
        return self.root / "journal.jsonl"

    @property
    def inits(self) -> Path:
        return self.root / "inits.json"

    @property
    def clock(self) -> Path:
        return self.root / "clock.json"

    @property
    def layer(self) -> Path:
        return self.root / "layer"

    @property
    def shared(self) -> Path:
        return self.root / "shared"

    @property
    def datastore(self) -> Path:
        return self.shared / "swapbed" / "datastore"

    @property
    def events(self) -> Path:
        return self.root / "events.jsonl"

    @property
    def outbox(self) -> Path:
        return self.root / "outbox.jsonl"

    def daemon(self, name: str, what: str) -> Path:
        """name: wires or conductor; what: sock, log or pid."""
        return self.root / f"{name}.{what}"

    def node(self, name: str) -> NodeLayout:
        return NodeLayout(self, name)
