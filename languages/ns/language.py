"""ns to spec."""

from __future__ import annotations

import ipaddress
from typing import Any

from languages.addresses import DeclaredLan, DeclaredMember, assign
from languages.draft import Draft, make
from languages.evaluate import Evaluation, Source
from languages.ns.answer import Answer, Declared
from languages.ns.networks import DEFAULT_MASK, choose, emulab_order
from languages.ns.process import Limits, evaluate_program
from languages.ns.quantities import integer_of
from languages.parameters import bind
from models.errors import InvalidInput
from models.spec import (
    Event,
    Group,
    Inconsistent,
    Lan,
    Member,
    Node,
    Parameter,
    ProgramAgent,
    Queue,
    Red,
    Shaping,
    TimedEvent,
    TimelineEntry,
    Trace,
    TrafficAgent,
)

Fields = dict[str, Any]


def evaluate(source: Source, values: dict[str, str], limits: Limits | None = None) -> Evaluation:
    answer = evaluate_program(source.name, source.text, values, limits)
    assert answer.declared is not None
    mapping = _Mapping(source, answer.declared)
    mapping.draft.parameters = bind(source.name, _parameters(answer.declared), values, {p.name: p.line for p in answer.declared.parameters})
    spec = mapping.spec()
    _warn(mapping.draft, answer)
    return Evaluation(spec, tuple(mapping.draft.warnings))


def parameters_of(source: Source) -> tuple[Parameter, ...]:
    """Found by evaluating the program with its defaults, for it may compute them."""
    declared = evaluate_program(source.name, source.text, {}).declared
    assert declared is not None
    return _parameters(declared)


def _parameters(declared: Declared) -> tuple[Parameter, ...]:
    return tuple(Parameter(name=p.name, default=p.default, value=p.value, description=p.description) for p in declared.parameters)


def _warn(draft: Draft, answer: Answer) -> None:
    for line, text in answer.warnings:
        draft.warn(text, f"{draft.source}:{line}" if line else None)
    for line, text in answer.output:
        draft.warn(f"the program says: {text}", f"{draft.source}:{line}" if line else None)


class _Mapping:
    """What a program declared, into a draft."""

    def __init__(self, source: Source, declared: Declared):
        self.draft = Draft(source.name)
        self._declared = declared

    def spec(self) -> Any:
        networks = self._choose_networks()
        for lan in self._declared.lans:
            chosen = (networks[lan["name"]],) if lan["name"] in networks else ()
            self.draft.add_lan(self._lan(lan, chosen), self._where(lan), [self._where(member) for member in lan["members"]])
        addresses = _Addresses(self._assigned())
        self._add_nodes(addresses)
        self._add_agents(addresses)
        self._add_activity()
        if self._declared.environment:
            self.draft.set("environment", self._declared.environment, self.draft.source)
        if self._declared.sync_server is not None:
            self.draft.set("sync_server", self._declared.sync_server, self.draft.source)
        return self.draft.finish()

    def _where(self, part: Fields) -> str:
        return f"{self.draft.source}:{part['line']}" if part.get("line") else self.draft.source

    def _make(self, kind: Any, part: Fields, **more: Any) -> Any:
        return make(kind, self._where(part), **{key: value for key, value in part.items() if key != "line"} | more)

    def _lan(self, lan: Fields, networks: tuple[str, ...]) -> DeclaredLan:
        trace = self._make(Trace, lan["trace"] | {"line": lan["line"]}) if lan["trace"] else None
        members = tuple(DeclaredMember(m["node"], addresses=(m["address"],) if m["address"] else (), uplink=self._shaping(m, "uplink"),
                                       downlink=self._shaping(m, "downlink")) for m in lan["members"])
        return DeclaredLan(lan["name"], members, lan["kind"], networks, lan["mask"],
                           cost=lan["cost"], trace=trace)

    def _choose_networks(self) -> dict[str, str]:
        lans = self._declared.lans
        masks = {lan["name"]: integer_of(lan["mask"]) for lan in lans if lan["mask"]}
        fixed: dict[str, ipaddress.IPv4Network] = {}
        for lan in lans:
            for member in lan["members"]:
                if member["address"]:
                    mask = masks.get(lan["name"], DEFAULT_MASK)
                    fixed[lan["name"]] = ipaddress.IPv4Network((integer_of(member["address"]) & mask, mask.bit_count()))
        sizes = {lan["name"]: len(lan["members"]) for lan in lans}
        return choose(emulab_order(self._declared.lan_names), masks, sizes, fixed)

    def _shaping(self, member: Fields, direction: str) -> Shaping:
        fields = dict(member[direction])
        if "queue" in fields:
            queue = dict(fields["queue"])
            if "red" in queue:
                queue["red"] = self._make(Red, queue["red"] | {"line": member["line"]})
            fields["queue"] = self._make(Queue, queue | {"line": member["line"]})
        return self._make(Shaping, fields | {"line": member["line"]})

    def _assigned(self) -> tuple[Lan, ...]:
        try:
            return assign(list(self.draft.lans.values()))
        except Inconsistent as error:
            raise InvalidInput(str(error), where=self.draft.place(*error.about)) from None

    def _add_nodes(self, addresses: _Addresses) -> None:
        for part in self._declared.nodes:
            routes = [addresses.route(part["name"], route, self._where(route)) for route in part["routes"]]
            self.draft.add_node(self._make(Node, part, routes=routes), self._where(part))

    def _add_agents(self, addresses: _Addresses) -> None:
        for part in self._declared.agents:
            if part["kind"] == "program":
                self.draft.add_agent(self._make(ProgramAgent, part), self._where(part))
            else:
                self.draft.add_agent(self._make(TrafficAgent, part, address=addresses.first(part["node"])), self._where(part))

    def _add_activity(self) -> None:
        for part in self._declared.groups:
            self.draft.add_group(self._make(Group, part), self._where(part))
        for part in self._declared.sequences:
            self.draft.add_sequence(part["name"], self._where(part), part.get("on_error"))
            for step in part["steps"]:
                self.draft.add_step(part["name"], self._make(Event, step), self._where(step))
        for part in self._declared.timelines:
            self.draft.add_timeline(part["name"], self._where(part))
            for entry in part["entries"]:
                self.draft.add_entry(part["name"], self._make(TimelineEntry, entry), self._where(entry))
        for part in self._declared.events:
            self.draft.add_event(self._make(TimedEvent, part), self._where(part))


class _Addresses:
    """Of the assigned LANs; what Emulab's routes and traffic agents are made of."""

    def __init__(self, lans: tuple[Lan, ...]):
        self._lans = {lan.name: lan for lan in lans}
        self._ports: dict[str, list[tuple[Lan, Member]]] = {}
        for lan in lans:
            for member in lan.members:
                self._ports.setdefault(member.node, []).append((lan, member))

    def first(self, node: str) -> str:
        """Of its first interface, which Emulab's traffic agents use."""
        return _ip(self._ports[node][0][1])

    def route(self, node: str, route: Fields, where: str) -> Fields:
        via = self._hop(node, route["hop"], where)
        if route["kind"] == "node":
            return {"destination": f"{self.first(route['name'])}/32", "via": via}
        return {"destination": str(ipaddress.ip_interface(self._lans[route["name"]].members[0].addresses[0]).network), "via": via}

    def _hop(self, node: str, hop: str, where: str) -> str:
        """Over the last link between the two, else over the first LAN they share."""
        shared = [(lan, member) for lan, member in self._ports.get(hop, ()) if any(m.node == node for m in lan.members)]
        links = [member for lan, member in shared if lan.kind == "link"]
        if not shared:
            raise InvalidInput(f"add-route: {node} and {hop} share no link or LAN, so {hop} cannot be the next hop", where=where)
        if links:
            return _ip(links[-1])
        first = next(lan for lan, member in self._ports[node] if any(m.node == hop for m in lan.members))
        return _ip(next(member for lan, member in shared if lan is first))


def _ip(member: Member) -> str:
    return str(ipaddress.ip_interface(member.addresses[0]).ip)
