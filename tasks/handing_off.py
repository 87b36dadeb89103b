"""What is particular to a handoff: whether it may begin, how long its host was idle, and the way back of whoever can go back."""

from __future__ import annotations

from copy import copy
from time import monotonic

from prefect.artifacts import create_table_artifact

from models.checkpoints import checkpoint_by_id
from models.database import reading
from models.errors import Conflict, InvalidInput, SwapbedError
from models.instances import instance_by_id
from models.leases import Lease
from models.protocol.checkpoint import Costs
from models.states import INSTANCE, InstanceState
from tasks.study_pictures import key_of
from tasks.swapping import back_to_swapped_out, resume_in_place
from tasks.work import labels


def check_handoff(instance_id: str, successor_id: str) -> None:
    """Raise InvalidInput or Conflict for two that can never do this as they are. Those that somebody is at work on are for the leases."""
    with reading() as session:
        leaving, coming = instance_by_id(session, instance_id), instance_by_id(session, successor_id)
    if leaving.id == coming.id:
        raise InvalidInput("an instance cannot take its own place", where=leaving.name)
    for instance, wanted, role in ((leaving, InstanceState.UP, "The first one named leaves its host"),
                                   (coming, InstanceState.SWAPPED_OUT, "The second one named comes back, in the place of the first")):
        if instance.state in INSTANCE.resting and instance.state is not wanted:
            raise Conflict(f"the instance is {_words(instance.state)}, and has to be {_words(wanted)}", where=instance.name, next=role)


def standing_since_s(checkpoint_id: str) -> float:
    """When, on the clock `monotonic`, the instance stood still whose capture has just returned."""
    with reading() as session:
        costs = Costs.model_validate(checkpoint_by_id(session, checkpoint_id).costs)
    return monotonic() - sum(costs.steps_ns.values()) / 1e9


def state_of(instance_id: str) -> InstanceState:
    with reading() as session:
        return instance_by_id(session, instance_id).state


def go_back(instance_id: str, leaving: Lease, successor_id: str, coming: Lease, reason: str) -> None:
    """Whoever is on the way goes back to where it was, as far as there is a way back: the one that leaves until its checkpoint is all
    that there is of it, the other until it goes on. What has been done is told by their states alone."""
    try:
        if state_of(instance_id) is InstanceState.SWAPPING_OUT:
            resume_in_place(instance_id, leaving, f"not swapped out: {reason}")
    finally:
        if state_of(successor_id) is InstanceState.SWAPPING_IN:
            back_to_swapped_out(successor_id, coming, reason)


def told(instance_id: str, successor_id: str) -> str:
    """What has become of both: `dumbbell-1 is swapped out and star-2 is up`."""
    with reading() as session:
        both = [instance_by_id(session, each) for each in (instance_id, successor_id)]
    return " and ".join(f"{each.name} is {_words(each.state)}"
                        + (f" ({each.reason})" if each.state is InstanceState.SPOOLED and each.reason else "") for each in both)


def also_told(error: Exception, instance_id: str, successor_id: str) -> SwapbedError:
    """An error of the same kind that says what has become of both, too."""
    more = copy(error) if isinstance(error, SwapbedError) else SwapbedError(f"{type(error).__name__}: {error}")
    more.what = f"{more.what}; now {told(instance_id, successor_id)}"
    if state_of(instance_id) is InstanceState.SPOOLED:
        more.next = "Its checkpoint is whole on its host, and stored as soon as the store takes it; `swapbed destroy` gives it up"
    return more


def publish_handoff(instance_id: str, successor_id: str, idle_s: float) -> None:
    """An artifact named after the instance that left: who took its place, and what that cost its host."""
    leaving, coming = labels({"instance_id": instance_id, "successor_id": successor_id})
    create_table_artifact([{"left": leaving, "came": coming, "host idle (s)": round(idle_s, 3)}], key=key_of("handoff", leaving),
                          description=f"{coming} in the place of {leaving}")


def _words(state: InstanceState) -> str:
    return state.replace("_", " ")
