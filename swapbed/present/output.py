"""What a command says: results on stdout, as a table or as one JSON document; everything else on stderr."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterable, Sequence
from enum import StrEnum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pydantic import BaseModel
    from rich.console import RenderableType
    from rich.table import Table


class Format(StrEnum):
    TABLE = "table"
    JSON = "json"


def as_data(value: BaseModel | Sequence[Any] | dict[str, Any] | Any) -> Any:
    """Pydantic models, at any depth, as what JSON can hold."""
    if hasattr(value, "model_dump"):
        return value.model_dump(mode="json")
    if isinstance(value, dict):
        return {key: as_data(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [as_data(item) for item in value]
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value  # JSON has neither nan nor inf


def print_json(value: Any) -> None:
    json.dump(as_data(value), sys.stdout, indent=2, ensure_ascii=False)
    sys.stdout.write("\n")
    sys.stdout.flush()


def print_text(*parts: RenderableType) -> None:
    """Tables and sentences for people; as wide as the terminal, or as its longest line where there is none."""
    from rich.console import Console

    console = Console(soft_wrap=not sys.stdout.isatty(), highlight=False, width=None if sys.stdout.isatty() else 200)
    for part in parts:
        console.print(part, markup=False)


def note(sentence: str) -> None:
    """A remark that is no result: a warning, what was done, what to do next."""
    sys.stderr.write(sentence + "\n")
    sys.stderr.flush()


def table(title: str | None, columns: Iterable[str], rows: Iterable[Sequence[Any]], *, empty: str = "none",
          limit: int | None = None) -> Table:
    """Columns whose name begins with `#` are numbers, set flush right. limit: rows shown; what is left out is counted."""
    from rich import box
    from rich.markup import escape
    from rich.table import Table

    made = Table(title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, pad_edge=False, header_style="bold")
    for name in columns:
        made.add_column(name.removeprefix("#"), justify="right" if name.startswith("#") else "left", overflow="fold")
    every = list(rows)
    shown = every if limit is None or len(every) <= limit else every[:limit - 1]
    for row in shown:
        made.add_row(*("" if cell is None else escape(str(cell)) for cell in row))
    if len(shown) < len(every):
        made.add_row(f"… {len(every) - len(shown)} more", *("" for _ in made.columns[1:]))
    if not made.row_count:
        made.add_row(empty, *("" for _ in made.columns[1:]))
    return made
