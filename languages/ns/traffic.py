"""Traffic agents: transport agents attached to nodes, and the applications that drive them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from languages.ns.node import Node
from languages.ns.objects import NsObject, command
from languages.ns.quantities import integer, number, rate_kbps
from languages.ns.refusal import Refused

if TYPE_CHECKING:
    from languages.ns.world import World

TCP_HERE = "connections are the node's own TCP, not ns-2's"
DEFAULT_RATE_KBPS = 100_000
DEFAULT_PACKET_BYTES = 210


class Agent(NsObject):
    """A transport endpoint. It is a source once an application drives it, a sink where it only receives."""

    kind, noun = "Agent", "traffic agent"
    protocol: str | None = None
    role: str | None = None
    ignored_variables = {
        **dict.fromkeys(("class_", "fid_", "prio_", "ttl_", "flags_", "packetSize_"), "ns-2's packet headers"),
        **dict.fromkeys(("window_", "windowInit_", "segsize_", "maxcwnd_", "ssthresh_", "tcpTick_", "overhead_"), TCP_HERE),
    }
    ignored = {"attach-trace": "ns-2's traces", "trace": "ns-2's traces", "tracevar": "ns-2's traces"}

    def __init__(self, world: World, name: str, line: int):
        super().__init__(world, name, line)
        self.node: Node | None = None
        self.port = 0
        self.application: Application | None = None
        self.destination: Agent | None = None

    def attach(self, node: Node) -> None:
        if self.node is not None:
            raise Refused(f"{self.name} is already attached to {self.node.name}")
        self.node, self.port = node, node.next_port_number()

    def connect(self, destination: Agent) -> None:
        if self.destination is not None:
            self.world.ignore(
                f"connect {self.name}", f"it was already connected to {self.destination.name}, and the last connection counts"
            )
        self.destination = destination


class Udp(Agent):
    kind, protocol, role = "Agent/UDP", "udp", "source"


class Tcp(Agent):
    kind, protocol, role = "Agent/TCP", "tcp", "source"


class Null(Agent):
    kind, role = "Agent/Null", "sink"


class TcpSink(Agent):
    kind, protocol, role = "Agent/TCPSink", "tcp", "sink"


class FullTcp(Tcp):
    """NSE's simulated TCP, and its flavours."""

    kind = "Agent/TCP/FullTcp"

    @command("listen")
    def listen(self) -> None:
        self.role = "sink"


class Application(NsObject):
    """What drives a transport agent."""

    kind, noun = "Application", "traffic application"
    application = ""
    ignored = {**dict.fromkeys(("start", "stop", "reset"), "has an effect only as an event: `$ns at TIME \"$application start\"`")}

    def __init__(self, world: World, name: str, line: int):
        super().__init__(world, name, line)
        self.agent: Agent | None = None

    @command("attach-agent", "AGENT")
    def attach_agent(self, agent: str) -> None:
        self.agent = self.world.find(agent, Agent, what="attach-agent")
        self.agent.application, self.agent.role = self, "source"


class Cbr(Application):
    kind, application = "Application/Traffic/CBR", "cbr"
    settings = {"packetSize_": lambda text: integer(text, "packetSize_", 1, 65507),
                "rate_": lambda text: rate_kbps(text or "0", of_link=False).value,
                "interval_": lambda text: interval(text),
                "iptos_": lambda text: integer(text or "0", "iptos_", 0, 255)}
    ignored_variables = {"random_": "packets leave at exact intervals", "maxpkts_": "stop it by an event"}

    def __init__(self, world: World, name: str, line: int):
        super().__init__(world, name, line)
        self.variables.update({"packetSize_": str(DEFAULT_PACKET_BYTES), "rate_": "100Mbps", "interval_": "", "iptos_": ""})


class Ftp(Application):
    kind, application = "Application/FTP", "ftp"
    ignored_variables = {"maxpkts_": "stop it by an event"}


class Telnet(Application):
    """interval_ 0, Emulab's default: between packets, times as tcplib found them."""

    kind, application = "Application/Telnet", "telnet"
    settings = {"interval_": lambda text: interval(text)}

    def __init__(self, world: World, name: str, line: int):
        super().__init__(world, name, line)
        self.variables["interval_"] = "0.0"


def interval(text: str) -> float:
    value = number(text or "0", "interval_")
    if value < 0:
        raise Refused(f"interval_ '{text}' is negative")
    return value


CLASSES: dict[str, type[NsObject]] = {
    **{kind.kind: kind for kind in (Udp, Tcp, Null, TcpSink, FullTcp, Cbr, Ftp, Telnet)},
    **{f"Agent/TCP/{flavour}": Tcp for flavour in ("Reno", "Newreno", "Vegas", "Sack1", "Fack", "Linux")},
    **{f"Agent/TCP/FullTcp/{flavour}": FullTcp for flavour in ("Reno", "Newreno", "Tahoe", "Sack")},
}
FLAVOURS = {name for name, kind in CLASSES.items() if name != kind.kind or kind is FullTcp}
