"""Connections that end with a cut, among the instance's events: who reads them knows why a program's peer was gone."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

from models.events import Arguments
from models.spec import Node, Spec
from nodeops.conductor.client import ConductorClient
from nodeops.layout import InstanceLayout
from nodeops.outside_connections import connections
from nodeops.reach import open_network

EVENT_S, NAMED = 10.0, 10


def tell_of_outside(layout: InstanceLayout, spec: Spec, nodes: Sequence[Node]) -> None:
    """A line among the instance's events for what the nodes will find closed when they come back."""
    for node in nodes:
        if not node.outside:
            continue
        network = open_network(layout.node(node.name))
        try:
            found = connections(network, spec)
        finally:
            os.close(network)
        if found:
            _tell(layout, f"{node.name}: these connections to the outside end here, and are closed when it comes back: {', '.join(found)}")


def tell_of_closed(layout: InstanceLayout, cut_off: Mapping[str, Sequence[str]]) -> None:
    for node, names in cut_off.items():
        more = f" (and {len(names) - NAMED} more)" if len(names) > NAMED else ""
        _tell(layout, f"{node}: these connections were closed by their programs and have not delivered everything; they end here: "
                      f"{', '.join(names[:NAMED])}{more}")


def _tell(layout: InstanceLayout, text: str) -> None:
    with ConductorClient(layout) as conductor:
        conductor.send_event("instance", "log", Arguments(text=text), wait=True, timeout_s=EVENT_S)
