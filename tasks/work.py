"""Working on an instance: under its lease, with a name that people recognize in Prefect, and with retries only where they can help."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from prefect.context import FlowRunContext, TagsContext

from models.database import reading, writing
from models.errors import HostLost, NotFound, StoreProblem, TimedOut
from models.instances import instance_by_id, run_by_id
from models.leases import Lease, held
from models.states import InstanceState, Subject
from models.tables import Instance, Record
from models.transition import transition
from tasks.holder import is_dead, own_name
from tasks.sessions import sessions_kept

RETRIES = 2
RETRY_PAUSES_S = [0.5, 3]


@contextmanager
def working_on(instance_id: str, purpose: str, inherited: str | None = None) -> Iterator[Lease]:
    """Hold the instance's lease, or use the parent flow's; sessions with hosts end with it, unless somebody around it keeps them.

    Raises Conflict while somebody else works on it.
    """
    with (held(Subject.INSTANCE, instance_id, holder=own_name(), purpose=purpose, inherited=inherited, is_dead=is_dead) as lease,
          sessions_kept(), untagged()):
        yield lease


def untagged() -> TagsContext:
    """The tags that a flow run was given are not for its tasks: a tagged task asks the server for a slot, and gives it back."""
    return TagsContext(current_tags=set())


def change(lease: Lease, instance_id: str, state: InstanceState, **columns: Any) -> None:
    """The instance's state, in a transaction of its own; the row tells which flow run did it."""
    with writing() as session:
        transition(session, Instance, instance_id, state, lease=lease, flow_run_id=flow_run_id(), **columns)


def flow_run_id() -> str | None:
    context = FlowRunContext.get()
    return str(context.flow_run.id) if context and context.flow_run else None


def named(verb: str) -> Callable[[], str]:
    """For `flow_run_name`: the verb and the name of what the flow's first id is about, as `instantiate dumbbell-1`."""

    def name() -> str:
        context = FlowRunContext.get()
        parameters = context.parameters if context else {}
        return " ".join([verb, *labels(parameters or {})])

    return name


def labels(ids: dict[str, Any]) -> list[str]:
    """Names for ids: of the instance, and `run 3` or the one that takes its place. What is unknown is named by its id."""
    try:
        with reading() as session:
            if record := session.get(Record, ids.get("record_id", "")):
                return labels({"run_id": record.run_id})
            if run_id := ids.get("run_id"):
                run = run_by_id(session, run_id)
                return [instance_by_id(session, run.instance_id).name, f"run {run.number}"]
            return [instance_by_id(session, each).name for each in (ids["instance_id"], ids.get("successor_id")) if each]
    except (NotFound, KeyError):
        return [str(value) for value in ids.values() if value]


def worth_retrying(task: Any, run: Any, state: Any) -> bool:
    """For `retry_condition_fn`: only what may go better the next time; bad input, a full disk, a lost lease do not."""
    error = state.result(raise_on_failure=False)
    return isinstance(error, (TimedOut, StoreProblem, HostLost))
