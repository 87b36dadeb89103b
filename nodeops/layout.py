"""Where an instance keeps its things on a host. Paths only; nothing here touches the disk.

    instances/ID/
      spec.json            what this instance runs: the evaluated `models.spec.Spec`
      identity.json        name, project, fence (highest lease number seen)
      journal.jsonl        every kernel object, written before it is made (`nodeops.journal`)
      clock.json           `nodeops.clock.ClockState`
      layer/               lower layer shared by the nodes: masks, /swapbed/init, /swapbed/datastore
      wires.sock .log .pid control socket, log and identity of the wires; conductor.* likewise
      events.jsonl         every event as it really happened; outbox.jsonl: what the controller must hear
      nodes/NODE/          upper/ work/ root/ (overlay), netns (a bind mount), init.pid
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

INSIDE = Path("/swapbed")  # in every node; see models.protocol.init.RUN_DIRECTORY


@dataclass(frozen=True)
class NodeLayout:
    root: Path

    @property
    def upper(self) -> Path:
        """The overlay's upper layer: exactly what the node changed."""
        return self.root / "upper"

    @property
    def work(self) -> Path:
        return self.root / "work"

    @property
    def mounted(self) -> Path:
        """The node's root file system as the host sees it."""
        return self.root / "root"

    @property
    def netns(self) -> Path:
        return self.root / "netns"

    @property
    def init_pid(self) -> Path:
        return self.root / "init.pid"

    @property
    def init_socket(self) -> Path:
        return self.mounted / "swapbed" / "run" / "init.sock"

    @property
    def logs(self) -> Path:
        """Seen in the node as /swapbed/logs; one directory per agent."""
        return self.mounted / "swapbed" / "logs"

    @property
    def archive(self) -> Path:
        return self.mounted / "swapbed" / "archive"


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
    def journal(self) -> Path:
        return self.root / "journal.jsonl"

    @property
    def clock(self) -> Path:
        return self.root / "clock.json"

    @property
    def layer(self) -> Path:
        return self.root / "layer"

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
        return NodeLayout(self.root / "nodes" / name)
