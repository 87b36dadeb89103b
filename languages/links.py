"""Links and LANs in the words of YAML and Python: a plain mapping to a declared LAN, and its members' pipes from all that was said.

What is said of the link or LAN is what a frame meets on its whole way (`models.shaping`); `forward` and `backward` of a link
are the same for the way from its first end to its second and back. What is said of a member is its pipes' own: in both
directions, or of its `uplink` or `downlink` alone. The more specific wins, field by field.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Literal

from languages.addresses import DeclaredLan, DeclaredMember
from languages.link_words import LAN, SHAPING
from languages.nearest import nearest
from languages.words import Misread, Plain, Word, choice, mapping, read, text, texts, within
from models.shaping import Direction, pipe_value
from models.spec import Shaping

FAMILIES: dict[str, tuple[Literal[4, 6], ...]] = {"ipv4": (4,), "ipv6": (6,), "dual": (4, 6), "none": ()}
_PIPES: tuple[Direction, ...] = ("uplink", "downlink")

_END = {"node": Word("node", text), "interface": Word("interface", text), "mac": Word("mac", lambda v: text(v).lower().replace("-", ":")),
        "addresses": Word("addresses", texts, list)}
_OF_LAN = {**LAN, "network": Word("networks", texts), "addressing": Word("families", lambda v: FAMILIES[choice(*FAMILIES)(v)])}


@dataclass
class End:
    """A member as read. fields: of `DeclaredMember`. pipes: what is said of its own pipes."""

    fields: dict[str, Any]
    pipes: dict[Direction, dict[str, Any]] = field(default_factory=lambda: {"uplink": {}, "downlink": {}})


def read_end(value: Plain, node: str | None = None) -> End:
    """`NODE`, `NODE:INTERFACE`, or a mapping; node: where a mapping's key names it."""
    if not isinstance(value, Mapping):
        name, colon, interface = (text(value) if value is not None else node or "").partition(":")
        if not name or (colon and not interface):
            raise ValueError(f"'{value}' is not an end: expected NODE or NODE:INTERFACE")
        return End({"node": name, **({"interface": interface} if colon else {})})
    others = {*SHAPING, *_PIPES, "ipv4", "ipv6", "vars"}
    fields = read(_END, value, "a member", also=others)
    for family in ("ipv4", "ipv6"):
        if value.get(family):
            fields["addresses"] = (*fields.get("addresses", ()), *within(family, texts, value[family]))
    fields.setdefault("node", node)
    if not fields["node"]:
        raise Misread("a member lacks its node")
    both = read(SHAPING, {k: v for k, v in value.items() if k in SHAPING}, "a member")
    end = End(fields)
    for pipe in _PIPES:
        end.pipes[pipe] = dict(both)
        if value.get(pipe) is not None:
            end.pipes[pipe] |= within(pipe, lambda v: read(SHAPING, mapping(v), "a pipe"), value[pipe])
    return end


def read_link(name: str, given: Mapping[str, Plain], families: tuple[Literal[4, 6], ...], also: tuple[str, ...] = ()) -> DeclaredLan:
    """given: `endpoints` (two ends), shaping, `forward`, `backward`, and what a LAN has besides members."""
    fields, whole = _of_lan(given, "a link", families, {"endpoints", "name", "forward", "backward", "ipv4", "ipv6", *also})
    ends = read_ends(given)
    _endpoint_addresses(given, ends)
    for way, (first, second) in (("forward", (0, 1)), ("backward", (1, 0))):
        if given.get(way) is not None:
            shaping = within(way, lambda v: read(SHAPING, mapping(v), "a link's one way"), given[way])
            _default_pipe(ends[first], "uplink", shaping)
            _default_pipe(ends[second], "downlink", shaping)
    return DeclaredLan(name=name, kind="link", members=_members(ends, whole), **fields)


def read_ends(given: Mapping[str, Plain]) -> list[End]:
    """A link's two."""
    value = given.get("endpoints")
    if not isinstance(value, (list, tuple)) or len(value) != 2:
        count = f", not {len(value)}" if isinstance(value, (list, tuple)) else ""
        raise Misread(f"expected two endpoints{count}, as in [h1, h2] or ['h1:eth1', 'h2:eth1']",
                      *(["endpoints"] if "endpoints" in given else []))
    return within("endpoints", lambda v: [within(i, read_end, e) for i, e in enumerate(v)], value)


def read_lan(name: str, given: Mapping[str, Plain], families: tuple[Literal[4, 6], ...],
             select: Callable[[str], list[str]]) -> DeclaredLan:
    """given: `members` (a list of ends, or a mapping from nodes to what is special about them), shaping, and the rest.

    select: the nodes that a pattern such as `client-*` stands for.
    """
    fields, whole = _of_lan(given, "a LAN", families, {"members"})
    if given.get("members") is None:
        raise Misread(f"LAN '{name}' lacks its members")
    ends = within("members", partial(_lan_ends, select), given["members"])
    return DeclaredLan(name=name, kind="lan", members=_members(ends, whole), **fields)


def nodes_matching(nodes: Iterable[str], pattern: str) -> list[str]:
    """What a pattern of a member list stands for, in the nodes' order."""
    names = list(nodes)
    found = fnmatch.filter(names, pattern)
    if not found:
        raise Misread(f"no node matches '{pattern}'", next=nearest(pattern, names))
    return found


def named(lan: DeclaredLan, name: str | None, taken: Callable[[str], bool]) -> DeclaredLan:
    """With its name; a link without one is called after its ends: a-b, then a-b-2, …"""
    if name is None:
        base = "-".join(m.node for m in lan.members)[:56].strip("-.")
        name, number = base, 2
        while taken(name):
            name, number = f"{base}-{number}", number + 1
    return replace(lan, name=name)


def _lan_ends(select: Callable[[str], list[str]], value: Plain) -> list[End]:
    ends: list[End] = []
    if isinstance(value, Mapping):
        for key, special in value.items():
            nodes = within(key, select, key) if _is_pattern(key) else [key]
            ends += [within(key, partial(read_end, node=node), special) for node in nodes]
    else:
        for index, entry in enumerate(value if isinstance(value, (list, tuple)) else [value]):
            entries = within(index, select, entry) if _is_pattern(entry) else [entry]
            ends += [within(index, read_end, one) for one in entries]
    return ends


def _is_pattern(value: Plain) -> bool:
    return isinstance(value, str) and any(sign in value for sign in "*?[")


def shaping(whole: Mapping[str, Any], pipe: Direction, own: Mapping[str, Any]) -> Shaping:
    """One pipe's: its part of the whole, and what is said of it itself."""
    return Shaping(**{**{f: pipe_value(f, v, pipe) for f, v in whole.items()}, **own})


def _of_lan(given: Mapping[str, Plain], what: str, families: tuple[Literal[4, 6], ...], others: set[str]) -> tuple[dict, dict]:
    fields = {"families": families, **read(_OF_LAN, given, what, also={*SHAPING, *others})}
    return fields, read(SHAPING, {k: v for k, v in given.items() if k in SHAPING}, what)


def _endpoint_addresses(given: Mapping[str, Plain], ends: list[End]) -> None:
    """containerlab's brief form: `ipv4: [first end's, second end's]`, empty for none."""
    for family in ("ipv4", "ipv6"):
        if given.get(family) is not None:
            for end, address in zip(ends, within(family, texts, given[family]), strict=False):
                if address:
                    end.fields["addresses"] = (*end.fields.get("addresses", ()), address)


def _default_pipe(end: End, pipe: Direction, one_way: Mapping[str, Any]) -> None:
    end.pipes[pipe] = {**{f: pipe_value(f, v, pipe) for f, v in one_way.items()}, **end.pipes[pipe]}


def _members(ends: list[End], whole: Mapping[str, Any]) -> tuple[DeclaredMember, ...]:
    return tuple(DeclaredMember(**end.fields, uplink=shaping(whole, "uplink", end.pipes["uplink"]),
                                downlink=shaping(whole, "downlink", end.pipes["downlink"])) for end in ends)
