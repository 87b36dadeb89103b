"""A spec in the words of YAML and Python, as plain values: what both writers print.

Reading it back gives the same spec, whose parameters have become plain values of their places. Addresses, interfaces and MACs
are said only of LANs where counting out anew would give others. `cannot_say` lists what has no words.
"""

from __future__ import annotations

import ipaddress
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any, Literal, TypeAlias

from languages.addresses import DeclaredLan, DeclaredMember, assign
from languages.containerlab import is_reference
from languages.event_text import write_event, write_time
from languages.link_words import LAN, SHAPING
from languages.part_words import NODE, PROGRAM, RULES, TRAFFIC, write_collect
from languages.words import Plain, write
from models.shaping import halves, path
from models.spec import Collect, Inconsistent, Lan, Member, Node, ProgramAgent, Rules, Sequence, Shaping, Spec, Timeline

_FAMILY_WORDS = {(): "none", (4,): "ipv4", (6,): "ipv6", (4, 6): "dual"}


def cannot_say(spec: Spec) -> list[str]:
    """What of this spec a written source would lose."""
    lost = [f"image '{node.image}' of '{node.name}' reads as a registry's reference" for node in spec.nodes
            if node.image != "host" and not node.image.startswith("/") and is_reference(node.image)]
    lost += [f"collect: '{glob}' of '{node}' is not absolute" for node, globs in spec.collect.paths.items() for glob in globs
             if not glob.startswith("/")]
    return lost + ["collect: 'all' cannot be a node's name"] * ("all" in spec.collect.paths)


def own_fields(spec: Spec) -> dict[str, Plain]:
    """What the spec says of itself, without parts."""
    fields: dict[str, Plain] = {"name": spec.name}
    for key in ("description", "environment", "on_start", "on_stop", "sync_server"):
        if getattr(spec, key):
            fields[key] = getattr(spec, key)
    if spec.environment_of_runs != "inherit":
        fields["environment_of_runs"] = spec.environment_of_runs
    if spec.collect != Collect():
        fields["collect"] = write_collect(spec.collect)
    if spec.rules != Rules():
        fields["rules"] = write(RULES, spec.rules)
    return fields


def parameters(spec: Spec) -> dict[str, dict[str, Plain]]:
    """Each with its type, and default and description where it has them."""
    return {p.name: {**({"default": p.default} if p.default is not None else {}), "type": p.type,
                     **({"description": p.description} if p.description else {})} for p in spec.parameters}


def node(part: Node) -> dict[str, Plain]:
    return write(NODE, part)


def agent(part: ProgramAgent | Any) -> dict[str, Plain]:
    return write(PROGRAM if isinstance(part, ProgramAgent) else TRAFFIC, part)


def sequence(part: Sequence) -> list[Plain]:
    return [write_event(step) for step in part.steps]


def timeline(part: Timeline | Spec) -> list[tuple[str, Plain]]:
    """(time, event) in order: of a named timeline, or of the run's own."""
    return [(write_time(entry), write_event(entry)) for entry in (part.entries if isinstance(part, Timeline) else part.events)]


def lans(spec: Spec) -> Iterator[tuple[Lan, dict[str, Plain]]]:
    """Every LAN and what is said of it: `endpoints` of a link, `members` of a LAN, shaping and the rest; not its name."""
    explicit = _to_be_explicit(spec)
    for lan in spec.lans:
        shaping, pipes = _link_shaping(lan) if lan.kind == "link" else _lan_shaping(lan)
        members = [_member(member, explicit[lan.name][index], own)
                   for index, (member, own) in enumerate(zip(lan.members, pipes, strict=True))]
        said: dict[str, Plain] = {"endpoints" if lan.kind == "link" else "members": members, **write(LAN, lan), **shaping}
        if _by_hand(explicit[lan.name]):
            said["addressing"] = "none"
        elif (word := _FAMILY_WORDS[_families(lan)]) != "ipv4":
            said["addressing"] = word
        yield lan, said


def _member(member: Member, explicit: set[str], pipes: Mapping[str, Plain]) -> Plain:
    identity: dict[str, Plain] = {"interface": member.interface, "mac": member.mac, "addresses": list(member.addresses)}
    said = {**{key: value for key, value in identity.items() if key in explicit}, **pipes}
    if set(said) == {"interface"}:
        return f"{member.node}:{member.interface}"
    return {"node": member.node, **said} if said else member.node


def _families(lan: Lan) -> tuple[Literal[4, 6], ...]:
    present = {ipaddress.ip_interface(a).version for m in lan.members for a in m.addresses}
    return (4, 6) if present == {4, 6} else (4,) if present == {4} else (6,) if present else ()


_Explicit: TypeAlias = dict[str, list[set[str]]]  # per LAN and member, what of interface, mac and addresses must be said


def _by_hand(members: list[set[str]]) -> bool:
    return any("addresses" in fields for fields in members)


def _to_be_explicit(spec: Spec) -> _Explicit:
    """What must be said of members for the counting out to give this spec: as little as makes each round come out right."""
    explicit: _Explicit = {lan.name: [set() for _ in lan.members] for lan in spec.lans}
    while True:
        try:
            counted = assign([_declared(lan, explicit[lan.name]) for lan in spec.lans])
        except Inconsistent:
            return {lan.name: [{"interface", "mac", "addresses"} for _ in lan.members] for lan in spec.lans}
        wrong = [field for lan, made in zip(spec.lans, counted, strict=True) for field in _correct(lan, made, explicit[lan.name])]
        if not wrong:
            return explicit


def _correct(lan: Lan, made: Lan, explicit: list[set[str]]) -> list[str]:
    """Marks what came out wrong of one LAN; a MAC only once the address it derives from is right."""
    marked = []
    if any(m.addresses != c.addresses for m, c in zip(lan.members, made.members, strict=True)):
        for fields in explicit:
            fields.add("addresses")
        marked.append("addresses")
    for member, came, fields in zip(lan.members, made.members, explicit, strict=True):
        wrong = "interface" if member.interface != came.interface else "mac" if member.mac != came.mac and not marked else None
        if wrong is not None:
            fields.add(wrong)
            marked.append(wrong)
    return marked


def _declared(lan: Lan, explicit: list[set[str]]) -> DeclaredLan:
    members = tuple(DeclaredMember(m.node, m.interface if "interface" in fields else None, m.mac if "mac" in fields else None,
                                   m.addresses if "addresses" in fields else ()) for m, fields in zip(lan.members, explicit, strict=True))
    return DeclaredLan(lan.name, members, kind=lan.kind, mask=lan.mask, families=() if _by_hand(explicit) else _families(lan))


def _link_shaping(lan: Lan) -> tuple[dict[str, Plain], list[dict[str, Plain]]]:
    """As a whole if that says it all, then as two ways, then pipe by pipe."""
    first, second = lan.members
    ways = {"forward": (first.uplink, second.downlink), "backward": (second.uplink, first.downlink)}
    wholes = {way: path(*pipes) for way, pipes in ways.items()}
    if any(halves(wholes[way]) != pipes for way, pipes in ways.items()):
        return {}, [_pipes(member, Shaping(), Shaping()) for member in lan.members]
    if wholes["forward"] == wholes["backward"]:
        return _difference(wholes["forward"], Shaping()), [{}, {}]
    return {way: said for way, whole in wholes.items() if (said := _difference(whole, Shaping()))}, [{}, {}]


def _lan_shaping(lan: Lan) -> tuple[dict[str, Plain], list[dict[str, Plain]]]:
    """The most common pair of pipes as the LAN's own, the others as what differs from it."""
    pairs = [(m.uplink, m.downlink) for m in lan.members]
    counts = Counter(up.model_dump_json() + down.model_dump_json() for up, down in pairs)
    up, down = max(pairs, key=lambda pair: counts[pair[0].model_dump_json() + pair[1].model_dump_json()])
    whole = path(up, down)
    if halves(whole) != (up, down):
        return {}, [_pipes(member, Shaping(), Shaping()) for member in lan.members]
    return _difference(whole, Shaping()), [_pipes(member, up, down) for member in lan.members]


def _pipes(member: Member, up: Shaping, down: Shaping) -> dict[str, Plain]:
    """What the member's pipes have that the given ones do not."""
    ups, downs = _difference(member.uplink, up), _difference(member.downlink, down)
    if ups == downs:
        return ups
    return {**({"uplink": ups} if ups else {}), **({"downlink": downs} if downs else {})}


def _difference(shaping: Shaping, base: Shaping) -> dict[str, Plain]:
    return {key: word.write(getattr(shaping, word.field)) for key, word in SHAPING.items()
            if getattr(shaping, word.field) != getattr(base, word.field)}
