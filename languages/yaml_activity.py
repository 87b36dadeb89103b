"""Agents, groups, sequences, timelines and the run's own timeline of a YAML file, into a draft."""

from __future__ import annotations

import fnmatch
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from languages.draft import Draft, make
from languages.event_text import read_event, read_timeline
from languages.nearest import nearest
from languages.part_words import PROGRAM, TRAFFIC
from languages.words import Misread, Plain, build, each, mapping, text, texts, within
from languages.yaml_reading import Reading
from languages.yaml_tree import Items, Part, Scalar, Table, describe
from models.errors import InvalidInput
from models.spec import Group, ProgramAgent, TrafficAgent


@dataclass
class Activity:
    """What happens in a run of the file's experiment."""

    reading: Reading
    draft: Draft
    root: Table

    def read(self) -> None:
        """Everything; nodes and LANs are in the draft already."""
        self._each("agents", "a mapping from agent names to their settings", self._agent)
        self._each("groups", "a mapping from group names to members", self._group)
        self._each("sequences", "a mapping from sequence names to steps", self._sequence)
        self._each("timelines", "a mapping from timeline names to timed events", self._timeline)
        part = self.root.items.get("timeline")
        if part is not None and not (isinstance(part, Scalar) and part.text is None):
            for timed in self.reading.read(part, read_timeline):
                self.draft.add_event(timed.timed_event(), self.reading.where(part, *timed.path))

    def _each(self, key: str, expected: str, take: Callable[[str, Part, str], None]) -> None:
        section = self.reading.table(self.root, key, expected)
        for name, part in section.items.items():
            take(name, part, self.reading.where(section, name))

    def _agent(self, name: str, part: Part, where: str) -> None:
        if not isinstance(part, Table):
            raise InvalidInput(f"expected a mapping of settings for agent '{name}', not {describe(part)}", where=where)
        if "traffic" in part.items:
            self._traffic(name, part, where)
            return
        self._check_node(part, name, where)
        self.draft.add_agent(self.reading.read(part, lambda v: build(ProgramAgent, PROGRAM, v, "a program agent", name=name)), where)

    def _traffic(self, name: str, part: Table, where: str) -> None:
        """`from` and `to` are nodes, and make the sink NAME-sink, too; without them one end is described, with its role and peer."""
        if ("from" in part.items) != ("to" in part.items):
            raise InvalidInput(f"traffic agent '{name}' has only one of from and to", where=where,
                               next="Give both, or node, role and peer.")
        if "from" not in part.items:
            self._check_node(part, name, where)
            self.draft.add_agent(self.reading.read(part, lambda v: build(TrafficAgent, TRAFFIC, v, "a traffic agent", name=name)), where)
            return
        for key in part.items.keys() & {"node", "role", "peer"}:
            raise InvalidInput(f"traffic agent '{name}' has from and to, which say its {key}", where=self.reading.where(part, key))
        ends = {key: self.reading.read(part.items[key], text, part, key) for key in ("from", "to")}
        for key, node in ends.items():
            self._known(node, self.reading.where(part, key))
        sink = f"{name}-sink"
        source = self.reading.read(part, lambda v: build(TrafficAgent, TRAFFIC, v, "a traffic agent", also=("from", "to"), name=name,
                                                         role="source", peer=sink, node=ends["from"]))
        self.draft.add_agent(source, where)
        self.draft.add_agent(make(TrafficAgent, where, name=sink, role="sink", peer=name, node=ends["to"], protocol=source.protocol,
                                  application=source.application, port=source.port), where)

    def _check_node(self, part: Table, agent: str, where: str) -> None:
        if "node" not in part.items:
            raise InvalidInput(f"agent '{agent}' lacks its node", where=where)
        self._known(self.reading.read(part.items["node"], text, part, "node"), self.reading.where(part, "node"))

    def _known(self, name: str, where: str) -> None:
        if name not in self.draft.nodes:
            raise InvalidInput(f"there is no node '{name}'", where=where, next=nearest(name, self.draft.nodes))

    def _group(self, name: str, part: Part, where: str) -> None:
        members = self.reading.read(part, self._members)
        self.draft.add_group(make(Group, where, name=name, members=members), where)

    def _members(self, value: Plain) -> tuple[str, ...]:
        """Names, or patterns of names, of agents, then links and LANs, then nodes: the first of these that match."""
        if isinstance(value, Mapping):
            value = value["members"] if set(value) == {"members"} else texts(value)
        found: list[str] = []
        for index, name in enumerate(texts(value)):
            if not any(sign in name for sign in "*?["):
                found.append(name)
                continue
            kinds = (self.draft.agents, self.draft.lans, self.draft.nodes)
            matches = next((m for kind in kinds if (m := fnmatch.filter(kind, name))), None)
            if not matches:
                raise Misread(f"nothing matches '{name}'", *([index] if isinstance(value, list) else []))
            found += matches
        return tuple(found)

    def _sequence(self, name: str, part: Part, where: str) -> None:
        steps, on_error = part, None
        if isinstance(part, Table):
            on_error = self.reading.read(part, _on_error)
            steps = part.items.get("steps", Items(part.line))
        self.draft.add_sequence(name, where, on_error)
        events = self.reading.read(steps, each(read_event)) if not _empty(steps) else ()
        if not events:
            self.draft.warn(f"sequence '{name}' is empty", where)
        for index, event in enumerate(events):
            self.draft.add_step(name, event, self.reading.where(steps, index))

    def _timeline(self, name: str, part: Part, where: str) -> None:
        self.draft.add_timeline(name, where)
        if _empty(part):
            self.draft.warn(f"timeline '{name}' is empty", where)
            return
        for timed, entry in self.reading.read(part, lambda value: [(t, t.entry()) for t in read_timeline(value)]):
            self.draft.add_entry(name, entry, self.reading.where(part, *timed.path))


def _on_error(value: Plain) -> str | None:
    """on_error of a sequence written as a mapping of steps and on_error."""
    for key in mapping(value):
        if key not in ("steps", "on_error"):
            raise Misread(f"unknown key '{key}' in a sequence", key, next=nearest(key, ("steps", "on_error")))
    return within("on_error", text, value["on_error"]) if value.get("on_error") is not None else None


def _empty(part: Part) -> bool:
    return isinstance(part, Scalar) and part.text is None
