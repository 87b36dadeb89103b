"""What an order to start or change a program says to init: commands, environments, files. Pure."""

from __future__ import annotations

import ipaddress
import signal

from models.events import Arguments
from models.protocol.init import RUN_DIRECTORY
from models.spec import ProgramAgent, Spec, TrafficAgent
from nodeops.conductor.happenings import AnyOrder, KeepLogs, PaceTraffic, RotateFiles, SignalProgram, StartProgram, StartTraffic
from nodeops.conductor.redirections import in_sh
from nodeops.conductor.state import Run
from nodeops.init.conversation import Items

ARCHIVE, DATASTORE, LOGS = f"{RUN_DIRECTORY}/archive", f"{RUN_DIRECTORY}/datastore", f"{RUN_DIRECTORY}/logs"
BINARY = f"{RUN_DIRECTORY}/init"
DEFAULT_RATE_BPS = 448_000  # ns-2's CBR (ns manual, §39.1, rate_)
DEFAULT_TELNET_S = 1.0      # ns-2's Telnet, interval_


class Speaker:
    """Knows the spec and the instance; `say` puts an order into init's words."""

    def __init__(self, spec: Spec, instance: str):
        self.spec, self.instance = spec, instance
        self.agents = {agent.name: agent for agent in spec.agents}
        self.nodes = {node.name: node for node in spec.nodes}

    def say(self, order: AnyOrder, run: Run | None) -> tuple[str, Items, bytes | None]:
        """Operation, items and data for the init of the order's node."""
        if isinstance(order, StartProgram):
            return "spawn", self._program(order, run), None
        if isinstance(order, StartTraffic):
            return "spawn", self._traffic(order, run), None
        if isinstance(order, RotateFiles):
            words = [("argv", word) for word in (BINARY, "rotate", str(order.run))]
            return "spawn", [("invocation", tool_name(order.number)), *words, *(("unless_empty", path) for path in (LOGS, ARCHIVE))], None
        if isinstance(order, KeepLogs):
            words = [("argv", word) for word in (BINARY, "keep-logs", str(order.token))]
            return "spawn", [("invocation", tool_name(order.number)), *words, ("unless_empty", LOGS)], None
        if isinstance(order, PaceTraffic):
            agent = self.agents[order.agent]
            assert isinstance(agent, TrafficAgent)
            return "input", [("invocation", order.invocation)], pace(agent, order.arguments).encode() + b"\n"
        assert isinstance(order, SignalProgram)
        return "signal", [("invocation", order.invocation), ("signal", str(signal_number(order.signal)))], None

    def environment(self, node: str, agent: str, run: Run | None, arguments: Arguments | None = None) -> dict[str, str]:
        """For a program: what Swapbed promises (see `ProgramAgent.command`) cannot be overruled, all else by what is nearer to it."""
        spec = self.agents.get(agent)
        near = spec.environment if isinstance(spec, ProgramAgent) else {}
        given = (arguments.environment if arguments else None) or {}
        promised = {"DATASTORE": DATASTORE, "ARCHIVE": ARCHIVE, "NODE": node, "LOGDIR": f"{LOGS}/{agent}",
                    "RUN": str(run.number if run else 0), "INSTANCE": self.instance}
        of_run = {**run.parameters, **run.environment} if run else {}
        return {**self.spec.environment, **of_run, **self.nodes[node].environment, **near, **given, **promised}

    def _program(self, order: StartProgram, run: Run | None) -> Items:
        agent, arguments = self.agents[order.agent], order.arguments
        user = agent.user if isinstance(agent, ProgramAgent) else "root"
        directory = arguments.directory or f"{LOGS}/{order.agent}"
        return [*self._common(order, run), ("command", in_sh(arguments.command or "")), ("directory", directory), ("user", user),
                ("scratch", ARCHIVE)]

    def _traffic(self, order: StartTraffic, run: Run | None) -> Items:
        agent = self.agents[order.agent]
        assert isinstance(agent, TrafficAgent)
        if agent.role == "sink":
            words = ["sink", agent.protocol, str(agent.port), *([agent.address] if agent.address else [])]
        else:
            size, interval, *tos = pace(agent, order.arguments).split()
            address, port = self.destination(agent)
            words = ["source", agent.protocol, address, str(port), f"size={size}", f"interval={interval}",
                     f"application={agent.application}", *([f"from={agent.address}"] if agent.address else []),
                     *([f"tos={tos[0]}"] if tos else [])]
        return [*self._common(order, run), *(("argv", word) for word in (BINARY, "traffic", *words)), ("stdin", "pipe"),
                ("directory", f"{LOGS}/{order.agent}")]

    def _common(self, order: StartProgram | StartTraffic, run: Run | None) -> Items:
        environment = self.environment(order.node, order.agent, run, order.arguments)
        base = f"{LOGS}/{order.agent}/{order.log}"
        return [("invocation", order.invocation), ("stdout", f"{base}.out"), ("stderr", f"{base}.err"),
                *(("env", f"{name}={value}") for name, value in environment.items())]

    def destination(self, agent: TrafficAgent) -> tuple[str, int]:
        """Where a source sends to: its peer's own address, else the peer's node's on a LAN they share, else its first; IPv4 before IPv6."""
        peer = self.agents.get(agent.peer or "")
        if not isinstance(peer, TrafficAgent):
            return "127.0.0.1", agent.port
        if peer.address:
            return peer.address, peer.port
        shared = {lan.name for lan, _ in self.spec.memberships(agent.node)}
        found = [(lan.name not in shared, ipaddress.ip_interface(text)) for lan, member in self.spec.memberships(peer.node)
                 for text in member.addresses]
        best = min(found, key=lambda one: (one[0], one[1].version), default=(True, ipaddress.ip_interface("127.0.0.1/8")))
        return str(best[1].ip), peer.port


def tool_name(order: int) -> str:
    """The invocation of a program of Swapbed's own whose end is the end of an order."""
    return f"order:{order}"


def pace(agent: TrafficAgent, arguments: Arguments) -> str:
    """`SIZE INTERVAL [TYPE-OF-SERVICE]` as `nodeops/init/traffic.h` has it. An interval overrules a rate; 0 pauses."""
    size = arguments.packet_size_bytes or agent.packet_size_bytes
    rate_bps = arguments.rate_bps
    if arguments.interval_s:
        interval = arguments.interval_s
    elif agent.application == "telnet" and rate_bps is None:
        interval = DEFAULT_TELNET_S
    else:
        rate_bps = DEFAULT_RATE_BPS if rate_bps is None else rate_bps
        interval = size * 8 / rate_bps if rate_bps else 0.0
    tos = "" if arguments.type_of_service is None else f" {arguments.type_of_service}"
    return f"{size} {interval:.9f}{tos}"


def signal_number(name: str) -> int:
    """TERM, SIGTERM or 15. What nobody knows is told to init as 0, which it refuses."""
    if name.isdigit():
        return int(name)
    known = signal.Signals.__members__.get(f"SIG{name.upper().removeprefix('SIG')}")
    return int(known) if known is not None else 0
