"""What a source has declared so far, each part with the place that declared it, on its way to a spec.

Every language fills a draft and calls `finish`; so names, events, addresses and members are checked once, here, and each
error points at FILE:LINE. A `where` is that text, as the language knows it.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from languages.addresses import DeclaredLan, assign
from languages.evaluate import Warning_
from languages.nearest import nearest
from languages.parameters import bind
from models.errors import InvalidInput
from models.spec import (
    Agent,
    Collect,
    Event,
    Group,
    Inconsistent,
    Member,
    Node,
    Parameter,
    Sequence,
    Spec,
    TargetKind,
    TimedEvent,
    Timeline,
    TimelineEntry,
    check_event,
)

Model = TypeVar("Model", bound=BaseModel)

NODES_LIMIT = 20_000
EVENTS_LIMIT = 1_000_000
_ANY_MAC = "02:00:00:00:00:00"


def make(kind: type[Model], where: str | None, /, **fields: Any) -> Model:
    """The model; InvalidInput with this `where` if it refuses."""
    try:
        return kind(**fields)
    except ValidationError as error:
        raise InvalidInput(explain(error), where=where) from None


def explain(error: ValidationError) -> str:
    """Its first problem as one sentence."""
    first = error.errors(include_url=False)[0]
    if isinstance(cause := first.get("ctx", {}).get("error"), ValueError):
        return str(cause)
    place = ".".join(str(part) for part in first["loc"])
    shown = f"{first['input']:g}" if isinstance(first["input"], (int, float)) else repr(str(first["input"])[:60])
    given = "" if first["type"] in ("missing", "extra_forbidden") else f", not {shown}"
    message = first["msg"][:1].lower() + first["msg"][1:]
    return f"{place}: {message}{given}" if place else message + given


class Draft:
    """fields: those of `Spec` that are no part with a name (description, environment, on_start, rules, …)."""

    def __init__(self, source: str):
        self.source = source
        self.fields: dict[str, Any] = {}
        self.parameters: tuple[Parameter, ...] = ()
        self.nodes: dict[str, Node] = {}
        self.lans: dict[str, DeclaredLan] = {}
        self.agents: dict[str, Agent] = {}
        self.groups: dict[str, Group] = {}
        self.warnings: list[Warning_] = []
        self._steps: dict[str, list[tuple[Event, str]]] = {}
        self._on_error: dict[str, str] = {}
        self._entries: dict[str, list[tuple[TimelineEntry, str]]] = {}
        self._events: list[tuple[TimedEvent, str]] = []
        self._places: dict[tuple[str, ...], str] = {}
        self._kinds: dict[str, str] = {}

    def warn(self, text: str, where: str | None = None) -> None:
        self.warnings.append(Warning_(text, where or self.source))

    def taken(self, name: str) -> bool:
        return name in self._kinds

    def set(self, field: str, value: Any, where: str) -> None:
        """One of `Spec`'s own fields."""
        self.fields[field] = value
        self._places[(field,)] = where

    def add_node(self, node: Node, where: str) -> None:
        self._claim(node.name, "node", where)
        if len(self.nodes) >= NODES_LIMIT:
            raise InvalidInput(f"there are more than {NODES_LIMIT} nodes", where=where)
        self.nodes[node.name] = node

    def add_lan(self, lan: DeclaredLan, where: str, members: Iterable[str] = ()) -> None:
        """members: where each member stands, if not all of them where the LAN does."""
        self._claim(lan.name, "link" if lan.kind == "link" else "LAN", where)
        for member, place in zip(lan.members, members, strict=False):
            self._places.setdefault((lan.name, member.node), place)
        for member in lan.members:
            if member.interface is not None or member.mac is not None:
                make(Member, self.place(lan.name, member.node), node=member.node, interface=member.interface or "eth1",
                     mac=(member.mac or _ANY_MAC).lower())
        self.lans[lan.name] = lan

    def add_agent(self, agent: Agent, where: str) -> None:
        self._claim(agent.name, f"{agent.kind} agent", where)
        self.agents[agent.name] = agent

    def add_group(self, group: Group, where: str) -> None:
        self._claim(group.name, "group", where)
        self.groups[group.name] = group

    def add_sequence(self, name: str, where: str, on_error: str | None = None) -> None:
        self._claim(name, "sequence", where)
        self._steps[name] = []
        if on_error is not None:
            self._on_error[name] = on_error

    def add_step(self, sequence: str, step: Event, where: str) -> None:
        self._steps[sequence].append((step, where))

    def add_timeline(self, name: str, where: str) -> None:
        self._claim(name, "timeline", where)
        self._entries[name] = []

    def add_entry(self, timeline: str, entry: TimelineEntry, where: str) -> None:
        self._entries[timeline].append((entry, where))

    def add_event(self, event: TimedEvent, where: str) -> None:
        self._events.append((event, where))

    def place(self, *about: str) -> str:
        """Where the part of these names stands: the longest of its names that is known, else the source."""
        for end in range(len(about), 0, -1):
            if (where := self._places.get(about[:end])) is not None:
                return where
        return self.source

    def finish(self) -> Spec:
        """The checked spec."""
        self._check_members()
        self._check_events()
        self._name_collected()
        try:
            return Spec(**self.fields, parameters=self.parameters, nodes=tuple(self.nodes.values()),
                        lans=assign(list(self.lans.values())), agents=tuple(self.agents.values()), groups=tuple(self.groups.values()),
                        sequences=tuple(Sequence(name=n, steps=tuple(s for s, _ in steps), on_error=self._on_error.get(n))
                                        for n, steps in self._steps.items()),
                        timelines=tuple(Timeline(name=n, entries=tuple(e for e, _ in entries)) for n, entries in self._entries.items()),
                        events=tuple(e for e, _ in self._events))
        except Inconsistent as error:
            raise InvalidInput(str(error), where=self.place(*error.about)) from None
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            cause = first.get("ctx", {}).get("error")
            about = cause.about if isinstance(cause, Inconsistent) else tuple(str(part) for part in first["loc"])
            raise InvalidInput(explain(error), where=self.place(*about)) from None

    def _claim(self, name: str, kind: str, where: str) -> None:
        if name in self._kinds:
            raise InvalidInput(f"the name '{name}' is used twice: for a {self._kinds[name]} ({self._places[(name,)]}) and a {kind}",
                               where=where, next="Nodes, links, LANs, agents, groups, sequences and timelines share one name space.")
        self._kinds[name] = kind
        self._places[(name,)] = where

    def _check_members(self) -> None:
        """Before addresses are counted out to nodes that do not exist."""
        for lan in self.lans.values():
            for member in lan.members:
                if member.node not in self.nodes:
                    raise InvalidInput(f"{'link' if lan.kind == 'link' else 'LAN'} '{lan.name}' names unknown node '{member.node}'",
                                       where=self.place(lan.name, member.node), next=nearest(member.node, self.nodes))

    def _check_events(self) -> None:
        kinds: dict[str, TargetKind] = {"instance": TargetKind.INSTANCE}
        for kind, names in ((TargetKind.NODE, self.nodes), (TargetKind.LAN, self.lans), (TargetKind.GROUP, self.groups),
                            (TargetKind.SEQUENCE, self._steps), (TargetKind.TIMELINE, self._entries)):
            kinds.update(dict.fromkeys(names, kind))
        kinds.update({name: TargetKind(agent.kind) for name, agent in self.agents.items()})
        groups = tuple(self.groups.values())
        everything: list[tuple[str, Event, str]] = [("timeline", e, where) for e, where in self._events]
        everything += [(f"sequence {name}", e, where) for name, steps in self._steps.items() for e, where in steps]
        everything += [(f"timeline {name}", e, where) for name, entries in self._entries.items() for e, where in entries]
        if len(everything) > EVENTS_LIMIT:
            raise InvalidInput(f"there are more than {EVENTS_LIMIT} events", where=everything[EVENTS_LIMIT][2])
        for group in groups:
            for name in group.members:
                if kinds.get(name) in (None, TargetKind.GROUP, TargetKind.INSTANCE):
                    raise InvalidInput(f"group '{group.name}' has the member '{name}', which is not an agent, link, LAN or node, "
                                       "nor a sequence or timeline",
                                       where=self.place(group.name), next=nearest(name, kinds))
        for what, event, where in everything:
            try:
                check_event(event, kinds, groups, what)
            except ValueError as error:
                raise InvalidInput(str(error), where=where, next=None if event.target in kinds else nearest(event.target, kinds)) from None
            self._check_arguments(event, where)

    def _check_arguments(self, event: Event, where: str) -> None:
        """What an event's arguments name must be there, too: a member of the LAN, parameters of the run to start."""
        if event.arguments.member is not None and event.target in self.lans:
            members = [m.node for m in self.lans[event.target].members]
            if event.arguments.member not in members:
                raise InvalidInput(f"'{event.arguments.member}' is not a member of '{event.target}'", where=where,
                                   next=nearest(event.arguments.member, members))
        if event.arguments.parameters is not None:
            bind(where, [p.model_copy(update={"default": p.value}) for p in self.parameters], event.arguments.parameters)

    def _name_collected(self) -> None:
        """Patterns of nodes in `collect` become the nodes they stand for; `*` alone stays."""
        collect: Collect | None = self.fields.get("collect")
        if collect is None:
            return
        paths: dict[str, tuple[str, ...]] = {}
        for pattern, globs in collect.paths.items():
            found = [pattern] if pattern == "*" else fnmatch.filter(self.nodes, pattern)
            if not found:
                raise InvalidInput(f"collect names the unknown node '{pattern}'", where=self.place("collect"),
                                   next=nearest(pattern, self.nodes))
            for name in found:
                paths[name] = (*paths.get(name, ()), *globs)
        self.fields["collect"] = collect.model_copy(update={"paths": paths})
