"""Values that agents reported (`RESULT name value`), as conditions of `swapbed search` ask for them.

They are in the rows of records since their commit: no record is read. There may be as many different ones as there are records.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from sqlalchemy import ColumnElement, String, cast, func, or_, select, true
from sqlmodel import Session, col

from models.tables import Record
from swapbed.searching.language import Condition, meeting


def runs_that_reported(session: Session, one: Condition, name: str, shown: ColumnElement[bool]) -> list[str]:
    """Ids of those with such a value, by records that are shown. A name that several agents report is that of each: `speed` is also
    `left.speed` and `right.speed`."""
    met = meeting(one)
    return [run for run, value in _reported(session, name, shown) if met(value)]


def _reported(session: Session, name: str, shown: ColumnElement[bool]) -> Iterator[tuple[str, str]]:
    """Run and value."""
    summary: Any = col(Record.summary)
    each = _each(session, summary, "results")
    of_an_agent = func.substr(each.c.key, func.length(each.c.key) - len(name)) == f".{name}"
    wanted = select(col(Record.run_id), each.c.value).select_from(_with(summary, each)).where(or_(each.c.key == name, of_an_agent), shown)
    if _is_sqlite(session):  # which keeps JSON as text: what has no such name, as most queries for a parameter, is not taken apart
        wanted = wanted.where(func.instr(cast(summary, String), json.dumps(name)[1:]) > 0)
    return ((run, text) for run, text in session.connection().execute(wanted))


def keys(session: Session, column: Any, below: str | None = None) -> list[str]:
    """All that the objects in a column have, or those at a key of theirs."""
    each = _each(session, column, below)
    return list(session.connection().execute(select(each.c.key).select_from(_with(column, each)).distinct()).scalars())


def _each(session: Session, column: Any, below: str | None) -> Any:
    """A row for each value of one object: key and value."""
    if _is_sqlite(session):
        called = func.json_each(column, f"$.{below}" if below else "$")
    else:
        called = func.jsonb_each_text(column[below] if below else column)
    return called.table_valued("key", "value")


def _is_sqlite(session: Session) -> bool:
    return session.get_bind().dialect.name == "sqlite"


def _with(column: Any, each: Any) -> Any:
    return column.table.join(each, true())
