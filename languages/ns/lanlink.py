"""Links, LANs, their queues, and the handles by which programs reach the queues."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from languages.ns.node import LOOKS, Node
from languages.ns.objects import NsObject, command
from languages.ns.quantities import boolean, integer, number, positive
from languages.ns.refusal import Refused

if TYPE_CHECKING:
    from languages.ns.world import World

ONLY_AS_EVENT = "has an effect only as an event: `$ns at TIME \"$link …\"`"
TRACE_KINDS = ("header", "packet", "monitor")


@dataclass
class Member:
    """One node's place in a link or LAN. to: node to LAN; back: LAN to node. Rates in kbit/s, delays in ms, as Emulab has them."""

    node: Node
    lanlink: LanLink
    to_kbps: int
    back_kbps: int
    to_ms: float
    back_ms: float
    queue: Queue
    to_loss: float = 0
    back_loss: float = 0
    address: str | None = None
    address_line: int = 0


class Queue(NsObject):
    """What one member sends into its link or LAN. Defaults: ns-2's."""

    kind, noun = "Queue", "queue"
    settings = {
        "limit_": lambda text: integer(text, "limit_", 1, 1 << 40),
        "maxthresh_": lambda text: positive(text, "maxthresh_"),
        "thresh_": lambda text: positive(text, "thresh_"),
        "q_weight_": lambda text: _weight(text),
        "linterm_": lambda text: positive(text, "linterm_"),
        "mean_pktsize_": lambda text: integer(text, "mean_pktsize_", 1, 1 << 20),
        **{name: lambda text, name=name: boolean(text, name)  # type: ignore[misc]
           for name in ("queue-in-bytes_", "bytes_", "wait_", "setbit_", "red_", "gentle_", "traced")},
        "trace_type": lambda text: trace_kind(text),
        "trace_expr": str,
        "trace_snaplen": lambda text: integer(text, "trace_snaplen", 0, 1 << 20),
        "trace_endnode": lambda text: boolean(text, "trace_endnode"),
    }
    ignored_variables = {
        "drop-tail_": "a queue that is not RED is drop-tail",
        "trace_mysql": "captures go into the record, not into a database",
    }
    _DEFAULTS = {
        "limit_": "50",
        "maxthresh_": "15",
        "thresh_": "5",
        "q_weight_": "0.002",
        "linterm_": "10",
        "queue-in-bytes_": "0",
        "bytes_": "0",
        "mean_pktsize_": "500",
        "wait_": "1",
        "setbit_": "0",
        "drop-tail_": "1",
        "red_": "0",
        "gentle_": "0",
        "traced": "0",
        "trace_type": "header",
        "trace_expr": "",
        "trace_snaplen": "0",
        "trace_endnode": "0",
    }

    def __init__(self, world: World, name: str, line: int, node: Node, type: str):
        super().__init__(world, name, line)
        self.node = node
        self.lanlink: LanLink | None = None
        self.variables.update(self._DEFAULTS)
        if type in ("RED", "GRED"):
            self._default("red_", "1")
            self._default("gentle_", "1" if type == "GRED" else "0")
        elif type != "DropTail":
            world.ignore(f"queue type {type}", "DropTail is used instead (RED and GRED are known)")

    def _default(self, variable: str, value: str) -> None:
        self.variables[variable] = value
        self.values[variable] = self.settings[variable](value)

    @command("trace", "[KIND] [FILTER]")
    def trace(self, kind: str = "header", expression: str = "") -> None:
        for variable, value in (("traced", "1"), ("trace_type", kind), ("trace_expr", expression)):
            self.set_variable(variable, value)

    @command("get_link")
    def get_link(self) -> str:
        return str(self.lanlink)

    @command("get_node")
    def get_node(self) -> str:
        return self.node.name


class LanLink(NsObject):
    """A link or LAN. nodes may stand in it more than once."""

    noun = "link or LAN"
    ignored = {
        "mustdelay": "every link is shaped by the wires, always",
        "set_setting": "settings of wireless LANs",
        "set_member_setting": "settings of wireless LANs",
        "set_accesspoint": "wireless LANs",
        "set_fixed_iface": "placement on Emulab's hardware",
        "enable_openflow": "OpenFlow switches",
        "implemented_by": "links made of links",
        "trace_mysql": "captures go into the record, not a database",
        **dict.fromkeys(("orient", "color", "label"), LOOKS),
        **dict.fromkeys(("up", "down", "bandwidth", "delay", "plr", "reset"), ONLY_AS_EVENT),
        "create": ONLY_AS_EVENT,
        "clear": ONLY_AS_EVENT,
    }

    def __init__(self, world: World, name: str, line: int, nodes: list[Node], kbps: int, delay_ms: int, queue_type: str):
        super().__init__(world, name, line)
        self.mask: str | None = None
        self.routing_cost = 1.0
        self.unshaped = False
        self.members: list[Member] = []
        for node in nodes:
            queue = Queue(world, f"lq{world.next_new()}", line, node, queue_type)
            queue.lanlink = self
            member = Member(node, self, kbps, kbps, delay_ms / 2, delay_ms / 2, queue)
            node.ports.append(member)
            self.members.append(member)

    def member_of(self, node: Node, what: str) -> Member:
        """The node's first place in it."""
        if (member := node.port_in(self)) is None:
            raise Refused(f"{what}: {node.name} is not in {self.name}")
        return member

    def queue_of(self, node: Node, what: str) -> Queue:
        """Made a Tcl command when first asked for."""
        queue = self.member_of(node, what).queue
        if queue.name not in self.world.objects:
            self.world.add_named(queue)
        return queue

    @command("Queue", "NODE")
    def queue(self, node: str) -> str:
        return self.queue_of(self.world.find(node, Node, what="Queue"), "Queue").name

    @command("get_port", "NODE")
    def get_port(self, node: str) -> str:
        found = self.world.find(node, Node, what="get_port")
        member = found.port_in(self)
        return "" if member is None else str(found.ports.index(member))

    @command("cost", "COST")
    def cost(self, text: str) -> None:
        self.routing_cost = positive(text, "cost")

    @command("trace", "[KIND] [FILTER]")
    def trace(self, kind: str = "header", expression: str = "") -> None:
        for member in self.members:
            member.queue.trace(kind, expression)

    @command("trace_snaplen", "BYTES")
    def trace_snaplen(self, size: str) -> None:
        for member in self.members:
            member.queue.set_variable("trace_snaplen", size)

    @command("trace_endnode", "ONOFF")
    def trace_endnode(self, on: str) -> None:
        for member in self.members:
            member.queue.set_variable("trace_endnode", on)

    @command("SetTraceParams", "NODE [KIND] [BYTES] [FILTER]")
    def set_trace_params(self, node: str, kind: str = "header", size: str = "0", expression: str = "") -> None:
        queue = self.member_of(self.world.find(node, Node, what="SetTraceParams"), "SetTraceParams").queue
        queue.trace(kind, expression)
        if integer(size, "trace_snaplen", 0, 1 << 20):
            queue.set_variable("trace_snaplen", size)


class Link(LanLink):
    kind, noun = "Link", "link"

    def __init__(self, world: World, name: str, line: int, nodes: list[Node], kbps: int, delay_ms: int, queue_type: str):
        super().__init__(world, name, line, nodes, kbps, delay_ms, queue_type)
        pair = world.next_new()  # Emulab names a link's two queues by one number
        for direction, member in zip(("to", "from"), self.members, strict=True):
            member.queue.name = f"{direction}q{pair}"


class Lan(LanLink):
    kind, noun = "Lan", "LAN"


class SimplexLink(NsObject):
    """One direction of a link, as `$ns link A B` gives it."""

    kind, noun = "SimplexLink", "direction of a link"
    ignored = {"cost": "use `$ns cost`"}

    def __init__(self, world: World, name: str, line: int, link: LanLink, source: Node):
        super().__init__(world, name, line)
        self.link, self.source = link, source

    @command("queue")
    def queue(self) -> str:
        return self.link.queue_of(self.source, "queue").name


class LLink(NsObject):
    """One member of a LAN, as `$ns lanlink LAN NODE` gives it."""

    kind, noun = "LLink", "member of a LAN"

    def __init__(self, world: World, name: str, line: int, lan: Lan, node: Node):
        super().__init__(world, name, line)
        self.lan, self.node = lan, node

    @command("queue")
    def queue(self) -> str:
        return self.lan.queue_of(self.node, "queue").name


def trace_kind(text: str) -> str:
    if text not in TRACE_KINDS:
        raise Refused(f"'{text}' is not a kind of trace: expected {', '.join(TRACE_KINDS)}")
    return text


def _weight(text: str) -> float:
    value = number(text, "q_weight_")
    if not 0 < value <= 1:
        raise Refused(f"q_weight_ '{text}' is out of range: expected more than 0, at most 1")
    return value
