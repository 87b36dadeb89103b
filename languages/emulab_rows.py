"""A spec as rows of Emulab's database tables: what Emulab's own parser would write for the same experiment.

Derived from the spec alone, so that the rows say what Swapbed understood, whatever language it was written in. Tables:
virt_nodes, virt_lans, virt_programs, eventlist, event_groups, virt_trafgens, virt_routes, virt_parameters,
virt_user_environment. All values are text; columns without a value are left out, and tables without rows; rows are sorted.

Left out, because the spec has no such thing or it means nothing here:
    virt_nodes      cmd_line, fixed, parent_osname, loadlist, sharing_mode, plab_*, inner_elab_role, numeric_id, role: Emulab's machines
    virt_lans       widearea, emulated, uselinkdelay, nobwshaping, encap_style, trivial_ok, protocol, is_accesspoint, mustdelay,
                    fixed_iface, ofenabled, ofcontroller, layer, implemented_by, bridge_vname: how Emulab makes links; backfill,
                    rbackfill, est_bandwidth, rest_bandwidth: hints for its placement; cost, vindex, traced, trace_db: bookkeeping
    eventlist       atstring: always empty
    virt_agents, virt_lan_lans, virt_lan_settings, virt_node_desires, virt_vtypes, experiments: repeat names, or describe Emulab

Spelling, where Emulab repeats the source's and the spec knows only the value: numbers are written shortest (1.0 as 1), delays of
members with at least one decimal (4.0), delays of events in ms; a program's `dir` without Emulab's braces; start commands without
the wrapper that reports their end to Emulab; the simulator is `ns`, whatever variable it was stored in.
What Emulab's tables cannot say (`cannot_say`): IPv6, jitter, VM nodes, cpu and memory limits, hooks, rules, a downlink's own queue.
"""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

from models.events import Arguments
from models.spec import Event, Lan, Member, Node, ProgramAgent, Queue, Spec, TargetKind, TrafficAgent

Row = dict[str, str]
LABEL = "emulab."  # of Node.labels: Emulab's own values, which have no meaning here
ALL_LANS = "__all_lans"  # Emulab's own group of all links and LANs
STARTUP = "_startup"  # ends the name of the agent that tb-set-node-startup's command becomes
SIMULATOR = "ns"
TRAFFIC_DEFAULT = -1  # Emulab's word for a traffic parameter that is not set
TABLES = ("virt_nodes", "virt_lans", "virt_programs", "eventlist", "event_groups", "virt_trafgens", "virt_routes", "virt_parameters",
          "virt_user_environment")


def emulab_rows(spec: Spec) -> dict[str, list[Row]]:
    """Tables with their rows."""
    return _Rows(spec).tables()


def to_json(spec: Spec) -> str:
    return json.dumps(emulab_rows(spec), indent=1, sort_keys=True) + "\n"


def cannot_say(spec: Spec) -> list[str]:
    """What of this spec the rows do not tell."""
    lost = [f"{field} of the experiment" for field in ("description", "on_start", "on_stop", "collect", "rules") if field in _given(spec)]
    for node in spec.nodes:
        fields = _given(node) & {"cpus", "memory_bytes", "environment", "outside", "on_failure", "virtual_wall_clock", "volumes"}
        fields |= {"kind"} if node.kind == "vm" and node.hardware != "vm" else set()
        lost += [f"{field} of node '{node.name}'" for field in sorted(fields)]
    for lan in spec.lans:
        pipes = [pipe for m in lan.members for pipe in (m.uplink, m.downlink)]
        lost += [f"jitter of '{lan.name}'"] * any(pipe.jitter_s for pipe in pipes)
        lost += [f"IPv6 addresses of '{lan.name}'"] * any(":" in address for m in lan.members for address in m.addresses)
        lost += [f"queues of '{lan.name}' towards its members, which differ from those they send into"] * any(
            member.downlink.queue not in {other.uplink.queue for other in lan.members} for member in lan.members)
    for agent in spec.agents:
        lost += [f"{field} of agent '{agent.name}'" for field in sorted(_given(agent) & {"environment", "user"})]
    return lost + [f"on_error of sequence '{s.name}'" for s in spec.sequences if s.on_error is not None]


def _given(part: Spec | Node | ProgramAgent | TrafficAgent) -> set[str]:
    """The fields that are not their defaults."""
    return set(part.model_dump(exclude_defaults=True))


class _Rows:
    def __init__(self, spec: Spec):
        self._spec = spec
        self._kinds = spec.targets()
        self._agents = {agent.name: agent for agent in spec.agents}
        self._groups = {group.name: group for group in spec.groups}
        self._ports: dict[str, list[tuple[Lan, Member]]] = {node.name: [] for node in spec.nodes}
        for lan in spec.lans:
            for member in lan.members:
                self._ports[member.node].append((lan, member))
        self._startups = (
            {f"{node.name}{STARTUP}": node.name for node in spec.nodes} if any(a.name.endswith(STARTUP) for a in spec.agents) else {}
        )

    def tables(self) -> dict[str, list[Row]]:
        made = {
            "virt_nodes": (self._node(node) for node in self._spec.nodes),
            "virt_lans": (self._member(lan, member) for lan in self._spec.lans for member in lan.members),
            "virt_programs": (self._program(a) for a in self._spec.agents if isinstance(a, ProgramAgent) and not self._is_startup(a.name)),
            "eventlist": self._events(),
            "event_groups": self._group_members(),
            "virt_trafgens": (self._traffic(a) for a in self._spec.agents if isinstance(a, TrafficAgent)),
            "virt_routes": (self._route(node, r.destination, r.via) for node in self._spec.nodes for r in node.routes),
            "virt_parameters": ({"name": p.name, "value": p.value, "description": p.description} for p in self._spec.parameters),
            "virt_user_environment": ({"name": name, "value": value} for name, value in self._spec.environment.items()),
        }
        filled = {table: [{column: text for column, text in row.items() if text != ""} for row in rows] for table, rows in made.items()}
        return {table: sorted(rows, key=lambda row: json.dumps(row, sort_keys=True)) for table, rows in filled.items() if rows}

    def _is_startup(self, agent: str) -> bool:
        return self._startups.get(agent) is not None and any(
            e.target == agent and e.verb == "start" and e.at_s == 0 for e in self._spec.events
        )

    def _node(self, node: Node) -> Row:
        startup = self._agents.get(f"{node.name}{STARTUP}")
        return {
            "vname": node.name, "type": node.hardware or "pc",
            "ips": " ".join(f"{port}:{_ip(member)}" for port, (_, member) in enumerate(self._ports[node.name])),
            "osname": node.labels.get(f"{LABEL}osname", "" if node.image == "host" else node.image),
            "startupcmd": startup.command if isinstance(startup, ProgramAgent) and self._is_startup(startup.name) else "",
            "failureaction": node.labels.get(f"{LABEL}failureaction", node.failure),
            "routertype": node.labels.get(f"{LABEL}routertype", node.routing),
            "tarfiles": ";".join(f"{t.directory} {t.path}" for t in node.tarballs), "rpms": ";".join(node.packages)}

    def _member(self, lan: Lan, member: Member) -> Row:
        port = next(i for i, (at, own) in enumerate(self._ports[member.node]) if at is lan and own is member)
        up, down = member.uplink, member.downlink
        row = {
            "vname": lan.name,
            "vnode": member.node,
            "vport": str(port),
            "member": f"{member.node}:{port}",
            "ip": _ip(member),
            "mask": _mask(lan, member),
            "delay": _decimal(up.delay_s, 1000),
            "rdelay": _decimal(down.delay_s, 1000),
            "bandwidth": _scaled(up.bandwidth_bps, 1000),
            "rbandwidth": _scaled(down.bandwidth_bps, 1000),
            "lossrate": _number(up.loss),
            "rlossrate": _number(down.loss),
            **_queue(up.queue),
        }
        if lan.trace is not None and (not lan.trace.members or member.node in lan.trace.members):
            row |= {"trace_type": lan.trace.what, "trace_expr": lan.trace.filter, "trace_snaplen": str(lan.trace.snap_bytes),
                    "trace_endnode": _flag(lan.trace.end_nodes)}
        return row

    def _program(self, agent: ProgramAgent) -> Row:
        return {
            "vname": agent.name,
            "vnode": agent.node,
            "command": agent.command,
            "dir": agent.directory or "",
            "timeout": _optional(agent.timeout_s),
            "expected_exit_code": _optional(agent.expected_exit_code),
        }

    def _traffic(self, agent: TrafficAgent) -> Row:
        row = {"vname": agent.name, "vnode": agent.node, "role": agent.role, "proto": agent.protocol, "port": str(agent.port),
               "ip": agent.address or self._first_ip(agent.node), "generator": "TG"}
        peer = self._agents.get(agent.peer or "")
        if isinstance(peer, TrafficAgent):
            row |= {"target_vname": peer.name, "target_vnode": peer.node, "target_port": str(peer.port),
                    "target_ip": peer.address or self._first_ip(peer.node)}
        return row

    def _first_ip(self, node: str) -> str:
        return _ip(self._ports[node][0][1]) if self._ports[node] else ""

    def _route(self, node: Node, destination: str, via: str) -> Row:
        """Emulab's destination of a route to a network is one address of it: the first member's."""
        network = ipaddress.ip_network(destination, strict=False)
        single = network.prefixlen == network.max_prefixlen
        home = next(
            (
                lan
                for lan in self._spec.lans
                for m in lan.members
                for a in m.addresses
                if (
                    network.network_address in ipaddress.ip_interface(a).network if single else ipaddress.ip_interface(a).network == network
                )
            ),
            None,
        )
        own = next(
            (
                _ip(m)
                for lan, m in self._ports[node.name]
                for a in m.addresses
                if ipaddress.ip_address(via) in ipaddress.ip_interface(a).network
            ),
            "",
        )
        return {"vname": node.name, "src": own, "nexthop": via, "dst_type": "host" if single else "net",
                "dst": _ip(home.members[0]) if home and not single else str(network.network_address),
                "dst_mask": _mask(home, home.members[0]) if home else str(network.netmask)}

    def _group_members(self) -> Iterator[Row]:
        """Beside the experiment's own groups, Emulab's of all programs; not its `__all_lans`, which the parser does not write."""
        for group in self._spec.groups:
            if not group.name.startswith("__"):
                yield from ({"group_name": group.name, "agent_name": member} for member in group.members)
        for agent in self._spec.agents:
            if isinstance(agent, ProgramAgent) and not self._is_startup(agent.name):
                yield {"group_name": "__all_programs", "agent_name": agent.name}

    def _events(self) -> Iterator[Row]:
        for agent in self._spec.agents:
            if isinstance(agent, TrafficAgent) and agent.role == "source" and agent.application == "cbr":
                yield {"time": "0", "vnode": agent.node, "vname": agent.name, "objecttype": "TRAFGEN", "eventtype": "MODIFY",
                       "parent": "__ns_sequence", "arguments": _configuration(agent)}
        for event in self._spec.events:
            if not self._is_startup(event.target):
                yield {**self._event(event), "time": _number(event.at_s), "triggertype": "2" if event.on == "swapout" else "0"}
        for sequence in self._spec.sequences:
            for step in sequence.steps:
                yield {**self._event(step), "triggertype": "0", "parent": sequence.name}
        for timeline in self._spec.timelines:
            for entry in timeline.entries:
                yield {**self._event(entry), "time": _number(entry.at_s), "triggertype": "0", "parent": timeline.name}

    def _event(self, event: Event) -> Row:
        kind = self._kinds[event.target]
        group = self._groups.get(event.target)
        judged = self._kinds[group.members[0]] if group and group.members else kind
        described = {
            TargetKind.INSTANCE: _instance,
            TargetKind.LAN: _lan,
            TargetKind.PROGRAM: self._program_event,
            TargetKind.TRAFFIC: self._traffic_event,
            TargetKind.NODE: _node_event,
            TargetKind.SEQUENCE: _started,
            TargetKind.TIMELINE: _started,
        }[judged](event)
        if judged in (TargetKind.SEQUENCE, TargetKind.TIMELINE):
            described["objecttype"] = judged.value.upper()
        if event.target == ALL_LANS:
            described["vnode"] = "*"
        return {"vname": event.target, **described}

    def _program_event(self, event: Event) -> Row:
        agent = self._agents.get(event.target)
        arguments = event.arguments
        if event.verb == "kill":
            text = f"SIGNAL={arguments.signal}"
        elif event.verb == "stop":
            text = ""
        else:
            command = arguments.command or (agent.command if isinstance(agent, ProgramAgent) else "")
            given = (
                ("DIR={%s}", arguments.directory),
                ("EXPECTED_EXIT_CODE=%s", arguments.expected_exit_code),
                ("TAG=%s", arguments.tag),
                ("TIMEOUT={%s}", None if arguments.timeout_s is None else _number(arguments.timeout_s)),
                ("COMMAND=%s", command or None),
            )
            text = " ".join(form % value for form, value in given if value is not None)
        types = {"start": "START", "run": "RUN", "stop": "STOP", "kill": "KILL", "set": "MODIFY"}
        return {"objecttype": "PROGRAM", "eventtype": types[event.verb], "vnode": agent.node if agent else "*", "arguments": text}

    def _traffic_event(self, event: Event) -> Row:
        agent = self._agents.get(event.target)
        node = agent.node if agent else "*"
        if isinstance(agent, TrafficAgent) and agent.application != "cbr":
            return {"objecttype": "NSE", "eventtype": "NSEEVENT", "vnode": node, "arguments": f"${event.target} {event.verb}"}
        a = event.arguments
        given = (("PACKETSIZE", a.packet_size_bytes), ("RATE", None if a.rate_bps is None else _scaled(a.rate_bps, 1000)),
                 ("INTERVAL", None if a.interval_s is None else _number(a.interval_s)), ("IPTOS", a.type_of_service))
        return {"objecttype": "TRAFGEN", "eventtype": event.verb.upper(), "vnode": node, "arguments": _pairs(given)}


def _configuration(agent: TrafficAgent) -> str:
    """A traffic source's own values, which Emulab tells it when the experiment begins."""
    return _pairs((("PACKETSIZE", agent.packet_size_bytes), ("RATE", _scaled(agent.rate_bps, 1000) if agent.rate_bps else TRAFFIC_DEFAULT),
                   ("INTERVAL", _number(agent.interval_s) if agent.interval_s else TRAFFIC_DEFAULT),
                   ("IPTOS", agent.type_of_service or TRAFFIC_DEFAULT)))


def _instance(event: Event) -> Row:
    types = {
        "terminate": "HALT",
        "swapout": "SWAPOUT",
        "stop-run": "STOPRUN",
        "start-run": "STARTRUN",
        "snapshot": "SNAPSHOT",
        "report": "REPORT",
        "clean-logs": "RESET",
        "log": "LOG",
        "message": "MESSAGE",
    }
    texts = {"snapshot": "LOGHOLE_ARGS='-s'", "clean-logs": "ASPECT=LOGHOLE"}
    parameters = " ".join(f"{name}={value}" for name, value in (event.arguments.parameters or {}).items())
    return {"vname": SIMULATOR, "vnode": "*", "objecttype": "SIMULATOR", "eventtype": types[event.verb],
            "arguments": texts.get(event.verb, event.arguments.text or parameters)}


def _lan(event: Event) -> Row:
    place = f"{event.target}-{event.arguments.member}" if event.arguments.member else event.target
    if event.verb.startswith("trace-"):
        return {"vname": f"{place}-tracemon", "objecttype": "LINKTRACE", "eventtype": event.verb.removeprefix("trace-").upper()}
    return {"vname": place, "objecttype": "LINK", "eventtype": event.verb.upper(), "arguments": _modified(event.arguments)}


def _modified(a: Arguments) -> str:
    return _pairs((("BANDWIDTH", None if a.bandwidth_bps is None else _scaled(a.bandwidth_bps, 1000)),
                   ("DELAY", None if a.delay_s is None else f"{_scaled(a.delay_s, Decimal('0.001'))}ms"),
                   ("PLR", None if a.loss is None else _number(a.loss)), ("LIMIT", a.queue_limit),
                   ("QUEUE-IN-BYTES", None if a.queue_unit is None else _flag(a.queue_unit == "bytes")),
                   ("MAXTHRESH", _optional(a.red_max_threshold) or None), ("THRESH", _optional(a.red_min_threshold) or None),
                   ("LINTERM", _optional(a.red_linear_term) or None), ("Q_WEIGHT", _optional(a.red_weight) or None)))


def _node_event(event: Event) -> Row:
    image = f"IMAGE={event.arguments.text}" if event.verb == "snapshot" and event.arguments.text else ""
    return {"objecttype": "NODE", "eventtype": event.verb.upper(), "arguments": image}


def _started(event: Event) -> Row:
    return {"eventtype": event.verb.upper()}


def _queue(queue: Queue) -> Row:
    red = queue.red
    return {
        "q_limit": str(queue.limit),
        "q_qinbytes": _flag(queue.unit == "bytes"),
        "q_red": _flag(queue.discipline == "red"),
        "q_droptail": "1",
        "q_gentle": _flag(red.gentle),
        "q_minthresh": _number(red.min_threshold),
        "q_maxthresh": _number(red.max_threshold),
        "q_weight": _number(red.weight),
        "q_linterm": _number(red.linear_term),
        "q_meanpsize": str(red.mean_packet_size_bytes),
        "q_bytes": _flag(red.byte_mode),
        "q_wait": _flag(red.wait),
        "q_setbit": _flag(red.mark),
    }


def _ip(member: Member) -> str:
    """Its first IPv4 address, which is all that Emulab knows of."""
    return next((str(i.ip) for a in member.addresses if (i := ipaddress.ip_interface(a)).version == 4), "0.0.0.0")


def _mask(lan: Lan, member: Member) -> str:
    return lan.mask or next((str(i.netmask) for a in member.addresses if (i := ipaddress.ip_interface(a)).version == 4), "")


def _pairs(given: tuple[tuple[str, Any], ...]) -> str:
    return " ".join(f"{name}={value}" for name, value in given if value is not None)


def _flag(value: bool) -> str:
    return "1" if value else "0"


def _optional(value: float | int | None) -> str:
    return "" if value is None else _number(value)


def _number(value: float | int) -> str:
    """As Tcl writes it: the shortest text that reads back the same, without a needless `.0`."""
    if value == int(value) and abs(value) < 1e17:
        return str(int(value))
    mantissa, _, exponent = repr(float(value)).partition("e")
    return f"{mantissa}e{int(exponent)}" if exponent else mantissa


def _scaled(value: float | int, unit: int | Decimal) -> str:
    """value in units, exactly: through decimals."""
    return _number(float(Decimal(repr(value)) / unit))


def _decimal(seconds: float, per_second: int) -> str:
    return repr(float(Decimal(repr(seconds)) * per_second))
