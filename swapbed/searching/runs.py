"""`swapbed search`: runs, with their records, that meet a query. The conditions become SQL.

Parameters and metadata are stored as text with units, and few distinct values among many runs: those are compared here, and the
database is asked for runs that have one of the values that fit.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from pydantic import BaseModel
from sqlalchemy import ColumnElement, String, and_, bindparam, cast, false, not_, or_, true
from sqlmodel import Session, col, select

from models.database import reading
from models.errors import InvalidInput
from models.states import Subject
from models.tables import Instance, Metadata, Record, Run, Template
from swapbed.lifecycle import project
from swapbed.searching.language import All, Any_, Condition, Not, Query, meets, parse, quantity
from swapbed.searching.reported import runs_that_reported

TEXTS: dict[str, tuple[Any, type]] = {
    "instance": (col(Instance.name), Instance), "template": (col(Template.name), Template), "state": (col(Run.state), Run),
    "outcome": (col(Run.outcome), Run), "origin": (col(Run.origin), Run), "by": (col(Run.created_by), Run),
    "reason": (col(Run.reason), Run)}
TIMES: dict[str, Any] = {"began": col(Run.began_at), "ended": col(Run.ended_at)}
FACTS_OF_RUN = (*TEXTS, *TIMES, "run", "lasted")
OPERATORS: dict[str, Any] = {"=": operator.eq, "!=": operator.ne, "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge}
LASTED_LIMIT_NS = 2.0**62  # what a column of integers can be compared with
PARAMETER, RESULT, METADATA = "param.", "result.", "meta."


class Found(BaseModel):
    """record: its id, of the newest revision that is not expunged. results: what agents reported. Times are UTC."""

    run_id: str
    instance: str
    run: int
    template: str
    state: str
    outcome: str | None
    parameters: dict[str, str]
    results: dict[str, str]
    began_at: datetime | None
    ended_at: datetime | None
    record: str | None


def search(query: str, *, limit: int = 100, hidden: bool = False) -> list[Found]:
    """The newest runs first. A name is one of the run's own facts, or a parameter's, or a reported value's, or a key's of the metadata of
    the run, its record, instance or template; `param.NAME`, `result.NAME` and `meta.KEY` say which. hidden: runs and records, too."""
    parsed = parse(query)
    mine = project()
    with reading() as session:
        wanted = (select(Run, Instance.name, Template.name, Template.number)
                  .join(Instance, col(Run.instance_id) == Instance.id).join(Template, col(Run.template_id) == Template.id)
                  .where(Instance.project_id == mine.id, col(Run.expunged_at).is_(None),
                         clause(parsed, lambda one: _condition(session, one, hidden))))
        if not hidden:
            wanted = wanted.where(col(Run.hidden_at).is_(None))
        rows = session.exec(wanted.order_by(col(Run.created_at).desc()).limit(limit)).all()
        records = _records(session, [run.id for run, *_ in rows], hidden)
        return [_found(run, instance, f"{template}@{number}", records.get(run.id)) for run, instance, template, number in rows]


def _found(run: Run, instance: str, template: str, record: Record | None) -> Found:
    return Found(run_id=run.id, instance=instance, run=run.number, template=template, state=run.state, outcome=run.outcome,
                 parameters=run.parameters, results=record.summary.get("results", {}) if record else {}, began_at=run.began_at,
                 ended_at=run.ended_at, record=record.id if record else None)


def _records(session: Session, runs: list[str], hidden: bool) -> dict[str, Record]:
    """By run."""
    mine = select(Record).where(col(Record.run_id).in_(runs), _shown(hidden))
    best_last = mine.order_by(col(Record.expunged_at).is_(None), col(Record.revision))
    return {record.run_id: record for record in session.exec(best_last)}


def _shown(hidden: bool) -> ColumnElement[bool]:
    """Whether a record is."""
    return true() if hidden else col(Record.hidden_at).is_(None)


def clause(query: Query, condition: Callable[[Condition], ColumnElement[bool]]) -> ColumnElement[bool]:
    """The query as SQL. condition: of one of its conditions; never NULL, so that `not` means what it says."""
    match query:
        case Not(part):
            return not_(clause(part, condition))
        case All(parts):
            return and_(*(clause(part, condition) for part in parts))
        case Any_(parts):
            return or_(*(clause(part, condition) for part in parts))
        case _:
            return condition(query)


def _condition(session: Session, one: Condition, hidden: bool) -> ColumnElement[bool]:
    if one.name in TEXTS:
        return fitting(session, one, *TEXTS[one.name])
    if one.name in TIMES:
        return and_(TIMES[one.name].is_not(None), compared(one, TIMES[one.name], instant))
    if one.name == "run":
        return compared(one, col(Run.number), lambda text: _number(one, text))
    if one.name == "lasted":
        lasted = col(Run.end_ns) - col(Run.begin_ns)
        return and_(col(Run.end_ns).is_not(None), col(Run.begin_ns).is_not(None),
                    compared(one, lasted, lambda text: round(max(-LASTED_LIMIT_NS, min(LASTED_LIMIT_NS, _number(one, text) * 1e9)))))
    if one.name.startswith(PARAMETER):
        return _parameter(session, one, one.name.removeprefix(PARAMETER))
    if one.name.startswith(RESULT):
        return _result(session, one, one.name.removeprefix(RESULT), hidden)
    if one.name.startswith(METADATA):
        return _metadata(session, one, one.name.removeprefix(METADATA), hidden)
    return or_(_parameter(session, one, one.name), _result(session, one, one.name, hidden), _metadata(session, one, one.name, hidden))


def _result(session: Session, one: Condition, name: str, hidden: bool) -> ColumnElement[bool]:
    return _one_of(col(Run.id), runs_that_reported(session, one, name, _shown(hidden)))


def _parameter(session: Session, one: Condition, name: str) -> ColumnElement[bool]:
    return having(session, one, col(Run.parameters), name, Run)


def having(session: Session, one: Condition, column: Any, name: str, table: type) -> ColumnElement[bool]:
    """Of a column of JSON objects: those whose value of that name meets the condition."""
    return false() if '"' in name else fitting(session, one, column[name].as_string(), table)  # SQLite's paths have no such names


def fitting(session: Session, one: Condition, column: Any, table: type) -> ColumnElement[bool]:
    """Of a column of text: those of its values that meet the condition."""
    text = cast(column, String)
    values = session.connection().execute(select(text).select_from(table).distinct()).scalars()
    return and_(text.is_not(None), _one_of(text, [value for value in values if value is not None and meets(one, value)]))


def _metadata(session: Session, one: Condition, key: str, hidden: bool) -> ColumnElement[bool]:
    """Of a run: noted so itself, or its record, instance or template."""
    found = noted_so(session, one, key, {Subject.RUN: col(Run.id), Subject.INSTANCE: col(Run.instance_id),
                                         Subject.TEMPLATE: col(Run.template_id)})
    records = select(Record.run_id).where(noted_so(session, one, key, {Subject.RECORD: col(Record.id)}), _shown(hidden))
    return or_(found, col(Run.id).in_(records))


def noted_so(session: Session, one: Condition, key: str, ids: Mapping[Subject, Any]) -> ColumnElement[bool]:
    """Whether one of the things has a value of that key that fits. ids: kind of thing → column with its id."""
    values = [value for value in session.exec(select(Metadata.value).where(Metadata.key == key).distinct()) if meets(one, value)]
    if not values:
        return false()
    noted = select(Metadata.subject_id).where(Metadata.key == key, _one_of(col(Metadata.value), values))
    return or_(*(column.in_(noted.where(Metadata.subject == kind)) for kind, column in ids.items()))


def _one_of(column: Any, values: list[str]) -> ColumnElement[bool]:
    """Written into the statement: there may be more of them than a statement may have parameters."""
    if not values:
        return false()
    return column.in_(bindparam(None, values, expanding=True, literal_execute=True, unique=True, type_=String()))


def compared(one: Condition, column: Any, read: Callable[[str], Any]) -> ColumnElement[bool]:
    if one.operator == "~":
        raise InvalidInput(f"'{one.name}' is no text: it cannot be asked what it contains", where="~", next="Use = != < <= > >=")
    clause: ColumnElement[bool] = OPERATORS[one.operator](column, read(one.value))
    return clause


def _number(one: Condition, text: str) -> float:
    found = quantity(text)
    if found is None or found[0] not in (("", "s") if one.name == "lasted" else ("",)):
        raise InvalidInput(f"'{text}' is no value for '{one.name}'", where=text,
                           next="Write a time, as in 10s" if one.name == "lasted" else "Write a number")
    return found[1]


def instant(text: str) -> datetime:
    try:
        read = datetime.fromisoformat(text)
        return read.astimezone(UTC) if read.tzinfo else read.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        raise InvalidInput(f"'{text}' is no date or time", where=text, next="Write 2026-11-30, or '2026-11-30 14:05' (UTC)") from None
