"""The nodes, links and LANs of a YAML file, our own short form and containerlab's alike, into a draft."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

from languages.containerlab import (
    IGNORED,
    LINK_KEYS,
    LINK_KINDS,
    OTHERS,
    PROGRAMS,
    RENAMED,
    Translator,
    inherit,
    leads_outside,
    node_name,
    translate_end,
)
from languages.draft import Draft, make
from languages.links import DeclaredLan, named, nodes_matching, read_lan, read_link
from languages.part_words import NODE
from languages.words import Misread, Plain, build, choice, mapping, text, within
from languages.yaml_reading import Reading, plain
from languages.yaml_tree import Items, Part, Scalar, Table, describe
from models.errors import InvalidInput
from models.spec import Event, Node, ProgramAgent, TimedEvent

_NOT_WORDS = (*PROGRAMS, *OTHERS, *RENAMED)


@dataclass
class Network:
    """What the whole file says of its network. topology: the table with nodes and links, the root in the short form."""

    reading: Reading
    draft: Draft
    translator: Translator
    topology: Table
    routing: str | None
    families: tuple[Literal[4, 6], ...]
    directory: Path | None

    def nodes(self) -> None:
        section = self.reading.table(self.topology, "nodes", "a mapping from node names to their settings")
        for written, part in section.items.items():
            where = self.reading.where(section, written)
            if not isinstance(part, Table) and not (isinstance(part, Scalar) and part.text is None):
                raise InvalidInput(f"expected a mapping of settings for node '{written}', not {describe(part)}", where=where)
            own = part if isinstance(part, Table) else Table(section.key_lines[written])
            self._node(self._node_name(written, where), inherit(self.reading, self.topology, own), section, written)

    def links(self) -> None:
        section = self.reading.items(self.topology, "links", "a list of links")
        for part in section.items:
            where = self.reading.where(part)
            if not isinstance(part, Table):
                raise InvalidInput(f"expected a link as a mapping with endpoints, not {describe(part)}", where=where)
            self._link(part, where)

    def lans(self, parent: Table) -> None:
        section = self.reading.table(parent, "lans", "a mapping from LAN names to members and settings")
        for name, part in section.items.items():
            lan = self.reading.read(part, partial(self._read_lan, name), section, name)
            self._add(lan, part, "members", self.reading.where(section, name))

    def _read_lan(self, name: str, value: Plain) -> DeclaredLan:
        return read_lan(name, mapping(value), self.families, self._select)

    def _named_lan(self, value: Plain) -> DeclaredLan:
        """A LAN among the links, so that the order of interfaces can be said: `{name: …, members: […]}`."""
        if value.get("name") is None:
            raise Misread("a LAN lacks its name")
        return self._read_lan(_name(value) or "", {k: v for k, v in value.items() if k != "name"})

    def _node_name(self, written: str, where: str) -> str:
        name = node_name(written) if self.translator.clab_shape else written
        if name != written:
            self.draft.warn(f"node '{written}' is called '{name}': its name must be a DNS label", where)
        return name

    def _node(self, name: str, node: Table, section: Table, written: str) -> None:
        for key in node.items:
            if key in IGNORED and not (key == "network-mode" and plain(node.items[key]) == "none"):
                self.translator.ignore(node, key, IGNORED[key])
        special = self.translator.kind_and_image(node)
        fixed: dict[str, Any] = {"routing": self.routing} if self.routing else {}
        if "kind" in special:
            fixed["kind"] = self.reading.read(node.items["kind"], NODE["kind"].read, node, "kind")
        if "image" in special:
            fixed["image"] = self._image(special["image"])
        renamed = self._renamed(node)
        given = Table(node.line, {k: v for k, v in renamed.items.items() if k not in IGNORED and k not in (*_NOT_WORDS, "kind", "image")},
                      renamed.key_lines)
        made = self.reading.read(given, lambda v: build(Node, NODE, v, "a node", name=name, **fixed), section, written)
        if bound := self.translator.volumes(written, node):
            made = made.model_copy(update={"volumes": (*made.volumes, *bound)})
        self.draft.add_node(made, self.reading.where(section, written))
        for agent, command, start_s, place in self.translator.programs(name, node):
            self.draft.add_agent(make(ProgramAgent, place, name=agent, node=name, command=command), place)
            self.draft.add_event(TimedEvent(**Event(target=agent, verb="start").model_dump(), at_s=start_s), place)

    def _renamed(self, node: Table) -> Table:
        result = Table(node.line)
        for key, part in node.items.items():
            name = RENAMED.get(key, key)
            if name in result.items:
                raise InvalidInput(f"'{key}' and '{name}' are the same setting, given twice", where=self.reading.where(node, key))
            result.put(name, node.key_lines[key], part)
        return result

    def _image(self, image: str) -> str:
        return str((self.directory / image).resolve()) if image.startswith(".") and self.directory else image

    def _link(self, part: Table, where: str) -> None:
        link = plain(part)
        if (outside := leads_outside(link, self.draft.nodes)) is not None:
            self.draft.warn(f"a link of type '{outside}' leads out of the experiment and is left out; `outside: true` gives a node a way "
                            "out", where)
            return
        if link.get("mtu") is not None:
            self.translator.ignore(part, "mtu", "interfaces keep Ethernet's 1500 bytes")
        kind = self.reading.read(part.items["type"], choice(*LINK_KINDS), part, "type") if link.get("type") is not None else "veth"
        if kind == "dummy":
            lan = self.reading.read(part, self._dummy)
            self._add(lan, part, "endpoint", where)
            return
        if "members" in link:
            lan = self.reading.read(part, self._named_lan)
            self._add(lan, part, "members", where)
            return
        lan = self.reading.read(part, lambda value: self._read_link(value, where))
        self._add(lan, part, "endpoints", where)

    def _read_link(self, value: Plain, where: str) -> DeclaredLan:
        if self.translator.clab_shape and isinstance(value.get("endpoints"), list):
            value = {**value, "endpoints": [translate_end(end, lambda text: self.draft.warn(text, where)) for end in value["endpoints"]]}
        lan = read_link("", value, self.families, also=LINK_KEYS)
        return named(lan, _name(value), self.draft.taken)

    def _dummy(self, value: Plain) -> DeclaredLan:
        if not isinstance(value.get("endpoint"), Mapping):
            raise Misread("a link of type dummy lacks its endpoint: expected {node: …, interface: …}")
        rest = {k: v for k, v in value.items() if k not in ("endpoint", "name", *LINK_KEYS)}
        end = translate_end(value["endpoint"], lambda text: self.draft.warn(text))
        name = _name(value) or f"{end.get('node')}-{end.get('interface')}"
        return named(read_lan("", {**rest, "members": [end]}, self.families, self._select), name, self.draft.taken)

    def _add(self, lan: DeclaredLan, part: Part, key: str, where: str) -> None:
        """With the line of every member, where members are written one by one."""
        members = part.items.get(key) if isinstance(part, Table) else None
        places: list[str] = []
        if isinstance(members, Items) and len(members.items) == len(lan.members):
            places = [self.reading.where(member) for member in members.items]
        elif isinstance(members, Table) and len(members.items) == len(lan.members):
            places = [self.reading.where(members, node) for node in members.items]
        self.draft.add_lan(lan, where, places)

    def _select(self, pattern: str) -> list[str]:
        return nodes_matching(self.draft.nodes, pattern)


def _name(link: Plain) -> str | None:
    return within("name", text, link["name"]) if link.get("name") is not None else None


def families_of(reading: Reading, root: Table, words: Mapping[str, tuple[Literal[4, 6], ...]]) -> tuple[Literal[4, 6], ...]:
    """The file's `addressing`; IPv4 by default."""
    if "addressing" not in root.items:
        return (4,)
    return words[reading.read(root.items["addressing"], lambda v: within("addressing", choice(*words), v), root, "addressing")]
