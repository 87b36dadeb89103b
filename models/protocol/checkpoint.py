"""What a checkpoint says of itself. All of it means the same on any host: no fd, path, process or id of a host or database is in it.

A checkpoint is a directory:

    checkpoint.json          CheckpointManifest
    spec.json                the spec of the instance
    datastore/               the instance's copy of its template's datastore
    nodes/NODE/node.json     NodeManifest
    nodes/NODE/criu/         processes, as CRIU wrote them
    nodes/NODE/upper/        what the node changed of its files
    wires/LAN/NODE.INTERFACE.DIRECTION.json   one `models.protocol.wires.SavedPipe` each
    conductor/               what `models.protocol.conductor.Save` says
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from models.protocol.control import Message

Nanoseconds = Annotated[int, Field(ge=0)]


class Requirements(Message):
    """What a host must match, or the processes would not find what they rely on. bases: image of the spec → what identifies it."""

    architecture: str
    kernel: str
    criu: str
    cpu_features: tuple[str, ...]
    bases: dict[str, str]


class SavedProcess(Message):
    """pid: as the node sees it."""

    pid: int
    name: str


class NodeManifest(Message):
    """frozen_after_ns: how long after the cut's instant the node stood still; it is let go as long after time goes on.

    monotonic_ns, boottime_ns: what its clocks read at that moment.
    """

    node: str
    frozen_after_ns: int
    monotonic_ns: Nanoseconds
    boottime_ns: Nanoseconds
    processes: tuple[SavedProcess, ...]


class Life(Message):
    """Which stretch of the instance's life ends with the cut. incarnation: random, never used for two lives; epoch: counts cuts in it.

    parent: the root hash of the checkpoint that this life goes on from or last made.
    """

    incarnation: str
    epoch: int = Field(ge=0)
    parent: str | None = None


class CheckpointManifest(Message):
    """virtual_ns: the instant of the cut. frames: in flight at it."""

    format: Literal[1] = 1
    spec_digest: str
    virtual_ns: Nanoseconds
    life: Life
    nodes: tuple[str, ...]
    conducted: bool
    frames: int
    requirements: Requirements
