"""What a living instance has to go through to become another spec: pure, from the two specs alone.

A node is touched no more than the change demands. In falling order: it is made anew with the files of an instantiation (its kind, base
or initial files changed); started again with its files (limits, a way outside; a virtual machine whose network changed); told of
another network while all in it goes on; left alone. What nodes are told by events, agents, sequences, environments, is the conductor's,
and shapes of links are the wires': they read the spec.
"""

from __future__ import annotations

from dataclasses import dataclass

from models.routes import Routing, StaticRoute
from models.spec import Lan, Node, Spec

FILES_OF = ("kind", "image", "tarballs", "volumes")
STARTED_WITH = ("cpus", "memory_bytes", "outside", "virtual_wall_clock")


@dataclass(frozen=True)
class Interface:
    """What a node has of one membership. neighbours: (address, MAC) of the other members."""

    name: str
    mac: str
    addresses: tuple[str, ...]
    neighbours: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class NodeNetwork:
    """All that one node knows of the experiment's network."""

    interfaces: tuple[Interface, ...]
    routes: tuple[StaticRoute, ...]
    hosts: str


@dataclass(frozen=True)
class Changes:
    """Names, in the order of the spec they are in. Nodes are in at most one of the first five; what is in none of them is left alone.

    conducted: something that only the conductor reads is another.
    """

    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    remade: tuple[str, ...] = ()
    restarted: tuple[str, ...] = ()
    rewired: tuple[str, ...] = ()
    lans_added: tuple[str, ...] = ()
    lans_removed: tuple[str, ...] = ()
    lans_changed: tuple[str, ...] = ()
    conducted: bool = False

    @property
    def none(self) -> bool:
        return self == Changes()

    def sentences(self) -> list[str]:
        """For people: `added node c`, `link wire changed`."""
        said = [("added", self.added), ("removed", self.removed), ("made anew", self.remade), ("started again", self.restarted),
                ("rewired", self.rewired), ("links added", self.lans_added), ("links removed", self.lans_removed),
                ("links changed", self.lans_changed)]
        return [f"{what}: {', '.join(names)}" for what, names in said if names] + (["events or agents changed"] if self.conducted else [])


def changes(old: Spec, new: Spec) -> Changes:
    """The steps from old to new."""
    before, after = {node.name: node for node in old.nodes}, {node.name: node for node in new.nodes}
    of_old, of_new = Routing(old), Routing(new)
    remade: list[str] = []
    restarted: list[str] = []
    rewired: list[str] = []
    for name in (name for name in after if name in before):
        a, b = before[name], after[name]
        if _differ(a, b, FILES_OF):
            remade.append(name)
        elif _differ(a, b, STARTED_WITH):
            restarted.append(name)
        elif network_of(old, of_old, name) != network_of(new, of_new, name):
            (restarted if b.kind == "vm" else rewired).append(name)
    lans, other_lans = _lans(old), _lans(new)
    return Changes(
        added=tuple(name for name in after if name not in before), removed=tuple(name for name in before if name not in after),
        remade=tuple(remade), restarted=tuple(restarted), rewired=tuple(rewired),
        lans_added=tuple(name for name in other_lans if name not in lans),
        lans_removed=tuple(name for name in lans if name not in other_lans),
        lans_changed=tuple(name for name in other_lans if name in lans and lans[name] != other_lans[name]),
        conducted=_conducted(old) != _conducted(new))


def network_of(spec: Spec, routing: Routing, node: str) -> NodeNetwork:
    """Shapes of links are not part of it: they are nothing that a node knows."""
    interfaces = tuple(
        Interface(member.interface, member.mac, member.addresses,
                  tuple(sorted((address, other.mac) for other in lan.members if other != member for address in other.addresses)))
        for lan, member in spec.memberships(node))
    return NodeNetwork(interfaces, routing.routes(node), routing.hosts(node))


def _differ(a: Node, b: Node, fields: tuple[str, ...]) -> bool:
    return any(getattr(a, field) != getattr(b, field) for field in fields)


def _lans(spec: Spec) -> dict[str, Lan]:
    return {lan.name: lan for lan in spec.lans}


def _conducted(spec: Spec) -> Spec:
    """All of a spec but its network, and of nodes what is started with them."""
    nodes = tuple(Node(name=node.name, environment=node.environment, failure=node.failure, on_failure=node.on_failure)
                  for node in spec.nodes)
    return spec.model_copy(update={"nodes": nodes, "lans": ()})
