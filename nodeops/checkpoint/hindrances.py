"""What stands in the way of a dump, but will be over in a moment: it is waited for, before anybody is stopped and once all stand still."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

from models.errors import Conflict
from models.spec import Node
from nodeops.checkpoint import kept_sockets, preflight
from nodeops.checkpoint.kept_sockets import Looked
from nodeops.checkpoint.preflight import Found
from nodeops.checkpoint.standing_still import Cut, stand_later
from nodeops.layout import InstanceLayout

PAUSES_S = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.4, 0.8)  # as a rule what is waited for takes less than the first


def await_accepted(found: Mapping[str, Sequence[Found]]) -> None:
    """Raises Conflict, before anybody is stopped, for a server that lets a connection wait for longer than a moment."""
    for pause_s in (*PAUSES_S, 0.0):
        hindered = _hindered({}, {node: kept_sockets.look(processes, time.monotonic_ns()) for node, processes in found.items()})
        if not hindered:
            return
        time.sleep(pause_s)
    raise _not_now(hindered)


def dumpable(layout: InstanceLayout, nodes: Sequence[Node], cut: Cut) -> tuple[Cut, dict[str, list[Found]], dict[str, Looked]]:
    """A node that cannot be dumped as it is stands still a little later. Raises Conflict if that takes longer than it should."""
    for pause_s in (*PAUSES_S, 0.0):
        found = preflight.check(layout, nodes)
        looked = {node: kept_sockets.look(processes, cut.instant_ns) for node, processes in found.items()}
        hindered = _hindered(found, looked)
        if not hindered:
            break
        if pause_s:
            cut = stand_later(layout, cut, list(hindered), pause_s)
    else:
        raise _not_now(hindered)
    return cut, found, looked


def _hindered(found: Mapping[str, Sequence[Found]], looked: Mapping[str, Looked]) -> dict[str, str]:
    """Node → what will be over in a moment, but stands in the way as long: a process that waits for its child to execute something
    (vfork(2)), of which nothing can take hold; a server that has not accepted a connection yet, which CRIU refuses to dump."""
    unaccepted = {node: f"{one.name} ({one.inner}) does not accept a connection at port {port}, and none that waits can be carried"
                  for node, each in looked.items() for one, port in each.unaccepted}
    return unaccepted | {node: f"{one.name} ({one.inner}) waits for a child to execute something, and cannot be stopped"
                         for node, processes in found.items() for one in processes if one.state == "D"}


def _not_now(hindered: Mapping[str, str]) -> Conflict:
    node, why = next(iter(hindered.items()))
    return Conflict(why, where=node, next="Try again")
