"""A topology drawn by matplotlib, for hosts without Graphviz: positions from springs between members and LANs."""

from __future__ import annotations

import io
import math

import numpy as np
from matplotlib.figure import Figure

from models.spec import Spec
from swapbed.pictures.drawing import is_line, link_label, member_label

_ROUNDS = 150


def plot(spec: Spec, format: str) -> bytes:
    """format: svg or png."""
    names = [node.name for node in spec.nodes]
    index = {name: number for number, name in enumerate(names)}
    hubs = [lan for lan in spec.lans if not is_line(lan)]
    edges = [(index[lan.members[0].node], index[lan.members[1].node], link_label(lan)) for lan in spec.lans if is_line(lan)]
    edges += [(len(names) + number, index[m.node], member_label(m)) for number, lan in enumerate(hubs) for m in lan.members]
    at = positions(len(names) + len(hubs), [(a, b) for a, b, _ in edges])
    size = min(24.0, 3 + 1.1 * math.sqrt(len(at)))
    figure = Figure(figsize=(size * 1.3, size), layout="constrained")
    axes = figure.subplots()
    axes.set_axis_off()
    axes.set_aspect("equal")
    axes.margins(0.15)
    box = {"boxstyle": "round,pad=0.35", "edgecolor": "#5b7083"}
    for a, b, label in edges:
        axes.plot(*zip(at[a], at[b], strict=True), color="#5b7083", linewidth=1.2, zorder=1)
        if label:
            axes.annotate(label, (at[a] + at[b]) / 2, ha="center", va="center", fontsize=6, color="#37526b", zorder=2,
                          bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.6})
    for number, node in enumerate(spec.nodes):
        axes.annotate(node.name, at[number], ha="center", va="center", fontsize=9, color="#1f2a37", zorder=3,
                      bbox={**box, "facecolor": "#fdf3e3" if node.kind == "vm" else "#eef4fb"})
    for number, lan in enumerate(hubs, start=len(names)):
        axes.plot(*at[number], marker="o", color="#5b7083", markersize=5, zorder=3)
        axes.annotate(lan.name, at[number], xytext=(5, 5), textcoords="offset points", fontsize=7, color="#37526b", zorder=3)
    if len(at) == 0:
        axes.annotate("nothing", (0, 0), ha="center")
    buffer = io.BytesIO()
    figure.savefig(buffer, format=format, dpi=144)
    return buffer.getvalue()


def positions(count: int, edges: list[tuple[int, int]]) -> np.ndarray:
    """Fruchterman and Reingold's springs (1991), from a circle, so that the same topology gives the same picture."""
    angles = np.linspace(0, 2 * np.pi, count, endpoint=False)
    at = np.stack([np.cos(angles), np.sin(angles) * 0.8], axis=1) * math.sqrt(max(count, 1))
    pairs = np.array([e for e in edges if e[0] != e[1]], dtype=int).reshape(-1, 2)
    for heat in np.linspace(0.5 * math.sqrt(max(count, 1)), 0.02, _ROUNDS):
        apart = at[:, None, :] - at[None, :, :]
        distance = np.maximum(np.linalg.norm(apart, axis=2), 0.05)
        force = (apart / distance[..., None] ** 2).sum(axis=1)
        pull = at[pairs[:, 0]] - at[pairs[:, 1]]
        pull *= np.linalg.norm(pull, axis=1, keepdims=True)
        np.add.at(force, pairs[:, 0], -pull)
        np.add.at(force, pairs[:, 1], pull)
        length = np.maximum(np.linalg.norm(force, axis=1, keepdims=True), 1e-9)
        at = at + force / length * np.minimum(length, heat)
    return at
