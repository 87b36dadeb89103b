"""`swapbed.validate(…)`: a template's source that was found valid, with what it asks for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from models.spec import Spec
from swapbed.pictures.topology import Picture
from swapbed.present import html, topology
from swapbed.sources.source import evaluated

if TYPE_CHECKING:
    from swapbed.sources.source import Definition


@dataclass(frozen=True)
class Validated:
    """warnings: what has no effect here, or not the one its author may expect, each with its FILE:LINE."""

    name: str
    language: str
    spec: Spec
    warnings: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.name} is valid {self.language}: {topology.summary(self.spec)}"

    def _repr_html_(self) -> str:
        rows = [(lan.name, topology.members(lan), topology.lan_shaping(lan) or "unshaped") for lan in self.spec.lans]
        return (html.heading(self.name, remark=f"{self.language}, {topology.summary(self.spec)}") + Picture(self.spec)._repr_html_()
                + html.table(("link or LAN", "members", "asked for"), rows)
                + "".join(html.heading("warning", remark=warning) for warning in self.warnings))


def validate(definition: Definition, **parameters: Any) -> Validated:
    """Raises InvalidInput, with file and line, if it is not."""
    source, evaluation = evaluated(definition, parameters)
    return Validated(source.name, source.language, evaluation.spec, tuple(map(str, evaluation.warnings)))
