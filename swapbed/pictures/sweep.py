"""A sweep's picture: one reported value over one parameter."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import mean
from typing import Any

from swapbed.pictures.forms import form_of, write


def plot(rows: Sequence[Mapping[str, Any]], swept: Sequence[str], value: str, x: str, path: Path) -> Path:
    """Parameters that are no numbers stand in the order in which they were given. Raises InvalidInput where the path names no form of
    picture, HostProblem where it cannot be written."""
    from matplotlib.figure import Figure

    form, picture = form_of(path), io.BytesIO()

    known = [row for row in rows if isinstance(row.get(value), (int, float))]
    places = list(dict.fromkeys(row[x] for row in known))
    numeric = all(isinstance(place, (int, float)) for place in places)
    lines: dict[str, dict[Any, list[float]]] = {}
    for row in known:
        label = ", ".join(f"{name}={row[name]}" for name in swept if name != x)
        lines.setdefault(label, {}).setdefault(row[x] if numeric else places.index(row[x]), []).append(row[value])
    figure = Figure(figsize=(7, 4.5), layout="constrained")
    axes = figure.add_subplot()
    for label, at in lines.items():
        (line,) = axes.plot(list(at), [mean(values) for values in at.values()], marker="o", label=label or None)
        axes.plot([place for place, values in at.items() for _ in values], [one for values in at.values() for one in values], ".",
                  color=line.get_color(), alpha=0.4)
    if not numeric:
        axes.set_xticks(range(len(places)), [str(place) for place in places])
    axes.set_xlabel(x)
    axes.set_ylabel(value)
    axes.grid(alpha=0.3)
    if any(lines):
        axes.legend()
    figure.savefig(picture, format=form)
    write(path, picture.getvalue())
    return path
