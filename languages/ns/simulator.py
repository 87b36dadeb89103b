"""The simulator object: makes nodes, links, LANs and activities, and says when the program is complete."""

from __future__ import annotations

import re

from languages.ns import script
from languages.ns.activity import EventGroup, EventSequence, EventTimeline
from languages.ns.events import told, told_words
from languages.ns.lanlink import Lan, LanLink, Link, LLink, SimplexLink
from languages.ns.node import LOOKS, NSE, Console, Node
from languages.ns.objects import NsObject, command
from languages.ns.quantities import delay_ms, positive, rate_kbps, seconds
from languages.ns.refusal import Refused, did_you_mean
from languages.ns.traffic import Agent
from languages.ns.world import Parameter, Told, World

ROUTING = {
    "Static": "static",
    "Manual": "manual",
    "Session": "ospf",
    "ospf": "ospf",
    "Static-ddijk": "static-ddijk",
    "Static-old": "static-old",
    "none": "none",
}
NS_ROUTING = ("DV", "LS", "Algorithmic", "rtProtoDV", "rtProtoLS")
NS_TRACES = "ns-2's traces; use `$link trace`"


class Simulator(NsObject):
    kind, noun = "Simulator", "simulator"
    ignored = {
        **dict.fromkeys(("color", "duplex-link-op", "namtrace-all", "namtrace-all-wireless", "trace-annotate"), LOOKS),
        **dict.fromkeys(("trace-all", "trace-queue", "namtrace-queue", "flush-trace", "monitor-queue", "eventtrace-all"), NS_TRACES),
        **dict.fromkeys(("use-scheduler", "multicast", "node-config", "use-newtrace"), "ns-2's simulation settings"),
        "queue-limit": "as in Emulab; use `[[$ns link A B] queue] set limit_ N`",
        "nsenode": NSE,
        "make-portinvlan": "LANs shared between experiments",
        **dict.fromkeys(
            (
                "terminate",
                "halt",
                "swapout",
                "stoprun",
                "startrun",
                "snapshot",
                "report",
                "msg",
                "message",
                "log",
                "cleanlogs",
                "trace-for",
                "reset-lans",
                "linktest",
                "stabilize",
            ),
            'has an effect only as an event: `$ns at TIME "$ns …"`',
        ),
    }

    @command("node")
    def node(self) -> str:
        return self.world.add(Node(self.world, f"tbnode-n{self.world.next_id()}", self.world.here())).name

    @command("duplex-link", "NODE1 NODE2 BANDWIDTH DELAY TYPE [ARGUMENT] …")
    def duplex_link(self, first: str, second: str, bandwidth: str, delay: str, queue: str, *more: str) -> str:
        self._ignore_more("duplex-link", more)
        nodes = [self.world.find(name, Node, what="duplex-link") for name in (first, second)]
        kbps, ms = self._shape(bandwidth, delay)
        return self._add_lan(Link(self.world, f"tblink-l{self.world.next_id()}", self.world.here(), nodes, kbps, ms, queue))

    @command("make-lan", "NODES BANDWIDTH DELAY [ARGUMENT] …")
    def make_lan(self, names: str, bandwidth: str, delay: str, *more: str) -> str:
        self._ignore_more("make-lan", more)
        nodes = [self.world.find(name, Node, what="make-lan") for name in self.world.tcl.words(names)]
        kbps, ms = self._shape(bandwidth, delay)
        if len(nodes) < 2:
            raise Refused(f"a LAN of {len(nodes)} node{'s' * (len(nodes) != 1)}: expected at least 2")
        return self._add_lan(Lan(self.world, f"tblan-lan{self.world.next_id()}", self.world.here(), nodes, kbps, ms, "DropTail"))

    @command("make-cloud", "NODES BANDWIDTH DELAY [ARGUMENT] …")
    def make_cloud(self, names: str, bandwidth: str, delay: str, *more: str) -> str:
        self.world.ignore("make-cloud", "a cloud is a LAN like any other here")
        return self.make_lan(names, bandwidth, delay, *more)

    def _ignore_more(self, command: str, words: tuple[str, ...]) -> None:
        """ns-2's link layer, queue and MAC of a LAN, as in `LL Queue/DropTail Mac/802_3`."""
        if words:
            self.world.ignore(f"{command} {words[0]}", "ns-2's layers of simulated links; links and LANs are Ethernet")

    def _shape(self, bandwidth: str, delay: str) -> tuple[int, int]:
        return self.world.whole(rate_kbps(bandwidth), "kbit/s"), self.world.whole(delay_ms(delay), "milliseconds")

    def _add_lan(self, made: LanLink) -> str:
        self.world.lan_names.append([made.name])
        return self.world.add(made).name

    @command("link", "NODE1 NODE2")
    def link(self, first: str, second: str) -> str:
        source, target = (self.world.find(name, Node, what="link") for name in (first, second))
        if (link := self.find_link(source, target)) is None:
            raise Refused(f"there is no link between {source.name} and {target.name}")
        return self.world.add_named(SimplexLink(self.world, f"sl{self.world.next_new()}", self.world.here(), link, source)).name

    @command("lanlink", "LAN NODE")
    def lanlink(self, lan_name: str, node_name: str) -> str:
        lan = self.world.find(lan_name, Lan, what="lanlink")
        node = self.world.find(node_name, Node, what="lanlink")
        lan.member_of(node, "lanlink")
        return self.world.add_named(LLink(self.world, f"ll{self.world.next_new()}", self.world.here(), lan, node)).name

    def find_link(self, first: Node, second: Node) -> Link | None:
        """The last one made between the two."""
        return next((m.lanlink for m in reversed(first.ports)
                     if isinstance(m.lanlink, Link) and second in (n.node for n in m.lanlink.members if n is not m)), None)

    @command("cost", "NODE1 NODE2 COST")
    def cost(self, first: str, second: str, text: str) -> None:
        source, target = (self.world.find(name, Node, what="cost") for name in (first, second))
        if (link := self.find_link(source, target)) is None:
            raise Refused(f"there is no link between {source.name} and {target.name}")
        link.routing_cost = positive(text, "cost")

    @command("attach-agent", "NODE AGENT")
    def attach_agent(self, node: str, agent: str) -> None:
        self.world.find(agent, Agent, what="attach-agent").attach(self.world.find(node, Node, what="attach-agent"))

    @command("connect", "AGENT1 AGENT2")
    def connect(self, first: str, second: str) -> None:
        if any(isinstance(self.world.objects.get(name), Console) for name in (first, second)):
            self.world.ignore("Console connect", Console.ignored["*"])
            return
        source, target = (self.world.find(name, Agent, what="connect") for name in (first, second))
        source.connect(target)
        target.connect(source)

    @command("rtproto", "TYPE [NODE] …")
    def rtproto(self, type: str, *nodes: str) -> None:
        if nodes:
            self.world.ignore("rtproto NODE", "routing is the same on all nodes; `rtproto` alone counts")
        if type in NS_ROUTING:
            self.world.ignore(f"rtproto {type}", "as in Emulab, ns-2's routing protocol is not there, and routing stays as it was")
        elif type in ROUTING:
            set_routing(self.world, ROUTING[type])
        else:
            raise Refused(f"unknown routing protocol '{type}'", did_you_mean(type, ROUTING))

    @command("event-timeline")
    def event_timeline(self) -> str:
        return self.world.add(EventTimeline(self.world, f"tbtl-tl{self.world.next_id()}", self.world.here())).name

    @command("event-sequence", "[EVENTS] [catch] [EVENTS]")
    def event_sequence(self, body: str = "", catch: str = "", caught: str = "") -> str:
        if catch not in ("", "catch"):
            raise Refused(f"event-sequence expects `catch` after its events, not '{catch[:40]}'")
        sequence = EventSequence(self.world, f"tbseq-seq{self.world.next_id()}", self.world.here())
        sequence.steps = self._steps(body)
        if catch:
            sequence.caught = EventSequence(self.world, f"tbseq-seq{self.world.next_id()}", self.world.here())
            sequence.caught.steps = self._steps(caught)
        return self.world.add(sequence).name

    def _steps(self, body: str) -> list[Told]:
        """Line by line, each with the variables as they are where the sequence is made."""
        steps = []
        for lines, text in script.commands(body):
            line = self.world.tcl.line_in(body, lines)
            try:
                steps += told_words(self.world, self.world.tcl.substitute(text), line)
            except Refused as error:
                error.line = error.line or line
                raise
        return steps

    @command("event-group", "[MEMBERS]")
    def event_group(self, names: str = "") -> str:
        group = EventGroup(self.world, f"EventGroup{self.world.next_new()}", self.world.here())
        group.add(*self.world.tcl.words(names))
        return self.world.add(group).name

    @command("at", "TIME EVENT")
    def at(self, time: str, text: str) -> None:
        on, at_s = ("swapout", 0.0) if time == "swapout" else ("time", seconds(time))
        for event in told(self.world, text):
            event.at_s, event.on = at_s, on
            self.world.events.append(event)

    @command("define-template-parameter", "NAME VALUE [DESCRIPTION]")
    def define_template_parameter(self, name: str, default: str, description: str = "") -> None:
        if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
            raise Refused(f"'{name[:60]}' is not a usable name for a parameter: expected letters, digits and '_'")
        if any(parameter.name == name for parameter in self.world.parameters):
            raise Refused(f"parameter '{name}' is defined twice")
        value = self.world.given.get(name, default)
        self.world.parameters.append(Parameter(name, default, value, description, self.world.here()))
        self.world.tcl.assign(name, value)

    @command("make-simulated", "SCRIPT")
    def make_simulated(self, text: str) -> None:
        raise Refused(f"make-simulated: {NSE}", "Make its nodes and links as ordinary ones.")

    @command("bridge")
    def bridge(self) -> None:
        raise Refused("bridge: nodes that bridge links do not exist here", "Shape the links themselves: every end has its own shaping.")

    @command("blockstore")
    def blockstore(self) -> None:
        raise Refused("blockstore: disks of the testbed's storage do not exist here", "Put the data into the datastore.")

    @command("make-path", "LINKS")
    def make_path(self, links: str) -> None:
        raise Refused("make-path: links made of links do not exist here", "Make one link with the whole path's bandwidth and delay.")

    @command("run")
    def run(self) -> None:
        from languages.ns.declare import declare

        if self.world.ran:
            raise Refused("`run` can only be said once")
        self.world.declared = declare(self.world)
        self.world.ran = True


def set_routing(world: World, protocol: str) -> None:
    """protocol: Emulab's name of it."""
    world.routing = protocol
    if protocol == "ospf":
        world.ignore("rtproto Session", "no routing daemon runs: routes are shortest paths, and stay when a link goes down")
