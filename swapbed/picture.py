"""A topology as a picture: `swapbed.graph(…)` in Python, `swapbed graph` on the command line."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from models.errors import InvalidInput
from models.spec import Spec
from swapbed.drawing import FORMATS, render
from swapbed.source import evaluated

SUFFIXES = {".svg": "svg", ".png": "png", ".dot": "dot", ".gv": "dot", ".mmd": "mermaid", ".mermaid": "mermaid"}


class Picture:
    """Drawn when it is looked at."""

    def __init__(self, spec: Spec):
        self.spec = spec

    def render(self, form: str) -> bytes:
        """form: one of `swapbed.drawing.FORMATS`."""
        return render(self.spec, form)

    def save(self, path: Path | str) -> None:
        """In the form that the path's suffix names."""
        path = Path(path)
        if path.suffix not in SUFFIXES:
            raise InvalidInput(f"'{path.suffix}' names no form of picture", where=str(path), next=f"Expected one of {', '.join(SUFFIXES)}.")
        path.write_bytes(self.render(SUFFIXES[path.suffix]))

    def _repr_html_(self) -> str:
        text = self.render("svg").decode()
        return f'<div style="max-width:100%;overflow:auto">{text[text.index("<svg"):]}</div>'


def graph(source: Path | str | Spec, parameters: Mapping[str, Any] | None = None, **more: Any) -> Picture:
    """Of a template's source under parameter values, or of a spec."""
    if isinstance(source, Spec):
        return Picture(source)
    return Picture(evaluated(source, {**(parameters or {}), **more})[1].spec)


__all__ = ["FORMATS", "Picture", "graph"]
