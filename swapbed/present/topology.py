"""Tables of what a spec asks for: nodes, LANs with their shaping, agents."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from models.shaping import path
from models.spec import Lan, ProgramAgent, Shaping, Spec, TrafficAgent
from swapbed.present import units
from swapbed.present.output import table

if TYPE_CHECKING:
    from rich.table import Table

ROWS_LIMIT = 40


def summary(spec: Spec) -> str:
    """`6 nodes, 5 links, 5 agents, 3 events, 2 sequences`: what there is any of."""
    kinds = Counter(lan.kind for lan in spec.lans)
    parts = ((len(spec.nodes), "node", None), (kinds["link"], "link", None), (kinds["lan"], "LAN", None), (len(spec.agents), "agent", None),
             (len(spec.groups), "group", None), (len(spec.sequences), "sequence", None), (len(spec.timelines), "timeline", None),
             (len(spec.events), "event", None), (len(spec.parameters), "parameter", None))
    return ", ".join(units.count(number, noun, plural) for number, noun, plural in parts if number) or "nothing"


def shaping(shape: Shaping) -> str:
    """What it does to traffic, in a line; nothing for a pipe that lets everything through at once."""
    parts = []
    if shape.bandwidth_bps:
        parts.append(units.rate(shape.bandwidth_bps))
    if shape.delay_s:
        parts.append(units.duration(shape.delay_s))
    if shape.jitter_s:
        parts.append(f"± {units.duration(shape.jitter_s)} {shape.jitter_distribution}")
    if shape.loss:
        parts.append(f"loss {units.share(shape.loss)}")
    if shape.bandwidth_bps:
        parts.append(f"{shape.queue.discipline} {units.count(shape.queue.limit, shape.queue.unit.removesuffix('s'))}")
    return ", ".join(parts)


def lan_shaping(lan: Lan) -> str:
    """Of a link, from its first end to its second, and back if that differs; of a LAN, its members' if they are alike."""
    if lan.kind == "link":
        first, second = lan.members
        there, back = path(first.uplink, second.downlink), path(second.uplink, first.downlink)
        return shaping(there) if there == back else f"→ {shaping(there) or 'unshaped'}; ← {shaping(back) or 'unshaped'}"
    shapes = {shaping(path(m.uplink, m.downlink)) for m in lan.members}
    return shapes.pop() if len(shapes) == 1 else "differs between members"


def nodes_table(spec: Spec) -> Table:
    rows = []
    for node in spec.nodes:
        addresses = [f"{m.interface} {', '.join(m.addresses)} ({lan.name})" for lan, m in spec.memberships(node.name)]
        rows.append((node.name, node.kind, node.image, "\n".join(addresses)))
    return table("Nodes", ("node", "kind", "image", "interfaces"), rows, limit=ROWS_LIMIT)


def lans_table(spec: Spec) -> Table:
    return table("Links and LANs", ("name", "kind", "members", "asked for"),
                 [(lan.name, lan.kind, members(lan), lan_shaping(lan) or "unshaped") for lan in spec.lans], limit=ROWS_LIMIT)


def agents_table(spec: Spec) -> Table:
    return table("Agents", ("agent", "node", "does"), [(a.name, a.node, _does(a)) for a in spec.agents], limit=ROWS_LIMIT)


def parameters_table(spec: Spec) -> Table:
    return table("Parameters", ("name", "type", "value", "default", "description"),
                 [(p.name, p.type, p.value, p.default, p.description) for p in spec.parameters])


def _does(agent: ProgramAgent | TrafficAgent) -> str:
    return agent.command if isinstance(agent, ProgramAgent) else f"{agent.application} {agent.protocol} {agent.role}"


def members(lan: Lan) -> str:
    names = [m.node for m in lan.members]
    return " – ".join(names) if len(names) <= 6 else f"{', '.join(names[:3])} … {names[-1]} ({len(names)})"
