"""The spec: what a template's source evaluates to under given parameter values, whatever its language.

Plain data, immutable, hashable to canonical JSON; no host, path or database id. Every language builds one of these and
everything below (allocator, wires, conductor, records) reads nothing else. Units are in the names: `_s` seconds of
virtual time, `_bps` bits per second (0 means unlimited), `_bytes`. All names of things that events can address (nodes,
LANs, agents, groups, sequences, timelines) share one name space per spec; `instance` is reserved for the instance itself.
"""

from __future__ import annotations

import hashlib
import ipaddress
import re
from collections.abc import Iterator
from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag, field_validator, model_validator

from models.events import VERBS, Arguments, Environment, Seconds
from models.names import LABEL as LABEL
from models.names import NAME as NAME

INTERFACE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,14}")  # IFNAMSIZ is 16 with the NUL
INSTANCE = "instance"

BitRate = Annotated[int, Field(ge=0, description="bits per second; 0 means unlimited")]
Fraction = Annotated[float, Field(ge=0, le=1)]


class Inconsistent(ValueError):
    """Parts of a spec that do not fit together. about: the names of the parts to blame, the most specific last, so that a
    language can point at their lines; a member is its LAN's name and then its node's."""

    def __init__(self, text: str, *about: str):
        super().__init__(text)
        self.about = about


class Part(BaseModel):
    """Base of everything in a spec: frozen, and an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Red(Part):
    """RED as in ns-2 (Floyd and Jacobson 1993; `gentle`: Floyd 2000). Thresholds in the queue's unit's packets."""

    min_threshold: float = Field(default=5, gt=0)
    max_threshold: float = Field(default=15, gt=0)
    mean_packet_size_bytes: int = Field(default=500, gt=0)
    weight: float = Field(default=0.002, gt=0, le=1)
    linear_term: float = Field(default=10, gt=0, description="1 / max_p")
    gentle: bool = False
    wait: bool = True
    mark: bool = Field(default=False, description="ns-2's setbit_: mark ECN-capable packets instead of dropping")
    byte_mode: bool = Field(default=False, description="ns-2's bytes_: drop probability scaled by packet size")


class Queue(Part):
    """What waits for the bandwidth of one pipe. limit: packets or bytes."""

    discipline: Literal["droptail", "red"] = "droptail"
    limit: int = Field(default=50, gt=0)
    unit: Literal["packets", "bytes"] = "packets"
    red: Red = Red()


class Shaping(Part):
    """One pipe: queue → bandwidth → delay and jitter → loss."""

    bandwidth_bps: BitRate = 0
    delay_s: Seconds = 0
    jitter_s: Seconds = Field(default=0, description="scale of the jitter: half-width (uniform) or standard deviation")
    jitter_distribution: Literal["uniform", "normal", "pareto"] = "uniform"
    loss: Fraction = 0
    queue: Queue = Queue()


class Member(Part):
    """One node's place in one LAN. uplink: node → LAN; downlink: LAN → node."""

    node: str
    interface: str = Field(description="device name inside the node; unique per node")
    mac: str = Field(pattern=r"^[0-9a-f]{2}(:[0-9a-f]{2}){5}$")
    addresses: tuple[str, ...] = Field(default=(), description="IPv4 and IPv6, each with prefix length: 10.1.1.2/24")
    uplink: Shaping = Shaping()
    downlink: Shaping = Shaping()

    @field_validator("interface")
    @classmethod
    def _interface(cls, value: str) -> str:
        if not INTERFACE.fullmatch(value) or value == "lo":
            raise ValueError(f"'{value}' is not a usable interface name (1 to 15 of letters, digits, '_', '.', '-'; not lo)")
        return value

    @field_validator("addresses")
    @classmethod
    def _addresses(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for text in value:
            if "/" not in text:
                raise ValueError(f"address '{text}' lacks its prefix length, as in {text}/24")
            ipaddress.ip_interface(text)
        return value


class Trace(Part):
    """Capture on a LAN while a run lasts; kept in the record."""

    what: Literal["header", "packet", "monitor"] = "header"
    filter: str = Field(default="", description="tcpdump expression")
    snap_bytes: int = Field(default=0, ge=0, description="0: all of a `packet`, 64 of a `header`")
    end_nodes: bool = Field(default=False, description="capture in the nodes, too")
    members: tuple[str, ...] = Field(default=(), description="only what these nodes send; empty: every member")


class Lan(Part):
    """A link is a LAN of two. A frame passes the sender's uplink and then each receiver's downlink."""

    name: str
    kind: Literal["link", "lan"] = "link"
    members: tuple[Member, ...]
    mask: str | None = Field(default=None, description="explicit IPv4 mask, if the source gave one")
    cost: float = Field(default=1, gt=0, description="for shortest paths")
    trace: Trace | None = None


class Route(Part):
    """A route by hand. destination: CIDR; via: an address on a LAN of the node."""

    destination: str
    via: str


class Tarball(Part):
    """An archive unpacked into `directory` of a node before its first run. path: in the datastore, or absolute on the host."""

    directory: str
    path: str

    @model_validator(mode="after")
    def _places(self) -> Tarball:
        _check_inside(self.directory, "directory of a tarball")
        if not self.path.startswith("/"):
            _check_datastore(self.path, "tarball")
        return self


class Volume(Part):
    """A file or directory of the datastore put into the node (copied, not shared)."""

    source: str = Field(description="relative to the datastore")
    target: str
    read_only: bool = False

    @model_validator(mode="after")
    def _places(self) -> Volume:
        _check_datastore(self.source, "volume")
        _check_inside(self.target, "target of a volume")
        return self


def _check_datastore(path: str, what: str) -> None:
    if not path or path.startswith("/") or ".." in path.split("/"):
        raise ValueError(f"{what} '{path}' must lie in the datastore: expected a relative path without '..'")


def _check_inside(path: str, what: str) -> None:
    if not path.startswith("/") or ".." in path.split("/"):
        raise ValueError(f"{what} '{path}' must be absolute in the node, without '..'")


class Node(Part):
    """A machine of the experiment."""

    name: str
    kind: Literal["container", "vm"] = "container"
    image: str = Field(default="host", description="`host`, a named image, or a directory with a root file system")
    cpus: float | None = Field(default=None, gt=0, description="share of host CPUs; None: no limit (VM: 1)")
    memory_bytes: int | None = Field(default=None, gt=0, description="None: no limit (VM: 256 MiB)")
    environment: Environment = {}
    routing: Literal["static", "manual", "none"] = "static"
    routes: tuple[Route, ...] = ()
    outside: bool = Field(default=False, description="a control interface with a route to the outside, through the host")
    failure: Literal["fatal", "nonfatal", "restart"] = "fatal"
    on_failure: str | None = Field(default=None, description="sequence that runs when this node is found dead")
    virtual_wall_clock: bool = Field(default=True, description="container: CLOCK_REALTIME, too, goes on across swaps (docs/checkpoints.md)")
    tarballs: tuple[Tarball, ...] = ()
    volumes: tuple[Volume, ...] = ()
    packages: tuple[str, ...] = Field(default=(), description="ns's tb-set-node-rpms: paths in the datastore, recorded")
    hardware: str | None = Field(default=None, description="ns's tb-set-hardware; recorded, no effect")
    labels: dict[str, str] = {}

    @field_validator("name")
    @classmethod
    def _label(cls, value: str) -> str:
        if not LABEL.fullmatch(value):
            raise ValueError(f"node name '{value}' is not a DNS label (letters, digits, '-', at most 63, no '-' at the ends)")
        return value


class ProgramAgent(Part):
    """The testbed-managed entity that runs a program in a node when events tell it to."""

    kind: Literal["program"] = "program"
    name: str
    node: str
    command: str = Field(default="", description="run by /bin/sh -c; may use $DATASTORE, $ARCHIVE, $NODE, $LOGDIR, $RUN, parameters")
    directory: str | None = Field(default=None, description="None: the agent's log directory")
    timeout_s: Seconds | None = None
    expected_exit_code: int | None = Field(default=None, ge=0, le=255,
                                           description="None: anything counts as success for `start`; `run` expects 0")
    environment: Environment = {}
    user: str = "root"


class TrafficAgent(Part):
    """One end of a traffic generator pair; `peer` is the name of the other end."""

    kind: Literal["traffic"] = "traffic"
    name: str
    node: str
    role: Literal["source", "sink"]
    protocol: Literal["udp", "tcp"]
    peer: str | None = None
    application: Literal["cbr", "ftp", "telnet"] = "cbr"
    address: str | None = Field(default=None, description="own IP, without prefix length; None: nearest to the peer")
    port: int = Field(default=5001, ge=1, le=65535)
    packet_size_bytes: int = Field(default=500, ge=1, le=65507)
    rate_bps: BitRate | None = None
    interval_s: Seconds | None = Field(default=None, description="takes precedence over rate_bps when set")
    type_of_service: int | None = Field(default=None, ge=0, le=255)


def _agent_kind(value: Any) -> str:
    """Specs are kept and sent without what is default, and `kind` is: then what only a traffic agent has tells."""
    if isinstance(value, dict):
        return value.get("kind") or ("traffic" if "role" in value else "program")
    return value.kind


Agent = Annotated[Annotated[ProgramAgent, Tag("program")] | Annotated[TrafficAgent, Tag("traffic")], Discriminator(_agent_kind)]


class Event(Part):
    """One thing told to one target. See `models.events` for targets' verbs and their arguments."""

    target: str
    verb: str
    arguments: Arguments = Arguments()


class TimedEvent(Event):
    """An event of the run's own timeline, `at_s` after the run began, or `on` a trigger."""

    at_s: Seconds = 0
    on: Literal["time", "swapout"] = "time"


class Group(Part):
    name: str
    members: tuple[str, ...]


class Sequence(Part):
    """Steps, each fired when the one before completed. A failed step ends the sequence with its error."""

    name: str
    steps: tuple[Event, ...] = ()
    on_error: str | None = Field(default=None, description="sequence run in place of the rest when a step failed; its outcome counts then")


class TimelineEntry(Event):
    at_s: Seconds = Field(default=0, description="after the timeline's own start")


class Timeline(Part):
    """Entries relative to the timeline's start; complete when its last entry has been fired and has completed."""

    name: str
    entries: tuple[TimelineEntry, ...] = ()


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


class TargetKind(StrEnum):
    INSTANCE, NODE, LAN, PROGRAM, TRAFFIC, GROUP, SEQUENCE, TIMELINE = (
        "instance", "node", "lan", "program", "traffic", "group", "sequence", "timeline")


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
        _check_network(self)
        _check_routes(self)
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


def check_event(event: Event, kinds: dict[str, TargetKind], groups: tuple[Group, ...], where: str = "event") -> None:
    """Raise ValueError unless the target exists and knows the verb (a group: each of its members)."""
    kind = kinds.get(event.target)
    if kind is None:
        raise ValueError(f"{where}: event '{event.verb}' for unknown target '{event.target}'")
    members = next((g.members for g in groups if g.name == event.target), ()) if kind is TargetKind.GROUP else (event.target,)
    for member in members:
        verbs = VERBS[kinds[member].value]
        if event.verb not in verbs:
            raise ValueError(f"{where}: '{member}' is a {kinds[member].value} and does not know '{event.verb}' "
                             f"(it knows: {', '.join(sorted(verbs))})")
        verbs[event.verb].check(event.arguments, f"{where}: {event.target} {event.verb}")


def _claim(kinds: dict[str, TargetKind], name: str, kind: TargetKind) -> None:
    if not NAME.fullmatch(name):
        raise Inconsistent(f"'{name}' is not a usable name for a {kind.value} (letters, digits, '_', '.', '-', at most 63)", name)
    if name in kinds:
        raise Inconsistent(f"the name '{name}' is used twice: for a {kinds[name].value} and a {kind.value}", name)
    kinds[name] = kind


def _check_network(spec: Spec) -> None:
    nodes = {n.name for n in spec.nodes}
    interfaces: set[tuple[str, str]] = set()
    macs: set[str] = set()
    owners: dict[str, str] = {}
    networks: dict[ipaddress.IPv4Network | ipaddress.IPv6Network, str] = {}
    for lan in spec.lans:
        if lan.kind == "link" and len(lan.members) != 2:
            raise Inconsistent(f"link '{lan.name}' has {len(lan.members)} ends instead of 2", lan.name)
        if not lan.members:
            raise Inconsistent(f"LAN '{lan.name}' has no members", lan.name)
        if lan.trace and (strangers := set(lan.trace.members) - {m.node for m in lan.members}):
            raise Inconsistent(f"'{lan.name}' is to be traced at '{min(strangers)}', which is not a member of it", lan.name)
        for m in lan.members:
            if m.node not in nodes:
                raise Inconsistent(f"{lan.kind} '{lan.name}' names unknown node '{m.node}'", lan.name, m.node)
            if (m.node, m.interface) in interfaces:
                raise Inconsistent(f"interface '{m.interface}' of node '{m.node}' is used twice", lan.name, m.node)
            interfaces.add((m.node, m.interface))
            if m.mac in macs:
                raise Inconsistent(f"MAC address {m.mac} is used twice", lan.name, m.node)
            macs.add(m.mac)
            for text in m.addresses:
                address = ipaddress.ip_interface(text)
                place = f"{m.node} on {lan.name}"
                if str(address.ip) in owners:
                    raise Inconsistent(f"address {address.ip} is used twice: {owners[str(address.ip)]} and {place}", lan.name, m.node)
                owners[str(address.ip)] = place
                if address.network.prefixlen < address.max_prefixlen - 1 and address.ip in (
                        address.network.network_address, *([address.network.broadcast_address] if address.version == 4 else [])):
                    raise Inconsistent(f"address {text} of {place} is its network's own or broadcast address", lan.name, m.node)
                if address.ip.is_multicast or address.ip.is_loopback or address.ip.is_unspecified:
                    raise Inconsistent(f"address {text} of {place} is out of range: no interface can have it", lan.name, m.node)
                if (other := networks.setdefault(address.network, lan.name)) != lan.name:
                    raise Inconsistent(f"network {address.network} is used by both '{other}' and '{lan.name}'", lan.name, m.node)
    _check_overlaps(networks)


def _check_routes(spec: Spec) -> None:
    """A route by hand leads to a network, by way of a neighbour."""
    by_hand = {n.name for n in spec.nodes if n.routes}
    networks: dict[str, list[ipaddress.IPv4Network | ipaddress.IPv6Network]] = {}
    for member in (m for lan in spec.lans for m in lan.members if m.node in by_hand):
        networks.setdefault(member.node, []).extend(ipaddress.ip_interface(a).network for a in member.addresses)
    for node in (n for n in spec.nodes if n.routes):
        for route in node.routes:
            try:
                ipaddress.ip_network(route.destination, strict=False)
                via = ipaddress.ip_address(route.via)
            except ValueError as error:
                raise Inconsistent(f"route of '{node.name}' to {route.destination} via {route.via}: {error}", node.name) from None
            if not any(via in network for network in networks.get(node.name, ())):
                raise Inconsistent(f"route of '{node.name}' to {route.destination}: {route.via} is not on any network of this node",
                                   node.name)


def _check_overlaps(networks: dict[ipaddress.IPv4Network | ipaddress.IPv6Network, str]) -> None:
    """Sorted by first address, an overlapping network starts before the end of one already seen: linear after the sort."""
    for version in (4, 6):
        last = None
        for network in sorted((n for n in networks if n.version == version), key=lambda n: (int(n.network_address), n.prefixlen)):
            if last is not None and int(network.network_address) <= int(last.broadcast_address):
                if networks[last] != networks[network]:
                    raise Inconsistent(f"networks overlap: {last} of '{networks[last]}' and {network} of '{networks[network]}'",
                                       networks[network])
                continue
            last = network
