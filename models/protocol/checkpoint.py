"""What a checkpoint says of itself. All of it means the same on any host: no fd, path, process or id of a host or database is in it.

A checkpoint is a directory:

    checkpoint.json          CheckpointManifest
    spec.json                the spec of the instance
    datastore/               the instance's copy of its template's datastore
    programs/HASH            what Swapbed had put into the containers and runs there (`NodeManifest.programs`)
    nodes/NODE/node.json     NodeManifest
    nodes/NODE/criu/         processes, as CRIU wrote them
    nodes/NODE/upper/        what the node changed of its files
    nodes/NODE/memory/       its files in /swapbed/run and /dev/shm, which are in memory; only if it had any of its own
    nodes/NODE/vm/           of a VM instead of the three: devices, ram, and disk.qcow2 if its image has a disk
    wires/LAN/NODE.INTERFACE.DIRECTION.json   one `models.protocol.wires.SavedPipe` each
    conductor/               what `models.protocol.conductor.Save` says
    run.json                 when the run that goes on began, and what the pipes had done by then
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from models.manifest import Counts
from models.protocol.control import Message

Nanoseconds = Annotated[int, Field(ge=0)]


class Requirements(Message):
    """What a host must match, or the processes would not find what they rely on. bases: image of the spec → what identifies it.

    init: the protocol that the nodes' init speaks; checkpoints from before it was named lack it.
    """

    architecture: str
    kernel: str
    criu: str
    cpu_features: tuple[str, ...]
    bases: dict[str, str]
    qemu: str | None = None
    init: int | None = None


class SavedProcess(Message):
    """pid: as the node sees it."""

    pid: int
    name: str


class SavedSocket(Message):
    """A TCP socket of a process, both as the node sees them: what CRIU does not save of it, or not as of the cut.

    timestamp: what the clock of its timestamps (RFC 7323) read at the cut's instant, if that is brought back.
    """

    pid: int
    fd: int
    congestion: str
    timestamp: int | None = None


class SavedMachine(Message):
    """A VM. disk: whether it has one. ahead_ns: how far its clock is ahead of virtual time; older checkpoints do not say."""

    memory_bytes: int
    cpus: int
    accelerator: str
    disk: bool
    ahead_ns: int | None = None


class NodeManifest(Message):
    """frozen_after_ns: how long after the cut's instant the node stood still; it is let go as long after time goes on.

    monotonic_ns, boottime_ns: what its clocks read at that moment. machine: of a VM, whose clocks and processes are in its devices and RAM.
    programs: path in the node, relative to `/` → BLAKE3 hash. CRIU maps no file of another build, so a node comes back with those that it
    had; in a checkpoint from before they were carried, this is empty.
    """

    node: str
    frozen_after_ns: int
    monotonic_ns: Nanoseconds = 0
    boottime_ns: Nanoseconds = 0
    processes: tuple[SavedProcess, ...] = ()
    sockets: tuple[SavedSocket, ...] = ()
    machine: SavedMachine | None = None
    programs: dict[str, str] = {}


class Life(Message):
    """Which stretch of the instance's life ends with the cut. incarnation: random, never used for two lives; epoch: counts cuts in it.

    parent: the root hash of the checkpoint that this life goes on from or last made.
    """

    incarnation: str
    epoch: int = Field(ge=0)
    parent: str | None = None


class CheckpointManifest(Message):
    """virtual_ns: the instant of the cut. wall_ns: what the nodes' wall clock read at it; checkpoints from before there was one lack it.
    frames: in flight at it."""

    format: Literal[1] = 1
    spec_digest: str
    virtual_ns: Nanoseconds
    wall_ns: Nanoseconds | None = None
    life: Life
    nodes: tuple[str, ...]
    conducted: bool
    frames: int
    requirements: Requirements


class Came(Message):
    """From which host to which, by name; host_before: None for a checkpoint that does not say where it was made."""

    host: str
    host_before: str | None = None


class Costs(Message):
    """stood_ns, steps_ns, copying: see `Captured`. parts: what was read (and hashed), new and sent for each node and kind of state.

    host: the name of the one where it was captured; older ones do not say.
    """

    host: str | None = None
    stood_ns: int | None = None
    steps_ns: dict[str, int] = {}
    copying: str = ""
    parts: dict[str, Counts] = {}


class Captured(Message):
    """What a host says of a capture it made. stood_ns: how long the instance stood still; None: it still does, or that is not known.

    steps_ns: where that time went. copying: how nodes' files were copied, on which file system. Both empty for one that was there already.
    """

    manifest: CheckpointManifest
    stood_ns: int | None = None
    steps_ns: dict[str, int] = {}
    copying: str = ""


def part_of(path: str) -> str:
    """Of a file of a checkpoint: the node and the kind of state, as `a memory`; or what it is of the whole instance; pure."""
    top, _, rest = path.partition("/")
    if top != "nodes":
        return top if top in ("datastore", "programs") else {"wires": "frames in flight", "conductor": "events"}.get(top, "description")
    node, _, rest = rest.partition("/")
    kind, _, name = rest.partition("/")
    if kind == "criu":
        return f"{node} memory" if name.startswith("pages-") else f"{node} processes"
    if kind == "vm":
        return f"{node} {({'ram': 'memory', 'disk.qcow2': 'files'}).get(name, name)}"
    return f"{node} {({'upper': 'files', 'node.json': 'processes'}).get(kind, kind)}"
