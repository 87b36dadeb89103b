"""The Python language: a topology is built by calls, and `spec()` is what it comes to.

    net = Topology("pair")
    h1, h2 = net.node("h1"), net.node("h2", cpus=0.5)
    wan = net.link(h1, h2, bandwidth="10Mb", delay="20ms", loss=0.01)
    ping = net.program("ping", h1, "ping -c 5 h2")
    net.at("1s", ping.start())
    net.at("3s", wan.modify(delay="50ms"))

Settings are the words of YAML (docs/languages.md). Every error is an `InvalidInput` at the line of the call. As a template, a
file defines `build(net, NAME=default, …)` (`languages.python_language`); in a notebook the class is used as it stands.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Literal, TypeVar

from pydantic import ValidationError

from languages import targets
from languages.draft import Draft, explain, make
from languages.evaluate import Evaluation
from languages.event_text import Timed, read_event, read_time
from languages.external_words import read_external
from languages.links import FAMILIES, named, nodes_matching, read_lan, read_link
from languages.parameters import bind
from languages.part_words import ARGUMENTS, NODE, PROGRAM, TRAFFIC, read_collect, read_rules
from languages.words import Misread, build, choice, read, text, texts_by_name
from models.errors import InvalidInput
from models.events import Arguments
from models.externals import External, overlapping
from models.spec import Event, Group, Node, Parameter, ProgramAgent, Spec, TrafficAgent

Result = TypeVar("Result")
Value = str | int | float | bool
Step = Event | str | Mapping[str, Any]
_TYPES: dict[type, Literal["boolean", "integer", "number", "string"]] = {bool: "boolean", int: "integer", float: "number", str: "string"}


_TYPED: dict[str, Callable[[str], Any]] = {"integer": int, "number": float, "boolean": lambda value: value == "true"}


class Missing(Exception):
    """A parameter without default was asked for and no value is there."""


class Topology:
    """values: of parameters. source: the name errors use where no line is to blame. directory: what `datastore` is relative to."""

    def __init__(self, name: str = "experiment", *, values: Mapping[str, Value] | None = None, source: str = "topology",
                 directory: Path | str | None = None):
        self._draft = Draft(source)
        self._draft.fields["name"] = name
        self._values = {key: text(value) for key, value in (values or {}).items()}
        self._parameters: list[Parameter] = []
        self._defaults: dict[str, Any] = {}
        self._families: tuple[Literal[4, 6], ...] = (4,)
        self._directory = Path(directory) if directory is not None else None
        self._datastore: Path | None = None
        self._externals: list[External] = []
        self.instance = targets.Instance("instance", self)

    # what there is

    def node(self, name: str, **settings: Any) -> targets.Node:
        """A machine: kind, image, cpus, memory, environment, routing, routes, outside, failure, on_failure, volumes, …"""
        where = _where()
        self._draft.add_node(self._read(where, lambda: build(Node, NODE, _plain(settings), "a node", name=name, **self._defaults)), where)
        return targets.Node(name, self)

    def nodes(self, pattern: str, count: int, **settings: Any) -> list[targets.Node]:
        """count nodes; `{}` in the pattern is the number, from 0: `net.nodes("h{}", 4)`."""
        if "{}" not in pattern:
            raise InvalidInput(f"the pattern '{pattern}' lacks {{}}, which stands for the number", where=_where())
        return [self.node(pattern.replace("{}", str(number)), **settings) for number in range(count)]

    def link(self, first: Any, second: Any, *, name: str | None = None, **settings: Any) -> targets.Link:
        """Between two ends: nodes, "NODE:INTERFACE", or mappings with node, interface, mac, addresses, uplink, downlink.

        bandwidth, delay, jitter, distribution, loss, queue of the whole way; forward and backward of one way; cost, trace,
        network, addressing.
        """
        where = _where()
        given = {**_plain(settings), "endpoints": [_plain(first), _plain(second)]}
        lan = self._read(where, lambda: read_link("", given, self._families))
        lan = named(lan, name, self._draft.taken)
        self._draft.add_lan(lan, where)
        return targets.Link(lan.name, self)

    def lan(self, name: str, members: Iterable[Any] | Mapping[str, Any], **settings: Any) -> targets.Link:
        """members: ends as of a link, or a mapping from nodes to what is special about their pipes."""
        where = _where()
        given = {**_plain(settings), "members": _plain(members if isinstance(members, Mapping) else list(members))}
        self._draft.add_lan(self._read(where, lambda: read_lan(name, given, self._families, partial(nodes_matching, self._draft.nodes))),
                            where)
        return targets.Link(name, self)

    def program(self, name: str, node: targets.Node | str, command: str = "", **settings: Any) -> targets.Program:
        """A program agent: directory, timeout, expect (exit code), environment, user."""
        where = _where()
        given = {**_plain(settings), "node": str(node), "command": command}
        self._draft.add_agent(self._read(where, lambda: build(ProgramAgent, PROGRAM, given, "a program agent", name=name)), where)
        return targets.Program(name, self)

    def traffic(self, name: str, source: targets.Node | str, sink: targets.Node | str, protocol: str = "udp",
                **settings: Any) -> targets.Traffic:
        """A traffic generator between two nodes, with its sink NAME-sink: rate, packet_size, interval, port, application, …"""
        where = _where()
        other = f"{name}-sink"
        self._end(where, name, {**_plain(settings), "node": str(source), "role": "source", "peer": other, "traffic": protocol})
        shared: dict[str, Any] = {key: settings[key] for key in ("port", "application") if key in settings}
        self._end(where, other, {**shared, "node": str(sink), "role": "sink", "peer": name, "traffic": protocol})
        return targets.Traffic(name, self)

    def traffic_end(self, name: str, node: targets.Node | str, role: str, protocol: str = "udp", **settings: Any) -> targets.Traffic:
        """One end alone, as ns has them: peer, port, rate, …"""
        self._end(_where(), name, {**_plain(settings), "node": str(node), "role": role, "traffic": protocol})
        return targets.Traffic(name, self)

    def group(self, name: str, members: Iterable[targets.Target | str]) -> targets.Group:
        where = _where()
        self._draft.add_group(make(Group, where, name=name, members=tuple(str(m) for m in members)), where)
        return targets.Group(name, self)

    # what happens

    def sequence(self, name: str, steps: Iterable[Step] = (), on_error: targets.Startable | str | None = None) -> Sequence:
        """Steps, each when the one before completed."""
        self._draft.add_sequence(name, _where(), None if on_error is None else str(on_error))
        sequence = Sequence(name, self)
        for step in steps:
            sequence.append(step)
        return sequence

    def timeline(self, name: str, entries: Mapping[Value, Step | Iterable[Step]] | None = None) -> Timeline:
        """entries: times to events, from the timeline's own start."""
        self._draft.add_timeline(name, _where())
        timeline = Timeline(name, self)
        for time, events in (entries or {}).items():
            timeline.at(time, *([events] if isinstance(events, (Event, str, Mapping)) else events))
        return timeline

    def at(self, time: Value, *events: Step) -> None:
        """Events of the run itself, so long after it began, or at "swapout"."""
        where = _where()
        for event in events:
            self._draft.add_event(self._timed(time, event, where).timed_event(), where)

    def on_start(self, sequence: targets.Startable | str) -> None:
        self._draft.set("on_start", str(sequence), _where())

    def on_stop(self, sequence: targets.Startable | str) -> None:
        self._draft.set("on_stop", str(sequence), _where())

    # what else the experiment says

    def parameter(self, name: str, default: Value | None = None, description: str = "", type: str | None = None) -> Any:
        """Declares it and gives its value, as the type says; one without default must be given."""
        kind = type or next((word for python, word in _TYPES.items() if isinstance(default, python)), "string")
        written = None if default is None else text(default)
        return self.declare(_where(), name=name, default=written, value=written or "", description=description, type=kind)

    def declare(self, where: str, **fields: Any) -> Any:
        """As `parameter`, of what stands elsewhere (in the signature of `build`)."""
        parameter = make(Parameter, where, **fields)
        if any(p.name == parameter.name for p in self._parameters):
            raise InvalidInput(f"parameter '{parameter.name}' is declared twice", where=where)
        self._parameters.append(parameter)
        if parameter.default is None and parameter.name not in self._values:
            raise Missing(parameter.name)
        given = {name: value for name, value in self._values.items() if name == parameter.name}
        return _TYPED.get(parameter.type, str)(bind(where, [parameter], given)[0].value)

    def defaults(self, **settings: Any) -> None:
        """Settings of the nodes made from here on."""
        where = _where()
        self._defaults |= self._read(where, lambda: read(NODE, _plain(settings), "a node"))

    def addressing(self, families: str) -> None:
        """ipv4 (as it is), ipv6, dual or none, for the links and LANs made from here on."""
        self._families = FAMILIES[self._read(_where(), lambda: choice(*FAMILIES)(families))]

    def name(self, text: str) -> None:
        """Of the experiment; by default the file's."""
        self._draft.set("name", text, _where())

    def describe(self, text: str) -> None:
        self._draft.set("description", text, _where())

    def environment(self, variables: Mapping[str, Value]) -> None:
        """For every program, besides parameters."""
        where = _where()
        self._draft.set("environment", self._read(where, lambda: texts_by_name(variables)), where)

    def collect(self, what: Any) -> None:
        """What a record takes from nodes: "all", globs, or a mapping from nodes to globs."""
        where = _where()
        self._draft.set("collect", self._read(where, lambda: read_collect(_plain(what))), where)

    def rules(self, **rules: Any) -> None:
        """keep, drop (globs), max_file, window, of an open record's files."""
        where = _where()
        self._draft.set("rules", self._read(where, lambda: read_rules(_plain(rules))), where)

    def environment_of_runs(self, what: str) -> None:
        """inherit or fresh: files that a further run finds in nodes."""
        where = _where()
        self._draft.set("environment_of_runs", self._read(where, lambda: choice("inherit", "fresh")(what)), where)

    def sync_server(self, node: targets.Node | str) -> None:
        self._draft.set("sync_server", str(node), _where())

    def datastore(self, directory: Path | str) -> None:
        """The template's files; relative to the source."""
        self._datastore = (self._directory or Path()) / directory

    def external(self, at: str, **source: Value) -> None:
        """Files from elsewhere, at that path of the datastore: git and revision (and path), or s3 (and endpoint)."""
        where = _where()
        self._externals.append(self._read(where, lambda: read_external(at, source)))
        if (both := overlapping(self._externals)) is not None:
            raise InvalidInput(f"'{both[1]}' would lie in '{both[0]}'", where=where)

    # what it comes to

    def spec(self) -> Spec:
        """The checked experiment; may be called again after further calls."""
        return self.evaluation().spec

    def evaluation(self) -> Evaluation:
        self._draft.parameters = bind(self._draft.source, self._parameters, self._values)
        return Evaluation(self._draft.finish(), tuple(self._draft.warnings), self._datastore, tuple(self._externals))

    @property
    def declared(self) -> tuple[Parameter, ...]:
        return tuple(self._parameters)

    def event(self, target: str, verb: str, arguments: dict[str, Any]) -> Event:
        """For `languages.targets`."""
        given = {key: value for key, value in _plain(arguments).items() if value is not None}
        return self._read(_where(), lambda: Event(target=target, verb=verb, arguments=Arguments(**read(ARGUMENTS, given, "an event"))))

    def _end(self, where: str, name: str, given: dict[str, Any]) -> None:
        self._draft.add_agent(self._read(where, lambda: build(TrafficAgent, TRAFFIC, given, "a traffic agent", name=name)), where)

    def _timed(self, time: Value, event: Step, where: str) -> Timed:
        return Timed(self._step(event, where), *self._read(where, lambda: read_time(text(time))))

    def _step(self, event: Step, where: str) -> Event:
        return event if isinstance(event, Event) else self._read(where, lambda: read_event(event))

    def _read(self, where: str, reader: Callable[[], Result]) -> Result:
        try:
            return reader()
        except Misread as error:
            raise InvalidInput(str(error), where=where, next=error.next) from None
        except ValidationError as error:
            raise InvalidInput(explain(error), where=where) from None
        except ValueError as error:
            raise InvalidInput(str(error), where=where) from None


class Sequence(targets.Startable):
    _teller: Topology

    def append(self, *steps: Step) -> Sequence:
        where = _where()
        for step in steps:
            self._teller._draft.add_step(self.name, self._teller._step(step, where), where)
        return self


class Timeline(targets.Startable):
    _teller: Topology

    def at(self, time: Value, *events: Step) -> Timeline:
        where = _where()
        for event in events:
            timed = self._teller._timed(time, event, where)
            self._teller._draft.add_entry(self.name, self._teller._read(where, timed.entry), where)
        return self


def _plain(value: Any) -> Any:
    """Targets by their names, ranges and tuples as lists."""
    if isinstance(value, targets.Target):
        return value.name
    if isinstance(value, Mapping):
        return {str(_plain(key)): _plain(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple, range)):
        return [_plain(inner) for inner in value]
    return str(value) if isinstance(value, Path) else value


def _where() -> str:
    """FILE:LINE of the call that entered this module."""
    frame = sys._getframe(1)
    while frame.f_back is not None and frame.f_globals.get("__name__") in (__name__, targets.__name__):
        frame = frame.f_back
    return f"{frame.f_code.co_filename}:{frame.f_lineno}"
