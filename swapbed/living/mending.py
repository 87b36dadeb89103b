"""The verb `mend`: what is dead of a living instance is started again because a user says so, whatever `failure` says."""

from __future__ import annotations

from collections.abc import Sequence

from models.database import writing
from models.errors import Conflict, NotFound
from models.instances import placements
from models.protocol.host import InstanceStatus, OfInstance
from models.states import InstanceState, PlacementState
from swapbed.lifecycle import find, pass_on
from swapbed.living.access import Access
from swapbed.present.progress import Report, quiet
from swapbed.serving.launch import launch


def mend(name: str, nodes: Sequence[str] = (), *, report: Report = quiet) -> tuple[str, ...]:
    """Wires, conductor and nodes that are dead; returns what was started. nodes: only these; one that lives is left alone.

    A node's files are as it left them; what ran in it is gone.
    """
    known = find(name)
    if known.row.state is not InstanceState.UP:
        raise Conflict(f"the instance is {known.row.state.replace('_', ' ')}", where=known.row.name)
    if unknown := set(nodes) - {node.name for node in known.spec.nodes}:
        raise NotFound(f"there is no node '{min(unknown)}'", where=known.row.name)
    with Access.to(known.row.id) as access:
        statuses = [host.do("inspect", OfInstance(instance=access.instance_id), InstanceStatus) for host in access.hosts()]
    dead = {node.node for status in statuses for node in status.nodes if not node.alive}
    with writing() as session:
        for place in placements(session, known.row.id):
            if place.node in dead and (not nodes or place.node in nodes):
                place.state = PlacementState.PLANNED
    restarted = launch("mend", pass_on(report), instance_id=known.row.id)["restarted"]
    return tuple(str(restarted).split())
