"""A spec as an ns program that Emulab's users can read, and that evaluates to the same spec as far as ns has words for it.

What it has no words for is left out, or written as the nearest it can say; `languages.convert` finds out by reading the program
back. Names that a Tcl program cannot give (`list`, `my_lan`) are changed.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator

from languages.addresses import DeclaredLan, DeclaredMember, assign
from languages.ns.event_writer import ALL_LANS, EventWriter, number
from languages.ns.link_writer import link_lines
from languages.ns.networks import networks_of
from languages.ns.ports import Ports
from languages.ns.tcl_text import is_free, reference, word
from models.spec import Event, Lan, Node, ProgramAgent, Spec, TimedEvent, TrafficAgent

LABEL = "emulab."
_ROUTING = {"static": "Static", "manual": "Manual", "ospf": "Session", "static-ddijk": "Static-ddijk", "static-old": "Static-old"}
_APPLICATIONS = {"cbr": "Application/Traffic/CBR", "ftp": "Application/FTP", "telnet": "Application/Telnet"}


def write_ns(spec: Spec) -> str:
    """The program."""
    return "\n".join(_Writer(spec).lines()) + "\n"


class _Writer:
    def __init__(self, spec: Spec):
        self._spec = spec
        self._renamed: dict[str, str] = {}
        for name, kind in spec.targets().items():
            if name not in ("instance", ALL_LANS):
                self._renamed[name] = self._usable(name, strict=kind.value in ("node", "lan"))
        self._events = EventWriter(spec, self._name)
        self._startups = {
            agent.name for agent in spec.agents if isinstance(agent, ProgramAgent) and "\n" in agent.command and self._is_startup(agent)
        }

    def _is_startup(self, agent: ProgramAgent) -> bool:
        """tb-set-node-startup may have several lines, unlike a program agent, but nothing else can be told to it."""
        plain = ProgramAgent(name=f"{agent.node}_startup", node=agent.node, command=agent.command)
        steps = [step for part in self._spec.sequences for step in part.steps] + [e for part in self._spec.timelines for e in part.entries]
        told = [event for event in self._spec.events if event.target == agent.name]
        elsewhere = {step.target for step in steps} | {member for group in self._spec.groups for member in group.members}
        return agent == plain and agent.name not in elsewhere and told == [TimedEvent(target=agent.name, verb="start")]

    def _usable(self, name: str, strict: bool) -> str:
        """A name that Tcl lets an object have; of nodes and LANs (strict), one that Emulab takes, too."""
        made = re.sub(r"[^-0-9A-Za-z]" if strict else r"[^-0-9A-Za-z_.]", "-", name)
        while not is_free(made) or made == "ops" or made in self._renamed.values() or (made != name and made in self._spec.targets()):
            made += "-x"
        return made

    def _name(self, name: str) -> str:
        return self._renamed[name]

    def _reference(self, name: str) -> str:
        return reference(self._name(name))

    def lines(self) -> Iterator[str]:
        yield from (f"# {line}" for line in (self._spec.name, *self._spec.description.splitlines()))
        yield from ("source tb_compat.tcl", "set ns [new Simulator]", "")
        for parameter in self._spec.parameters:
            default = parameter.value if parameter.default is None else parameter.default
            yield " ".join(
                [
                    "$ns define-template-parameter",
                    parameter.name,
                    word(default),
                    *([word(parameter.description)] if parameter.description else []),
                ]
            )
        for name, value in self._spec.environment.items():
            yield f"set opt({name}) {word(value)}"
        for node in self._spec.nodes:
            yield from self._node(node)
        yield ""
        explicit = _explicit_lans(self._spec.lans)
        for lan in self._spec.lans:
            yield from link_lines(lan, self._name)
            yield from self._addresses(lan, lan.name in explicit)
        yield from self._routes()
        yield from self._agents()
        yield from self._activities()
        yield from ("", "$ns run")

    def _node(self, node: Node) -> Iterator[str]:
        own = self._reference(node.name)
        yield f"set {word(self._name(node.name))} [$ns node]"
        image = node.labels.get(f"{LABEL}osname", node.image)
        if image != "host":
            yield f"tb-set-node-os {own} {word(image)}"
        hardware = "vm" if node.kind == "vm" else node.hardware
        if hardware is not None:
            yield f"tb-set-hardware {own} {word(hardware)}"
        failure = node.labels.get(f"{LABEL}failureaction", node.failure)
        if failure != "fatal":
            yield f"tb-set-node-failure-action {own} {failure}"
        if node.tarballs:
            yield f"tb-set-node-tarfiles {own} " + " ".join(f"{word(t.directory)} {word(t.path)}" for t in node.tarballs)
        if node.memory_bytes is not None:
            yield f"tb-set-node-memory-size {own} {max(1, node.memory_bytes >> 20)}"
        if node.packages:
            yield f"tb-set-node-rpms {own} " + " ".join(word(p) for p in node.packages)

    def _addresses(self, lan: Lan, explicit: bool) -> Iterator[str]:
        own = self._reference(lan.name)
        lengths = {i.network.prefixlen for m in lan.members for a in m.addresses if (i := ipaddress.ip_interface(a)).version == 4}
        if lan.mask is not None:
            yield f"tb-set-netmask {own} {lan.mask}"
        elif explicit and len(lengths) == 1 and 16 <= (length := lengths.pop()) <= 30 and length != 24:
            yield f"tb-set-netmask {own} {ipaddress.ip_network(f'0.0.0.0/{length}').netmask}"
        if explicit:
            for member in lan.members:
                address = next((i.ip for a in member.addresses if (i := ipaddress.ip_interface(a)).version == 4), None)
                if address is not None:
                    yield f"tb-set-ip-{lan.kind} {self._reference(member.node)} {own} {address}"

    def _routes(self) -> Iterator[str]:
        ports = Ports(self._spec.lans) if any(node.routes for node in self._spec.nodes) else None
        for node in self._spec.nodes:
            for route in node.routes:
                found = ports.words(node.name, route) if ports else None
                if found is not None:
                    yield f"{self._reference(node.name)} add-route {self._reference(found[0])} {self._reference(found[1])}"
        protocols = [node.labels.get(f"{LABEL}routertype", node.routing) for node in self._spec.nodes]
        common = max(set(protocols), key=protocols.count, default="none")
        if common in _ROUTING:
            yield f"$ns rtproto {_ROUTING[common]}"
        if self._spec.sync_server is not None:
            yield f"tb-set-sync-server {self._reference(self._spec.sync_server)}"

    def _agents(self) -> Iterator[str]:
        yield ""
        traffic = [agent for agent in self._spec.agents if isinstance(agent, TrafficAgent)]
        for agent in self._spec.agents:
            if isinstance(agent, TrafficAgent):
                yield from self._traffic(agent)
            elif agent.name in self._startups:
                yield f"tb-set-node-startup {self._reference(agent.node)} {word(agent.command)}"
            else:
                yield self._program(agent)
        for agent in traffic:
            if agent.role == "source" and any(agent.peer == other.name for other in traffic):
                yield f"$ns connect {self._transport(agent)} {self._reference(agent.peer or '')}"

    def _program(self, agent: ProgramAgent) -> str:
        given = (
            ("-command", agent.command or None),
            ("-dir", agent.directory),
            ("-timeout", None if agent.timeout_s is None else number(agent.timeout_s)),
            ("-expected-exit-code", agent.expected_exit_code),
        )
        options = "".join(f" {option} {word(str(value))}" for option, value in given if value is not None)
        return f"set {word(self._name(agent.name))} [{self._reference(agent.node)} program-agent{options}]"

    def _transport(self, agent: TrafficAgent) -> str:
        return reference(f"{self._name(agent.name)}-transport") if agent.role == "source" else self._reference(agent.name)

    def _traffic(self, agent: TrafficAgent) -> Iterator[str]:
        kinds = {("source", "udp"): "UDP", ("source", "tcp"): "TCP", ("sink", "udp"): "Null", ("sink", "tcp"): "TCPSink"}
        own, transport = self._name(agent.name), self._transport(agent)
        variable = f"{own}-transport" if agent.role == "source" else own
        yield f"set {word(variable)} [new Agent/{kinds[agent.role, agent.protocol]}]"
        yield f"$ns attach-agent {self._reference(agent.node)} {transport}"
        if agent.role == "source":
            yield f"set {word(own)} [new {_APPLICATIONS[agent.application]}]"
            yield f"{reference(own)} attach-agent {transport}"
            if agent.application == "cbr":
                yield f"{reference(own)} set packetSize_ {agent.packet_size_bytes}"
                yield f"{reference(own)} set rate_ {f'{number(agent.rate_bps / 1000)}Kb' if agent.rate_bps else 0}"
            if agent.interval_s is not None:
                yield f"{reference(own)} set interval_ {number(agent.interval_s)}"
            if agent.type_of_service is not None and agent.application == "cbr":
                yield f"{reference(own)} set iptos_ {agent.type_of_service}"

    def _activities(self) -> Iterator[str]:
        """Everything is made before anything is told to it, so that activities may name one another."""
        yield ""
        caught = {s.on_error: s for s in self._spec.sequences if s.on_error is not None}
        only_caught = {name for name, by in caught.items() if name == f"{by.name}-catch"}
        for group in self._spec.groups:
            if group.name != ALL_LANS:
                yield f"set {word(self._name(group.name))} [$ns event-group [list {' '.join(self._reference(m) for m in group.members)}]]"
        for timeline in self._spec.timelines:
            yield f"set {word(self._name(timeline.name))} [$ns event-timeline]"
        plain = [s for s in self._spec.sequences if s.on_error is None and s.name not in only_caught]
        for sequence in plain:
            yield f"set {word(self._name(sequence.name))} [$ns event-sequence]"
        steps = {s.name: s.steps for s in self._spec.sequences}
        for sequence in self._spec.sequences:
            if sequence.on_error is not None:
                yield f"set {word(self._name(sequence.name))} [$ns event-sequence {{"
                yield from self._body(sequence.steps)
                yield "} catch {"
                yield from self._body(steps.get(sequence.on_error, ()))
                yield "}]"
        for sequence in plain:
            yield from (
                f"{self._reference(sequence.name)} append {self._quoted(w)}" for step in sequence.steps for w in self._events.words(step)
            )
        for timeline in self._spec.timelines:
            for entry in timeline.entries:
                yield from (
                    f"{self._reference(timeline.name)} at {number(entry.at_s)} {self._quoted(w)}" for w in self._events.words(entry)
                )
        if self._spec.on_start is not None:  # the nearest ns can say: a run's first event
            yield f'$ns at 0 "{self._reference(self._spec.on_start)} start"'
        for event in (e for e in self._spec.events if e.target not in self._startups):
            when = "swapout" if event.on == "swapout" else number(event.at_s)
            yield from (f"$ns at {when} {self._quoted(w)}" for w in self._events.words(event))

    def _body(self, steps: tuple[Event, ...]) -> Iterator[str]:
        yield from (f"    {' '.join(words)}" for step in steps for words in self._events.words(step))

    def _quoted(self, words: list[str]) -> str:
        """As Emulab's users write it where that is the same."""
        return f'"{" ".join(words)}"' if all(re.fullmatch(r"[\w$.:/%*-]+", w) for w in words) else f"[list {' '.join(words)}]"


def _explicit_lans(lans: tuple[Lan, ...]) -> set[str]:
    """Those whose addresses have to be said, so that numbering gives all others theirs."""
    explicit: set[str] = set()
    while True:
        declared = [
            DeclaredLan(
                lan.name,
                tuple(DeclaredMember(m.node, addresses=m.addresses if lan.name in explicit else ()) for m in lan.members),
                lan.kind,
                mask=lan.mask,
            )
            for lan in lans
        ]
        chosen = networks_of(declared)
        made = assign([DeclaredLan(d.name, d.members, d.kind, (chosen[d.name],) if d.name in chosen else (), d.mask) for d in declared])
        wrong = {lan.name for lan, given in zip(lans, made, strict=True)
                 if lan.name not in explicit and [m.addresses for m in lan.members] != [m.addresses for m in given.members]}
        if not wrong:
            return explicit
        explicit |= wrong
