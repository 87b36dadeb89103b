"""What follows from a message that an instance put into its outbox: decided in one transaction, as data, before anything is done."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from sqlmodel import Session

from models.errors import Conflict
from models.instances import current_run, define_run, instance_by_id, placements
from models.states import InstanceState, PlacementState, RunState
from models.tables import Instance, OutboxMessage


@dataclass(frozen=True)
class Consequence:
    """A flow and its ids; no flow: nothing is to be done."""

    flow: str | None = None
    ids: dict[str, str] = field(default_factory=dict)


NOTHING = Consequence()
DECIDED_AGAIN = ("swapout",)  # when its flow found that somebody else was at work: it may have become needless


def consequence(session: Session, message: OutboxMessage) -> Consequence | None:
    """None: this Swapbed does not know what that is. May write rows (of a run that is to start), and raises Conflict where it must wait."""
    decide = DECISIONS.get(message.kind)
    return decide(session, instance_by_id(session, message.instance_id), message) if decide else None


def _terminate(session: Session, instance: Instance, message: OutboxMessage) -> Consequence:
    return Consequence("destroy", {"instance_id": instance.id})


def _swapout(session: Session, instance: Instance, message: OutboxMessage) -> Consequence:
    """Nothing if it is on its way already, or was when the controller died; Conflict while something else is done to it."""
    if instance.state in (InstanceState.CHECKPOINTING, InstanceState.MODIFYING):
        raise Conflict(f"the instance is {instance.state}", where=instance.name)
    return Consequence("swapout", {"instance_id": instance.id}) if instance.state is InstanceState.UP else NOTHING


def _stop_run(session: Session, instance: Instance, message: OutboxMessage) -> Consequence:
    """Nothing, where somebody was faster than this message: the run is being stopped, or over, and one that follows it is not meant."""
    run = current_run(session, instance.id)
    meant = run is not None and run.number == message.run and run.state is not RunState.STOPPING  # if who stops it dies, `recover` does it
    return Consequence("stop_run", {"run_id": run.id}) if run and meant else NOTHING


def _start_run(session: Session, instance: Instance, message: OutboxMessage) -> Consequence:
    """Raises Conflict while the run before is still going on."""
    run = define_run(session, instance, created_by=instance.created_by, origin="event", parameters=message.content.get("parameters"),
                     environment_of_run=message.content.get("environment_of_run"))
    return Consequence("start_run", {"run_id": run.id})


def _node_died(session: Session, instance: Instance, message: OutboxMessage) -> Consequence:
    """A fatal death the conductor has taken care of: it ends the run, and says so by itself."""
    for place in placements(session, instance.id):
        if place.node == message.content.get("node") and place.state is PlacementState.PLACED:
            place.state = PlacementState.DEAD
    return _mend(instance) if message.content.get("failure") == "restart" else NOTHING


def _wires_died(session: Session, instance: Instance, message: OutboxMessage) -> Consequence:
    return _mend(instance)


def _mend(instance: Instance) -> Consequence:
    return Consequence("mend", {"instance_id": instance.id}) if instance.state is InstanceState.UP else NOTHING


def _nothing(session: Session, instance: Instance, message: OutboxMessage) -> Consequence:
    return NOTHING


DECISIONS: dict[str, Callable[[Session, Instance, OutboxMessage], Consequence]] = {
    "swapout": _swapout,
    "terminate": _terminate, "stop-run": _stop_run, "start-run": _start_run, "run-ended": _stop_run, "node-died": _node_died,
    "wires-died": _wires_died, "quiet": _nothing, "idle": _nothing, "message": _nothing,
}
