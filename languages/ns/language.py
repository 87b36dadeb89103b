"""ns to spec."""

from __future__ import annotations

import ipaddress
from dataclasses import replace
from pathlib import Path
from typing import Any

from languages.addresses import DeclaredLan, DeclaredMember, assign
from languages.draft import Draft, make
from languages.evaluate import Evaluation, Source
from languages.ns.answer import Answer, Declared
from languages.ns.networks import networks_of
from languages.ns.ports import Ports
from languages.ns.process import Limits, evaluate_program
from languages.parameters import bind
from models.errors import InvalidInput
from models.spec import (
    Event,
    Group,
    Inconsistent,
    Lan,
    Node,
    Parameter,
    ProgramAgent,
    Queue,
    Red,
    Route,
    Shaping,
    Spec,
    Tarball,
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
        self.draft.fields["name"] = Path(source.name).name.partition(".")[0] or "experiment"
        self._declared = declared

    def spec(self) -> Spec:
        lans = [self._lan(lan) for lan in self._declared.lans]
        networks = networks_of(lans, self._declared.lan_names)
        for part, lan in zip(self._declared.lans, lans, strict=True):
            numbered = replace(lan, networks=(networks[lan.name],)) if lan.name in networks else lan
            self.draft.add_lan(numbered, self._where(part), [self._where(member) for member in part["members"]])
        assigned = self._assigned()
        self._warn_of_strangers(assigned)
        ports = Ports(assigned)
        self._add_nodes(ports)
        self._add_agents(ports)
        self._add_activity()
        if self._declared.environment:
            self.draft.set("environment", self._declared.environment, self.draft.source)
        if self._declared.sync_server is not None:
            self.draft.set("sync_server", self._declared.sync_server, self.draft.source)
        return self.draft.finish()

    def _warn_of_strangers(self, lans: tuple[Lan, ...]) -> None:
        """Emulab gives a network by the first address it finds, and leaves the others as they were said."""
        for part, lan in zip(self._declared.lans, lans, strict=True):
            networks = {str(ipaddress.ip_interface(address).network) for member in lan.members for address in member.addresses}
            if len(networks) > 1:
                self.draft.warn(f"addresses of '{lan.name}' are of several networks ({', '.join(sorted(networks))}): its members do not "
                                "reach each other without routes", self._where(part))

    def _where(self, part: Fields) -> str:
        return f"{self.draft.source}:{part['line']}" if part.get("line") else self.draft.source

    def _make(self, kind: Any, part: Fields, **more: Any) -> Any:
        return make(kind, self._where(part), **{key: value for key, value in part.items() if key != "line"} | more)

    def _lan(self, lan: Fields) -> DeclaredLan:
        trace = self._make(Trace, lan["trace"] | {"line": lan["line"]}) if lan["trace"] else None
        members = tuple(DeclaredMember(m["node"], addresses=(m["address"],) if m["address"] else (), uplink=self._shaping(m, "uplink"),
                                       downlink=self._shaping(m, "downlink")) for m in lan["members"])
        return DeclaredLan(lan["name"], members, lan["kind"], mask=lan["mask"], cost=lan["cost"], trace=trace)

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

    def _add_nodes(self, ports: Ports) -> None:
        for part in self._declared.nodes:
            routes = [self._route(ports, part["name"], route) for route in part["routes"]]
            tarballs = [self._make(Tarball, tarball) for tarball in part["tarballs"]]
            self.draft.add_node(self._make(Node, part, routes=routes, tarballs=tarballs), self._where(part))

    def _route(self, ports: Ports, node: str, route: Fields) -> Route:
        via = ports.hop(node, route["hop"])
        if via is None:
            raise InvalidInput(f"add-route: {node} and {route['hop']} share no link or LAN, so {route['hop']} cannot be the next hop",
                               where=self._where(route))
        destination = ports.of_node(route["name"]) if route["kind"] == "node" else ports.of_lan(route["name"])
        return Route(destination=destination, via=via)

    def _add_agents(self, ports: Ports) -> None:
        for part in self._declared.agents:
            if part["kind"] == "program":
                self.draft.add_agent(self._make(ProgramAgent, part), self._where(part))
            else:
                self.draft.add_agent(self._make(TrafficAgent, part, address=ports.first(part["node"])), self._where(part))

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
