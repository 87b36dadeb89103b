"""What a program has declared, in the words of `models.spec` (plain data: the child process knows no pydantic), each part with its line.

Addresses are not here: `language` gives them out, and resolves what needs them (routes, traffic agents).
"""

from __future__ import annotations

import re
from typing import Any

from languages.ns.activity import EventGroup, EventSequence, EventTimeline
from languages.ns.ignored import STANDARD_IMAGE
from languages.ns.lanlink import Lan, LanLink, Link, Member, Queue, SimplexLink
from languages.ns.node import Node
from languages.ns.program import Program
from languages.ns.refusal import Refused
from languages.ns.traffic import DEFAULT_RATE_KBPS, Agent, Application
from languages.ns.world import Told, World

DNS_NAME = re.compile(r"[-0-9A-Za-z]+")
NATIVE_ROUTING = ("static", "manual", "none")
LABEL = "emulab."  # Node.labels that keep what has no meaning here, so that it can be shown and converted back
ALL_LANS = "__all_lans"
OPT = re.compile(r"[-_0-9a-zA-Z]+")


def declare(world: World) -> dict[str, Any]:
    """At `$ns run`: nothing declared later counts."""
    lanlinks = world.all(LanLink)
    events = [_run_event(e) for e in world.events]
    agents = [_program(p) for p in world.all(Program)] + _traffic(world)
    for node in world.all(Node):
        if node.startup is not None:
            agents.append(
                {"line": node.line, "kind": "program", "name": f"{node.name}_startup", "node": node.name, "command": node.startup}
            )
            events.append(
                {"line": node.line, "target": f"{node.name}_startup", "verb": "start", "arguments": {}, "at_s": 0.0, "on": "time"}
            )
    return {
        "parameters": [vars(p) for p in world.parameters],
        "environment": {key: value for key, value in world.tcl.array("opt").items() if OPT.fullmatch(key)},
        "sync_server": world.sync_server.name if world.sync_server else None,
        "nodes": [_node(world, node) for node in world.all(Node)],
        "lans": [_lan(world, lanlink) for lanlink in lanlinks],
        "lan_names": world.lan_names,
        "agents": agents,
        "groups": _groups(world, lanlinks),
        "sequences": _sequences(world),
        "timelines": [{"line": t.line, "name": t.spec_name, "entries": [_timed(e) for e in t.entries]} for t in world.all(EventTimeline)],
        "events": events,
    }


def _node(world: World, node: Node) -> dict[str, Any]:
    if not DNS_NAME.fullmatch(node.name):
        raise Refused(
            f"node name '{node.name}' is not a DNS label: expected letters, digits and '-'",
            "Nodes are named by the variable they are stored in: choose another.",
            node.line,
        )
    if node.name == "ops":
        raise Refused("a node cannot be named 'ops', as in Emulab", line=node.line)
    fields: dict[str, Any] = {"line": node.line, "name": node.name, "labels": {}}
    if node.hardware is not None:
        fields["hardware"] = node.hardware
        if node.hardware == "vm":
            fields["kind"] = "vm"
    if node.image is not None and STANDARD_IMAGE.fullmatch(node.image):
        fields["labels"][LABEL + "osname"] = node.image
    elif node.image is not None:
        fields["image"] = node.image
    fields["routing"] = world.routing if world.routing in NATIVE_ROUTING else "static"
    if world.routing not in NATIVE_ROUTING:
        fields["labels"][LABEL + "routertype"] = world.routing
    if node.failure == "ignore":
        fields["labels"][LABEL + "failureaction"] = node.failure
    fields["failure"] = {"ignore": "nonfatal", None: "fatal"}.get(node.failure, node.failure)
    fields["tarballs"] = _tarballs(world, node)
    if node.memory_mib is not None:
        fields["memory_bytes"] = node.memory_mib << 20
    if node.packages:
        fields["packages"] = node.packages
    fields["routes"] = [{"line": r.line, "hop": r.hop.name, **_destination(r.destination, r.line)} for r in node.routes]
    return fields


def _tarballs(world: World, node: Node) -> list[dict[str, Any]]:
    """Archives of the datastore, or of the host; what would have to be fetched is left out."""
    return [{"line": t.line, "directory": t.directory, "path": t.path.removeprefix("$DATASTORE/")}
            for t in (*node.tarballs, *world.tarballs) if "://" not in t.path]


def _destination(destination: Any, line: int) -> dict[str, str]:
    if isinstance(destination, SimplexLink):
        destination = destination.link
    if isinstance(destination, Node) and len(destination.ports) != 1:
        raise Refused(
            f"add-route: {destination.name} has {len(destination.ports)} links and LANs instead of one, so it has no address of its own",
            "Name the link or LAN as the destination.",
            line,
        )
    return {"kind": "node" if isinstance(destination, Node) else "lan", "name": destination.name}


def _lan(world: World, lanlink: LanLink) -> dict[str, Any]:
    if not DNS_NAME.fullmatch(lanlink.name):
        raise Refused(f"name '{lanlink.name}' of a {lanlink.noun} holds other characters than letters, digits and '-'",
                      "Links and LANs are named by the variable they are stored in: choose another.", lanlink.line)
    return {"line": lanlink.line, "name": lanlink.name, "kind": "lan" if isinstance(lanlink, Lan) else "link", "mask": lanlink.mask,
            "cost": lanlink.routing_cost, "trace": _trace(world, lanlink), "members": [_member(lanlink, m) for m in lanlink.members]}


def _member(lanlink: LanLink, member: Member) -> dict[str, Any]:
    """A link has a queue per direction, which both pipes of the direction get; a LAN has one per member, which its both pipes get."""
    back = next((m.queue for m in lanlink.members if m is not member), member.queue) if isinstance(lanlink, Link) else member.queue
    return {"node": member.node.name, "line": member.address_line or lanlink.line, "address": member.address,
            "uplink": _pipe(lanlink, member.to_kbps, member.to_ms, member.to_loss, member.queue),
            "downlink": _pipe(lanlink, member.back_kbps, member.back_ms, member.back_loss, back)}


def _pipe(lanlink: LanLink, kbps: int, ms: float, loss: float, queue: Queue) -> dict[str, Any]:
    fields: dict[str, Any] = {"bandwidth_bps": 0 if lanlink.unshaped else kbps * 1000, "delay_s": ms / 1000, "loss": loss}
    names = {"maxthresh_": "max_threshold", "thresh_": "min_threshold", "q_weight_": "weight", "linterm_": "linear_term",
             "mean_pktsize_": "mean_packet_size_bytes", "bytes_": "byte_mode", "wait_": "wait", "setbit_": "mark", "gentle_": "gentle"}
    red = {name: queue.values[variable] for variable, name in names.items() if variable in queue.values}
    given: dict[str, Any] = {"red": red} if red else {}
    if queue.setting("red_", False):
        given["discipline"] = "red"
    if "limit_" in queue.values:
        given["limit"] = queue.values["limit_"]
    if queue.setting("queue-in-bytes_", False):
        given["unit"] = "bytes"
    return {**fields, "queue": given} if given else fields


def _trace(world: World, lanlink: LanLink) -> dict[str, Any] | None:
    traced = [m for m in lanlink.members if m.queue.setting("traced", False)]
    if not traced:
        return None
    kinds = [{"what": m.queue.setting("trace_type", "header"), "filter": m.queue.setting("trace_expr", ""),
              "snap_bytes": m.queue.setting("trace_snaplen", 0), "end_nodes": m.queue.setting("trace_endnode", False)} for m in traced]
    if any(kind != kinds[0] for kind in kinds):
        world.ignore(
            "trace", f"members of {lanlink.name} are traced in different ways: all are traced like {traced[0].node.name}", lanlink.line
        )
    return {**kinds[0], "members": [] if len(traced) == len(lanlink.members) else [m.node.name for m in traced]}


def _program(program: Program) -> dict[str, Any]:
    if program.node is None:
        raise Refused(f"program '{program.name}' has no node", "Say `$program set node $node`.", program.line)
    fields: dict[str, Any] = {"line": program.line, "kind": "program", "name": program.spec_name, "node": program.node.name,
                              "command": program.setting("command", "")}
    directory = program.setting("dir", "").strip()
    if directory.startswith("{") and directory.endswith("}"):
        directory = directory[1:-1]
    for name, value in (("directory", directory or None), ("timeout_s", program.setting("timeout", None)),
                        ("expected_exit_code", program.setting("expected-exit-code", None))):
        if value is not None:
            fields[name] = value
    return fields


def _traffic(world: World) -> list[dict[str, Any]]:
    for application in world.all(Application):
        if application.agent is None:
            raise Refused(
                f"application '{application.name}' is not attached to an agent", "Say `$application attach-agent $agent`.", application.line
            )
    return [_traffic_agent(world, agent) for agent in world.all(Agent) if agent.node is not None]


def _traffic_agent(world: World, agent: Agent) -> dict[str, Any]:
    peer = agent.destination
    assert agent.node is not None
    if peer is None:
        raise Refused(
            f"agent '{agent.name}' is attached to {agent.node.name} but not connected", "Say `$ns connect $agent $other`.", agent.line
        )
    if peer.node is None:
        raise Refused(f"agent '{peer.name}', which '{agent.name}' is connected to, is not attached to a node", line=agent.line)
    if agent.role == "source" and agent.application is None:
        raise Refused(
            f"agent '{agent.name}' has no application that sends", "Attach one: `set cbr [new Application/Traffic/CBR]`.", agent.line
        )
    if not agent.node.ports:
        raise Refused(f"agent '{agent.name}' is on {agent.node.name}, which has no link and no LAN", line=agent.line)
    source = agent if agent.role == "source" else peer
    fields: dict[str, Any] = {
        "line": agent.line, "kind": "traffic", "name": _end_name(agent), "node": agent.node.name, "role": agent.role or "sink",
        "protocol": source.protocol or "udp", "peer": _end_name(peer), "port": agent.port,
        "application": source.application.application if source.application else "cbr"}
    if agent.role == "source" and (application := agent.application) is not None:
        if application.application == "cbr":
            fields["packet_size_bytes"] = application.setting("packetSize_", 210)
            fields["rate_bps"] = application.setting("rate_", DEFAULT_RATE_KBPS) * 1000 or None
        fields["interval_s"] = application.setting("interval_", None) or None
        fields["type_of_service"] = application.setting("iptos_", None) or None
    return fields


def _end_name(agent: Agent) -> str:
    """Events address a source by its application."""
    return agent.application.spec_name if agent.role == "source" and agent.application is not None else agent.spec_name


def _groups(world: World, lanlinks: list[LanLink]) -> list[dict[str, Any]]:
    groups = [
        {"line": g.line, "name": g.spec_name, "members": [m.spec_name for m in g.members]} for g in world.all(EventGroup) if g.members
    ]
    if world.all_lans_reset:
        groups.append({"line": 0, "name": ALL_LANS, "members": [lanlink.name for lanlink in lanlinks]})
    return groups


def _sequences(world: World) -> list[dict[str, Any]]:
    found = []
    for sequence in world.all(EventSequence):
        if not sequence.steps:
            world.ignore(f"sequence {sequence.name}", "it is empty", sequence.line)
        fields = {"line": sequence.line, "name": sequence.spec_name, "steps": [_step(e) for e in sequence.steps]}
        if sequence.caught is not None:
            fields["on_error"] = f"{sequence.spec_name}-catch"
            found.append({"line": sequence.line, "name": fields["on_error"], "steps": [_step(e) for e in sequence.caught.steps]})
        found.append(fields)
    return found


def _step(event: Told) -> dict[str, Any]:
    return {
        "line": event.line,
        "target": event.target.spec_name if event.target else "instance",
        "verb": event.verb,
        "arguments": event.arguments,
    }


def _timed(event: Told) -> dict[str, Any]:
    return {**_step(event), "at_s": event.at_s}


def _run_event(event: Told) -> dict[str, Any]:
    return {**_timed(event), "on": event.on}
