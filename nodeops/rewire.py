"""A living node's network changed in place: what runs in it goes on, and what did not change keeps its connections.

What is there is looked at, not remembered, so that an attempt that was cut short is simply made again. An interface stays if its name,
MAC and addresses do; else it is removed and made anew. Routes and names that a program in the node has changed itself stay as it left
them.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from models.errors import NotFound
from models.routes import Routing
from models.spec import Spec
from nodeops import node_network
from nodeops.init.client import InitClient
from nodeops.init.files import NodeFiles
from nodeops.layout import InstanceLayout, NodeLayout
from nodeops.linux import CLONE_NEWNET, open_own_network_namespace, setns
from nodeops.reach import init_socket, open_network

HOSTS = "/etc/hosts"
HOSTS_LIMIT_BYTES = 1 << 20


def rewire(layout: InstanceLayout, olds: Sequence[Spec], new: Spec, nodes: Sequence[str]) -> None:
    """Their inits live. olds: any of which they may have been told of. Raises HostProblem or Conflict."""
    before = [(old, Routing(old)) for old in olds]
    after = Routing(new)
    for wanted in node_network.plan(new, nodes, after):
        at, known = layout.node(wanted.node), [(old, routing) for old, routing in before if any(n.name == wanted.node for n in old.nodes)]
        with _inside(at):
            node_network.change([plan for old, routing in known for plan in node_network.plan(old, [wanted.node], routing)], wanted)
        _rename_neighbours(at, [routing.hosts(wanted.node) for _, routing in known], after.hosts(wanted.node))


@contextmanager
def _inside(node: NodeLayout) -> Iterator[None]:
    """This thread is in the node's network namespace, within."""
    home, there = open_own_network_namespace(), open_network(node)
    try:
        setns(there, CLONE_NEWNET)
        yield
    finally:
        setns(home, CLONE_NEWNET)
        os.close(there)
        os.close(home)


def _rename_neighbours(node: NodeLayout, olds: Sequence[str], new: str) -> None:
    """/etc/hosts, unless somebody in the node has written his own."""
    with init_socket(node) as path, InitClient(path) as client:
        files = NodeFiles(client)
        try:
            present = b"".join(files.read(HOSTS, HOSTS_LIMIT_BYTES))
        except NotFound:
            return
        if present.decode(errors="replace") in olds:
            files.write(HOSTS, iter([new.encode()]))
