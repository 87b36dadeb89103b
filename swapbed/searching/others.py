"""`swapbed search --kind template|instance`: what else than runs meets a query, by its own facts and its metadata.

The language and the way to SQL are those of `swapbed.searching.runs`.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel
from sqlalchemy import ColumnElement, and_, or_
from sqlmodel import Session, col, select

from models.database import reading
from models.errors import InvalidInput
from models.metadata import values_of
from models.states import Subject
from models.tables import Instance, Run, Template
from swapbed.lifecycle import project
from swapbed.searching.language import Condition, parse
from swapbed.searching.runs import METADATA, PARAMETER, clause, compared, fitting, having, instant, noted_so

Kind = Literal["template", "instance"]
OF_TEMPLATE: dict[str, Any] = {"template": col(Template.name), "language": col(Template.language), "by": col(Template.created_by)}
OF_INSTANCE: dict[str, Any] = {"instance": col(Instance.name), "state": col(Instance.state), "by": col(Instance.created_by),
                               "reason": col(Instance.reason)}
FACTS: dict[Kind, tuple[str, ...]] = {"template": (*OF_TEMPLATE, "created"), "instance": (*OF_INSTANCE, "created", "template")}


class FoundOther(BaseModel):
    """name: `study@3`, or an instance's. notes: its metadata."""

    kind: Kind
    id: str
    name: str
    state: str | None
    created_at: datetime
    created_by: str
    notes: dict[str, str]


def search_others(kind: Kind, query: str, *, limit: int = 100, hidden: bool = False) -> list[FoundOther]:
    """The newest first. Names in a query: the thing's own facts, else a key of its metadata (`meta.KEY` says so); of an instance
    its template's name, too, and `param.NAME`: as it was made with, or as any of its runs had it."""
    parsed = parse(query)
    table: Any = Template if kind == "template" else Instance
    mine = project()
    with reading() as session:
        wanted = select(table).where(table.project_id == mine.id, clause(parsed, lambda one: _condition(session, kind, one)))
        if kind == "template":
            wanted = wanted.where(col(Template.expunged_at).is_(None))
        if not hidden:
            wanted = wanted.where(table.hidden_at.is_(None))
        rows = session.exec(wanted.order_by(table.created_at.desc(), table.id.desc()).limit(limit)).all()
        return [_found(session, kind, row) for row in rows]


def _found(session: Session, kind: Kind, row: Any) -> FoundOther:
    subject = Subject.TEMPLATE if kind == "template" else Subject.INSTANCE
    name = f"{row.name}@{row.number}" if kind == "template" else row.name
    return FoundOther(kind=kind, id=row.id, name=name, state=None if kind == "template" else row.state, created_at=row.created_at,
                      created_by=row.created_by, notes=values_of(session, subject, row.id))


def _condition(session: Session, kind: Kind, one: Condition) -> ColumnElement[bool]:
    table: Any = Template if kind == "template" else Instance
    own = OF_TEMPLATE if kind == "template" else OF_INSTANCE
    if one.name in own:
        return fitting(session, one, own[one.name], table)
    if one.name == "created":
        return and_(table.created_at.is_not(None), compared(one, table.created_at, instant))
    if kind == "instance" and one.name == "template":
        return col(Instance.template_id).in_(select(Template.id).where(fitting(session, one, col(Template.name), Template)))
    if one.name.startswith(PARAMETER):
        if kind == "template":
            raise InvalidInput("a template's parameters have no values but defaults", where=one.name,
                               next="Search runs or instances for them")
        name = one.name.removeprefix(PARAMETER)
        had = select(Run.instance_id).where(having(session, one, col(Run.parameters), name, Run))
        return or_(having(session, one, col(Instance.parameters), name, Instance), col(Instance.id).in_(had))
    subject = Subject.TEMPLATE if kind == "template" else Subject.INSTANCE
    return noted_so(session, one, one.name.removeprefix(METADATA), {subject: table.id})
