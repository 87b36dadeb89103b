"""The states of things and which may follow which, as data, checked when this module is imported.

Nothing here touches the database: `models.transition` changes a row's state by compare-and-set along these tables.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Generic, TypeVar

from models.errors import Conflict

State = TypeVar("State", bound=StrEnum)


class Subject(StrEnum):
    """Kinds of things that leases and metadata are about."""

    PROJECT, TEMPLATE, INSTANCE, RUN, RECORD, CHECKPOINT, HOST, STORE, CONTROLLER = (
        "project", "template", "instance", "run", "record", "checkpoint", "host", "store", "controller")


class InstanceState(StrEnum):
    DEFINED = "defined"  # a row, nothing on any host
    INSTANTIATING = "instantiating"
    UP = "up"
    MODIFYING = "modifying"
    CHECKPOINTING = "checkpointing"
    SWAPPING_OUT = "swapping_out"
    SPOOLED = "spooled"  # it stands nowhere any more; its checkpoint, whole in its host's spool, is on its way to the store
    SWAPPED_OUT = "swapped_out"  # nothing on any host, a durable checkpoint in the store
    SWAPPING_IN = "swapping_in"
    DESTROYING = "destroying"
    DESTROYED = "destroyed"
    FAILED = "failed"  # could not be instantiated; nothing is left on any host
    BROKEN = "broken"  # something is, or may be, left on a host, and it does not work


class RunState(StrEnum):
    DEFINED = "defined"
    STARTING = "starting"
    RUNNING = "running"
    STOPPING = "stopping"
    OVER = "over"  # its events are in the table
    FAILED = "failed"  # never began


class RunOutcome(StrEnum):
    OK, FAILED, STOPPED, LOST = "ok", "failed", "stopped", "lost"


class RecordState(StrEnum):
    COMMITTING, OPEN, FINAL = "committing", "open", "final"


class CheckpointState(StrEnum):
    CAPTURING, SPOOLED, DURABLE, FAILED = "capturing", "spooled", "durable", "failed"


class PartState(StrEnum):
    """captured: dumped on the host; spooled: in the host's spool; durable: in the store; freed: no longer on the host."""

    CAPTURED, SPOOLED, DURABLE, FREED = "captured", "spooled", "durable", "freed"


class PlacementState(StrEnum):
    PLANNED, PLACED, DEAD = "planned", "placed", "dead"


class RecordingState(StrEnum):
    RECORDING, PAUSED, CLOSED = "recording", "paused", "closed"


class PackState(StrEnum):
    """granted: somebody may be sending it; claimed: there, not yet verified; retired: empty, to be deleted; damaged: bytes are wrong."""

    GRANTED, CLAIMED, VERIFIED, RETIRED, DAMAGED = "granted", "claimed", "verified", "retired", "damaged"


class TransferState(StrEnum):
    """issued: its token has not been used; open: chunks may come and go; finished and aborted: over."""

    ISSUED, OPEN, FINISHED, ABORTED = "issued", "open", "finished", "aborted"


class HostState(StrEnum):
    UP, DRAINED, DEAD = "up", "drained", "dead"


class MessageState(StrEnum):
    """started: turned into a flow, which may have to be started again if the controller dies."""

    HEARD, STARTED, HANDLED, FAILED = "heard", "started", "handled", "failed"


@dataclass(frozen=True)
class Machine(Generic[State]):
    """Which state may follow which. Construction fails unless every state is there, reachable, and has a way to an end (or to rest).

    resting: states a thing may stay in; the others are being worked on, under a lease.
    """

    kind: str
    states: type[State]
    initial: State
    follows: Mapping[State, frozenset[State]]
    resting: frozenset[State]

    def __post_init__(self) -> None:
        every = set(self.states)
        if missing := every - set(self.follows):
            raise ValueError(f"{self.kind}: no row for {', '.join(sorted(missing))}")
        if unreachable := every - self._reachable(self.initial):
            raise ValueError(f"{self.kind}: {', '.join(sorted(unreachable))} cannot be reached from {self.initial}")
        if stuck := {s for s in every if not self._reachable(s) & self.resting}:
            raise ValueError(f"{self.kind}: no way to rest from {', '.join(sorted(stuck))}")

    def _reachable(self, start: State) -> set[State]:
        seen, ahead = {start}, [start]
        while ahead:
            new = self.follows[ahead.pop()] - seen
            seen |= new
            ahead += new
        return seen

    @property
    def final(self) -> frozenset[State]:
        return frozenset(state for state in self.states if not self.follows[state])

    def sources(self, target: State) -> frozenset[State]:
        """The states from which target may be reached in one step."""
        return frozenset(state for state in self.states if target in self.follows[state])

    def check(self, present: State, target: State, where: str) -> None:
        """Raise Conflict, listing what is possible, unless target may follow present."""
        if target not in self.follows[present]:
            choices = ", ".join(sorted(self.follows[present])) or "none: it is over"
            raise Conflict(f"{self.kind} is {present} and cannot become {target} (possible: {choices})", where=where)


def _machine(kind: str, initial: State, rows: dict[State, set[State]], resting: set[State]) -> Machine[State]:
    return Machine(kind, type(initial), initial, {state: frozenset(after) for state, after in rows.items()}, frozenset(resting))


_I = InstanceState
INSTANCE = _machine("instance", _I.DEFINED, {
    _I.DEFINED: {_I.INSTANTIATING, _I.SWAPPING_IN, _I.DESTROYING},
    _I.INSTANTIATING: {_I.UP, _I.DESTROYING, _I.FAILED, _I.BROKEN},
    _I.UP: {_I.MODIFYING, _I.CHECKPOINTING, _I.SWAPPING_OUT, _I.DESTROYING, _I.BROKEN},
    _I.MODIFYING: {_I.UP, _I.DESTROYING, _I.BROKEN},
    _I.CHECKPOINTING: {_I.UP, _I.DESTROYING, _I.BROKEN},
    _I.SWAPPING_OUT: {_I.SPOOLED, _I.SWAPPED_OUT, _I.UP, _I.DESTROYING, _I.BROKEN},
    _I.SPOOLED: {_I.SWAPPED_OUT, _I.DESTROYING, _I.BROKEN},
    _I.SWAPPED_OUT: {_I.SWAPPING_IN, _I.DESTROYING},
    _I.SWAPPING_IN: {_I.UP, _I.SWAPPED_OUT, _I.DESTROYING, _I.BROKEN},
    _I.DESTROYING: {_I.DESTROYED, _I.FAILED, _I.BROKEN},
    _I.BROKEN: {_I.UP, _I.SWAPPED_OUT, _I.DESTROYING},
    _I.DESTROYED: set(),
    _I.FAILED: set(),
}, resting={_I.DEFINED, _I.UP, _I.SWAPPED_OUT, _I.BROKEN, _I.DESTROYED, _I.FAILED})

_R = RunState
RUN = _machine("run", _R.DEFINED, {
    _R.DEFINED: {_R.STARTING, _R.FAILED},
    _R.STARTING: {_R.RUNNING, _R.STOPPING, _R.FAILED},
    _R.RUNNING: {_R.STOPPING},
    _R.STOPPING: {_R.OVER},
    _R.OVER: set(),
    _R.FAILED: set(),
}, resting={_R.DEFINED, _R.RUNNING, _R.OVER, _R.FAILED})

_D = RecordState
RECORD = _machine("record", _D.COMMITTING, {
    _D.COMMITTING: {_D.OPEN, _D.FINAL},
    _D.OPEN: {_D.FINAL},
    _D.FINAL: set(),
}, resting={_D.OPEN, _D.FINAL})

_C = CheckpointState
CHECKPOINT = _machine("checkpoint", _C.CAPTURING, {
    _C.CAPTURING: {_C.SPOOLED, _C.FAILED},
    _C.SPOOLED: {_C.DURABLE, _C.FAILED},
    _C.DURABLE: set(),
    _C.FAILED: set(),
}, resting={_C.DURABLE, _C.FAILED})
