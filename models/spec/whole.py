"""The spec as a whole, and that its parts fit together."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Literal

from pydantic import Field, model_validator

from models.events import Environment, Seconds
from models.names import NAME
from models.spec.activity import Agent, Event, Group, Sequence, TargetKind, TimedEvent, Timeline, TrafficAgent, check_event
from models.spec.fitting import check_network, check_routes
from models.spec.network import Lan, Member
from models.spec.nodes import Node
from models.spec.part import Inconsistent, Part

INSTANCE = "instance"


class Parameter(Part):
    """A named value with default and description; `value` is what this evaluation was given."""

    name: str = Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")
    default: str | None = None
    value: str
    description: str = ""
    type: Literal["string", "integer", "number", "boolean", "duration", "rate"] = "string"


class Rules(Part):
    """What becomes of an open record's files when its window closes (keep wins over drop; sizes per file)."""

    keep: tuple[str, ...] = ()
    drop: tuple[str, ...] = ()
    max_file_bytes: int | None = Field(default=None, gt=0)
    window_s: Seconds = Field(default=0, description="how long the record stays open after its run, in wall-clock seconds")


class Collect(Part):
    """What a record takes from nodes beside logs and archive: globs, or everything the run changed."""

    everything: bool = False
    paths: dict[str, tuple[str, ...]] = Field(default={}, description="node name or '*' → globs, absolute in the node")


class Spec(Part):
    """A whole experiment. Construction checks everything that can be checked without a host; a ValueError names the part."""

    format: Literal[1] = 1
    name: str = "experiment"
    description: str = ""
    parameters: tuple[Parameter, ...] = ()
    environment: Environment = Field(default={}, description="for every program, besides parameters (ns's opt())")
    nodes: tuple[Node, ...] = ()
    lans: tuple[Lan, ...] = ()
    agents: tuple[Agent, ...] = ()
    groups: tuple[Group, ...] = ()
    sequences: tuple[Sequence, ...] = ()
    timelines: tuple[Timeline, ...] = ()
    events: tuple[TimedEvent, ...] = Field(default=(), description="the run's own timeline")
    on_start: str | None = Field(default=None, description="sequence run at the beginning of every run")
    on_stop: str | None = Field(default=None, description="sequence run at the end of every run")
    environment_of_runs: Literal["inherit", "fresh"] = Field(default="inherit",
                                                             description="files in nodes, archive and logs a further run finds")
    collect: Collect = Collect()
    rules: Rules = Rules()
    sync_server: str | None = None

    @property
    def digest(self) -> str:
        """SHA-256 of the canonical JSON, hex."""
        return hashlib.sha256(self.model_dump_json(exclude_defaults=True).encode()).hexdigest()

    def node(self, name: str) -> Node:
        return next(n for n in self.nodes if n.name == name)

    def memberships(self, node: str) -> Iterator[tuple[Lan, Member]]:
        """The LANs of one node, in the order its interfaces were declared."""
        return ((lan, m) for lan in self.lans for m in lan.members if m.node == node)

    def targets(self) -> dict[str, TargetKind]:
        """Everything an event can address, by name."""
        kinds: dict[str, TargetKind] = {INSTANCE: TargetKind.INSTANCE}
        for kind, parts in ((TargetKind.NODE, self.nodes), (TargetKind.LAN, self.lans), (TargetKind.GROUP, self.groups),
                            (TargetKind.SEQUENCE, self.sequences), (TargetKind.TIMELINE, self.timelines)):
            for part in parts:
                _claim(kinds, part.name, kind)
        for agent in self.agents:
            _claim(kinds, agent.name, TargetKind(agent.kind))
        return kinds

    def all_events(self) -> Iterator[tuple[str, Event]]:
        """(where it stands, event), for every event of the spec."""
        yield from (("timeline", e) for e in self.events)
        yield from ((f"sequence {s.name}", e) for s in self.sequences for e in s.steps)
        yield from ((f"timeline {t.name}", e) for t in self.timelines for e in t.entries)

    @model_validator(mode="after")
    def _consistent(self) -> Spec:
        kinds = self.targets()
        check_network(self.nodes, self.lans)
        check_routes(self.nodes, self.lans)
        for agent in self.agents:
            if kinds.get(agent.node) is not TargetKind.NODE:
                raise Inconsistent(f"agent '{agent.name}' is on unknown node '{agent.node}'", agent.name)
            if isinstance(agent, TrafficAgent) and agent.peer is not None and kinds.get(agent.peer) is not TargetKind.TRAFFIC:
                raise Inconsistent(f"traffic agent '{agent.name}' has the unknown peer '{agent.peer}'", agent.name)
        for group in self.groups:
            for member in group.members:
                if kinds.get(member) in (None, TargetKind.GROUP, TargetKind.INSTANCE):
                    raise Inconsistent(f"group '{group.name}' has the member '{member}', which is not an agent, link, LAN or node, "
                                       "nor a sequence or timeline",
                                       group.name)
        for where, event in self.all_events():
            check_event(event, kinds, self.groups, where)
        if self.sync_server is not None and kinds.get(self.sync_server) is not TargetKind.NODE:
            raise Inconsistent(f"the sync server '{self.sync_server}' is not a node", "sync_server")
        hooks = [(self.on_start, "on_start"), (self.on_stop, "on_stop"), *((n.on_failure, n.name) for n in self.nodes),
                 *((s.on_error, s.name) for s in self.sequences)]
        for hook, about in hooks:
            if hook is not None and kinds.get(hook) not in (TargetKind.SEQUENCE, TargetKind.TIMELINE):
                raise Inconsistent(f"hook '{hook}' is not a sequence or timeline of this template", about)
        return self


def _claim(kinds: dict[str, TargetKind], name: str, kind: TargetKind) -> None:
    if not NAME.fullmatch(name):
        raise Inconsistent(f"'{name}' is not a usable name for a {kind.value} (letters, digits, '_', '.', '-', at most 63)", name)
    if name in kinds:
        raise Inconsistent(f"the name '{name}' is used twice: for a {kinds[name].value} and a {kind.value}", name)
    kinds[name] = kind
