"""A topology as a picture: `swapbed.graph(…)` in Python, `swapbed graph` on the command line."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from models.errors import InvalidInput
from models.spec import Spec
from swapbed.pictures.drawing import render
from swapbed.sources.source import evaluated

if TYPE_CHECKING:
    from swapbed.sources.source import Definition

SUFFIXES = {".svg": "svg", ".png": "png", ".dot": "dot", ".gv": "dot", ".mmd": "mermaid", ".mermaid": "mermaid"}


class Picture:
    """Drawn when it is looked at."""

    def __init__(self, spec: Spec):
        self.spec = spec

    def render(self, form: str) -> bytes:
        """form: one of `swapbed.pictures.drawing.FORMATS`."""
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


def graph(definition: Definition, /, **parameters: Any) -> Picture:
    """Of a file or directory under parameter values, of a topology built here, or of a spec."""
    return Picture(evaluated(definition, parameters)[1].spec)
