"""Pictures of a topology: DOT and Mermaid as text, SVG and PNG drawn by Graphviz or, where that is missing, matplotlib.

Nodes are boxes (VMs with a double border), links are lines with what they do to traffic, LANs are small dots with lines to
their members. Only what shapes traffic is on a line, so that an unshaped topology stays a clean picture.
"""

from __future__ import annotations

import html
import re
import shutil
import subprocess

from models.errors import HostProblem, InvalidInput
from models.shaping import path
from models.spec import Lan, Member, Node, Shaping, Spec
from swapbed.present import units

FORMATS = ("dot", "mermaid", "svg", "png")
_DRAW_TIMEOUT_S = 120
_LARGE = 60  # nodes and LANs; from here on sfdp's layout is better, and finishes
_CROWD = 8  # members; from here on the lines would cover what stands beside a point
_LAYOUTS = {"tree": 'layout=dot; rankdir=LR; ranksep=0.35; nodesep=0.18;',
            "mesh": 'layout=neato; mode=KK; overlap=prism; overlap_scaling=-3; splines=true; sep="+8";',
            "large": 'layout=sfdp; overlap=prism; splines=line; sep="+4";'}
_INK, _FILL, _VM_FILL, _LINE, _NOTE = "#1f2a37", "#eef4fb", "#fdf3e3", "#5b7083", "#37526b"


def render(spec: Spec, format: str) -> bytes:
    """The picture in one of FORMATS; text formats in UTF-8."""
    if format == "dot":
        return dot(spec).encode()
    if format == "mermaid":
        return mermaid(spec).encode()
    if format not in FORMATS:
        raise InvalidInput(f"unknown picture format '{format}'", next=f"Expected one of {', '.join(FORMATS)}.")
    if shutil.which("dot") is None:
        from swapbed.pictures.drawing_plot import plot

        return plot(spec, format)
    return _graphviz(spec, format)


def dot(spec: Spec) -> str:
    """A Graphviz source that any of its layouts draws decently; it names the one that suits."""
    layout = _layout(spec)
    lines = ["graph topology {", f"  {_LAYOUTS[layout]}",
             f'  outputorder=edgesfirst; bgcolor=white; pad=0.25; fontname="Helvetica"; fontcolor="{_INK}"; start=1;',
             f'  node [shape=box style="rounded,filled" fontname="Helvetica" fontsize=12 color="{_LINE}" fillcolor="{_FILL}" '
             f'fontcolor="{_INK}" height=0.34 width=0.5 margin="0.10,0.04"];',
             f'  edge [fontname="Helvetica" fontsize=9 color="{_LINE}" fontcolor="{_NOTE}" penwidth={0.7 if layout == "large" else 1.3}];']
    lines += [f"  {_quoted('n:' + node.name)} [{_node_style(node)}];" for node in spec.nodes]
    for lan in spec.lans:
        lines += _dot_link(lan) if is_line(lan) else _dot_lan(lan)
    return "\n".join([*lines, "}"]) + "\n"


def mermaid(spec: Spec) -> str:
    """A Mermaid flowchart, as Markdown viewers draw it."""
    ids = {node.name: f"n{index}" for index, node in enumerate(spec.nodes)}
    lines = ["graph LR"]
    for node in spec.nodes:
        opening, closing = ("[[", "]]") if node.kind == "vm" else ("(", ")")
        lines.append(f"  {ids[node.name]}{opening}{_mermaid_text(node.name)}{closing}")
    for index, lan in enumerate(spec.lans):
        if is_line(lan):
            a, b = lan.members
            label = link_label(lan)
            lines.append(f"  {ids[a.node]} ---{f'|{_mermaid_text(label)}|' if label else ''} {ids[b.node]}")
        else:
            lines.append(f"  l{index}(({_mermaid_text(lan.name)}))")
            for member in lan.members:
                label = member_label(member)
                lines.append(f"  {ids[member.node]} ---{f'|{_mermaid_text(label)}|' if label else ''} l{index}")
    return "\n".join(lines) + "\n"


def link_label(lan: Lan) -> str:
    """What its one way does to traffic, and the other if that differs."""
    first, second = lan.members
    there, back = shaping_label(path(first.uplink, second.downlink)), shaping_label(path(second.uplink, first.downlink))
    return there if there == back else "\n".join((f"{first.node} → {there or 'unshaped'}", f"{second.node} → {back or 'unshaped'}"))


def member_label(member: Member) -> str:
    """What a LAN member's own two pipes do, each by itself if they differ."""
    up, down = shaping_label(member.uplink), shaping_label(member.downlink)
    return up if up == down else "\n".join(f"{arrow} {label}" for arrow, label in (("↑", up), ("↓", down)) if label)


def shaping_label(shape: Shaping) -> str:
    """`10 Mbit/s  20 ms  1 %`; empty for a pipe that lets everything through."""
    parts = []
    if shape.bandwidth_bps:
        parts.append(units.rate(shape.bandwidth_bps))
    if shape.delay_s:
        parts.append(units.duration(shape.delay_s) + (f" ± {units.duration(shape.jitter_s)}" if shape.jitter_s else ""))
    elif shape.jitter_s:
        parts.append(f"± {units.duration(shape.jitter_s)}")
    if shape.loss:
        parts.append(units.share(shape.loss))
    return "  ".join(parts)


def _layout(spec: Spec) -> str:
    """Trees read best from left to right; nodes and LANs are a forest when joining members never closes a circle."""
    if len(spec.nodes) + len(spec.lans) > _LARGE:
        return "large"
    root = {f"n:{node.name}": f"n:{node.name}" for node in spec.nodes} | {f"l:{lan.name}": f"l:{lan.name}" for lan in spec.lans}

    def find(part: str) -> str:
        while root[part] != part:
            part = root[part]
        return part

    for lan in spec.lans:
        for member in lan.members:
            one, other = find(f"l:{lan.name}"), find(f"n:{member.node}")
            if one == other:
                return "mesh"
            root[one] = other
    return "tree"


def is_line(lan: Lan) -> bool:
    """Drawn as one line, not as a dot with lines to its members."""
    return len(lan.members) == 2 and lan.kind == "link"


def _node_style(node: Node) -> str:
    label = html.escape(node.name)
    if node.image != "host":
        label += f'<br/><font point-size="8" color="{_NOTE}">{html.escape(node.image.rsplit("/", 1)[-1][:30])}</font>'
    return f"label=<{label}>" + (f' peripheries=2 fillcolor="{_VM_FILL}"' if node.kind == "vm" else "")


def _dot_link(lan: Lan) -> list[str]:
    first, second = (_quoted("n:" + member.node) for member in lan.members)
    label = link_label(lan)
    if not label:
        return [f"  {first} -- {second};"]
    middle = _quoted("l:" + lan.name)
    return [f"  {middle} [{_label(label)}];", f"  {first} -- {middle} -- {second} [len=0.8];"]


def _dot_lan(lan: Lan) -> list[str]:
    center = _quoted("l:" + lan.name)
    labels = {member_label(m) for m in lan.members}
    common = labels.pop() if len(labels) == 1 else ""
    caption = html.escape(lan.name) + (f'<br/><font point-size="8">{html.escape(_whole(lan))}</font>' if common else "")
    text = f'<font point-size="10" color="{_NOTE}">{caption}</font>'
    point = f'shape=point width=0.12 height=0.12 fillcolor="{_LINE}" xlabel=<{text}>'
    lines = [f"  {center} [{point if len(lan.members) <= _CROWD else f'shape=ellipse style=filled fillcolor=white label=<{text}>'}];"]
    for number, member in enumerate(lan.members):
        node, label = _quoted("n:" + member.node), "" if common else member_label(member)
        if label:
            middle = _quoted(f"m:{number}:{lan.name}")
            lines += [f"  {middle} [{_label(label)}];", f"  {center} -- {middle} -- {node} [len=0.7];"]
        else:
            lines.append(f"  {center} -- {node} [len=1.1];")
    return lines


def _whole(lan: Lan) -> str:
    """Of a LAN whose members are alike: what a frame meets from any to any."""
    member = lan.members[0]
    return shaping_label(path(member.uplink, member.downlink))


def _label(text: str) -> str:
    """A part of the picture in its own right, in the middle of the line it belongs to, so that the layout keeps room for it."""
    rows = "<br/>".join(html.escape(row) for row in text.split("\n"))
    return f'shape=plain style=filled fillcolor=white fontsize=9 fontcolor="{_NOTE}" label=<{rows}>'


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _mermaid_text(text: str) -> str:
    shown = re.sub(r"[\"#]", lambda m: {'"': "#quot;", "#": "#35;"}[m[0]], text).replace("\n", "<br/>")
    return f'"{shown}"'


def _graphviz(spec: Spec, format: str) -> bytes:
    try:
        done = subprocess.run(["dot", f"-T{format}", "-Gdpi=144" if format == "png" else "-Gdpi=72"], input=dot(spec).encode(),
                              capture_output=True, timeout=_DRAW_TIMEOUT_S, check=False)
    except subprocess.TimeoutExpired:
        raise HostProblem(f"Graphviz did not finish the picture within {_DRAW_TIMEOUT_S} s", next="Draw it as dot or mermaid.") from None
    if done.returncode != 0 or not done.stdout:
        message = done.stderr.decode(errors="replace").strip().splitlines()
        raise HostProblem(f"Graphviz failed: {message[-1] if message else f'exit code {done.returncode}'}")
    return done.stdout
