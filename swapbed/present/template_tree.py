"""Templates as the trees they form. What is hidden or expunged stays as a tombstone wherever something visible hangs on it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

from pydantic import BaseModel

from models.tables import Template
from swapbed.present import html


class LogEntry(BaseModel):
    """depth: generations below the root. tombstone: hidden or expunged; nothing of such a template is shown but its place."""

    id: str
    digest: str
    name: str
    number: int
    parent_id: str | None
    depth: int
    branch: str
    tombstone: str | None
    created_at: datetime
    created_by: str

    @property
    def label(self) -> str:
        return f"{self.name}@{self.number}"


class Log(list[LogEntry]):
    """In the order of the drawing: a child directly below its parent."""

    @staticmethod
    def of(templates: Sequence[Template], *, hidden: bool = False) -> Log:
        """templates: whole trees."""
        children: dict[str | None, list[Template]] = {}
        for template in templates:
            children.setdefault(template.parent_id, []).append(template)
        visible = {template.id for template in templates
                   if template.expunged_at is None and (hidden or template.hidden_at is None)}
        for template in sorted(templates, key=lambda one: one.number, reverse=True):  # a child's number is above its parent's
            if template.id in visible and template.parent_id:
                visible.add(template.parent_id)
        return Log(_drawn(children, visible))

    def text(self, limit: int | None = None) -> str:
        """limit: lines."""
        return "".join(f"{entry.branch}{entry.label}  {_remark(entry)}\n" for entry in self[:limit]) or "no templates yet\n"

    def data(self) -> list[dict[str, Any]]:
        return [entry.model_dump(mode="json", exclude={"branch"}) for entry in self]

    def _repr_html_(self) -> str:
        return html.output(self.text(), "")


def _drawn(children: dict[str | None, list[Template]], visible: set[str]) -> Iterator[LogEntry]:
    """Without recursion: a study's chain of templates may be long."""
    ahead: list[tuple[Template, str, str, int]] = [(root, "", "", 0) for root in reversed(children.get(None, ())) if root.id in visible]
    while ahead:
        template, branch, indent, depth = ahead.pop()
        yield _entry(template, branch, depth)
        below = [child for child in children.get(template.id, ()) if child.id in visible]
        if len(below) == 1 and depth:  # a chain goes straight down, or a long study would leave the screen
            ahead.append((below[0], f"{indent}└─", indent, depth + 1))
            continue
        for child in reversed(below):
            last = child is below[-1]
            ahead.append((child, f"{indent}{'└─' if last else '├─'}", f"{indent}{'  ' if last else '│ '}", depth + 1))


def _entry(template: Template, branch: str, depth: int) -> LogEntry:
    tombstone = "expunged" if template.expunged_at else "hidden" if template.hidden_at else None
    return LogEntry(id=template.id, digest=template.digest, name=template.name, number=template.number, parent_id=template.parent_id,
                    depth=depth, branch=branch, tombstone=tombstone, created_at=template.created_at, created_by=template.created_by)


def _remark(entry: LogEntry) -> str:
    if entry.tombstone:
        return f"({entry.tombstone})"
    return f"{entry.digest[:12]}  {entry.created_at:%Y-%m-%d %H:%M}  {entry.created_by}"
