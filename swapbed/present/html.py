"""What objects look like in a notebook: fragments of HTML without scripts, links to other places, or outer styles."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from typing import Any

CELL = "text-align:left;padding:2px 10px 2px 0;vertical-align:top"


def heading(text: str, *, remark: str = "") -> str:
    tail = f' <span style="color:#777">{escape(remark)}</span>' if remark else ""
    return f"<div><b>{escape(text)}</b>{tail}</div>"


def table(columns: Iterable[str], rows: Iterable[Sequence[Any]], *, empty: str = "none") -> str:
    """Cells are escaped; a line break in one stays a line break."""
    head = "".join(f'<th style="{CELL}">{escape(name)}</th>' for name in columns)
    body = "".join("<tr>" + "".join(f'<td style="{CELL}">{_cell(cell)}</td>' for cell in row) + "</tr>" for row in rows)
    if not body:
        return f'<div style="color:#777">{escape(empty)}</div>'
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def folded(summary: str, content: str) -> str:
    return f"<details><summary>{escape(summary)}</summary>{content}</details>"


def output(stdout: str, stderr: str) -> str:
    """What a program said, its complaints in red."""
    block = '<pre style="margin:0;{style}">{text}</pre>'
    return "".join(block.format(style=style, text=escape(text)) for style, text in (("", stdout), ("color:#a00", stderr)) if text)


def _cell(value: Any) -> str:
    return "" if value is None else escape(str(value)).replace("\n", "<br>")
