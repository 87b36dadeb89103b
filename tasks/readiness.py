"""Before a further run begins: the instance is as its template has it, or the run is refused."""

from __future__ import annotations

from models.database import reading
from models.errors import Conflict, HostProblem, SwapbedError
from models.instances import instance_by_id, run_by_id
from models.leases import Lease
from models.states import RunState
from tasks.mending import is_whole, mend_instance
from tasks.runs import refuse_run


def make_ready(run_id: str, lease: str) -> None:
    """What died between two runs is started again as its nodes say. Raises HostProblem, the run `failed`, where that leaves a node dead
    without which no run may be; HostLost, where a host cannot be reached. Nothing for a run that goes on already."""
    with reading() as session:
        run = run_by_id(session, run_id)
        name = instance_by_id(session, run.instance_id).name
    if run.state not in (RunState.DEFINED, RunState.STARTING):
        return
    try:
        if _is_known_to_be_whole(run.instance_id):
            return
        fatal = mend_instance(run.instance_id, lease).fatal
        if fatal:
            raise HostProblem(f"{_are(fatal)} dead since before this run", where=name,
                              next=f"`swapbed mend {name}` starts what is dead again; or destroy the instance")
    except Conflict:  # somebody else's turn: it may be tried again
        raise
    except SwapbedError as error:
        refuse_run(run_id, Lease.parse(lease), str(error))
        raise


def _is_known_to_be_whole(instance_id: str) -> bool:
    try:
        return is_whole(instance_id)
    except SwapbedError:  # of which mending tells, if it cannot be had by trying again
        return False


def _are(nodes: list[str]) -> str:
    return f"node {nodes[0]} is" if len(nodes) == 1 else f"nodes {', '.join(nodes)} are"
