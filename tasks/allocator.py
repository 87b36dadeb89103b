"""Which node goes on which host: a pure function of the spec and of what the hosts have left.

Nodes that share LANs stay together as far as capacities let them, since every frame between hosts costs a trunk: all on one host
if any can carry them; else hosts are filled one after the other along a breadth-first walk of the topology.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from typing import TypeVar

from models.errors import HostProblem
from models.protocol.control import Message
from models.spec import Node, Spec

Amount = TypeVar("Amount", int, float)
VM_CPUS = 1.0
VM_MEMORY_BYTES = 256 << 20


class Room(Message):
    """What a host can still carry; None: without limit."""

    host_id: str
    name: str
    nodes: int | None = None
    cpus: float | None = None
    memory_bytes: int | None = None

    @property
    def limited(self) -> bool:
        return (self.nodes, self.cpus, self.memory_bytes) != (None, None, None)

    def less(self, node: Node) -> Room | None:
        """What is left with the node on it; None if it does not fit."""
        cpus, memory_bytes = demand(node)
        left = Room(host_id=self.host_id, name=self.name, nodes=_minus(self.nodes, 1), cpus=_minus(self.cpus, cpus),
                    memory_bytes=_minus(self.memory_bytes, memory_bytes))
        return None if any(value is not None and value < 0 for value in (left.nodes, left.cpus, left.memory_bytes)) else left


def demand(node: Node) -> tuple[float, int]:
    """CPUs and bytes of memory that a host must have for it. A container without limits asks for none: it shares what there is."""
    if node.kind == "vm":
        return node.cpus or VM_CPUS, node.memory_bytes or VM_MEMORY_BYTES
    return node.cpus or 0.0, node.memory_bytes or 0


def allocate(spec: Spec, rooms: Sequence[Room], fixed: dict[str, str] | None = None) -> dict[str, str]:
    """Node name → host id, for every node. fixed: nodes that are placed already and stay there; rooms count them in.

    Same arguments, same answer. Raises HostProblem if they do not fit.
    """
    placed = dict(fixed or {})
    waiting = [node for node in _walk(spec) if node.name not in placed]
    if not rooms and waiting:
        raise HostProblem("there is no host to place nodes on", next="`swapbed host add`, or undrain one")
    for room in rooms:
        if _fill(room, waiting)[1] == []:
            return placed | {node.name: room.host_id for node in waiting}
    for room in rooms:
        taken, waiting = _fill(room, waiting)
        placed |= {node.name: room.host_id for node in taken}
    if waiting:
        cpus, memory_bytes = (sum(values) for values in zip(*map(demand, waiting), strict=True))
        raise HostProblem(f"no room for {len(waiting)} of {len(spec.nodes)} nodes ({waiting[0].name} is the first), which ask for "
                          f"{cpus:g} CPUs and {memory_bytes >> 20} MiB", where=", ".join(room.name for room in rooms),
                          next="Destroy or swap out an instance, add a host, or ask for less")
    return placed


def _fill(room: Room, nodes: Iterable[Node]) -> tuple[list[Node], list[Node]]:
    """Those that fit, taken in order, and the others."""
    taken, left = [], []
    for node in nodes:
        smaller = room.less(node)
        if smaller is None:
            left.append(node)
        else:
            room = smaller
            taken.append(node)
    return taken, left


def _walk(spec: Spec) -> list[Node]:
    """Breadth first over the LANs, from the first node of each part of the topology."""
    neighbours: dict[str, list[str]] = {node.name: [] for node in spec.nodes}
    for lan in spec.lans:
        names = [member.node for member in lan.members]
        hub = names[0]
        for name in names[1:]:  # a star through the first member: connectivity is all that matters here
            neighbours[hub].append(name)
            neighbours[name].append(hub)
    nodes = {node.name: node for node in spec.nodes}
    seen: dict[str, Node] = {}
    for start in nodes:
        ahead = deque([start])
        while ahead:
            name = ahead.popleft()
            if name not in seen:
                seen[name] = nodes[name]
                ahead.extend(neighbours[name])
    return list(seen.values())


def _minus(have: Amount | None, want: Amount) -> Amount | None:
    return None if have is None else have - want
