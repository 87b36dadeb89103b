"""What metadata, hiding and deleting are about, as a person names it: `template:study@3`, `instance:net`, `run:net/2`, `record:net/2`."""

from __future__ import annotations

from dataclasses import dataclass

from sqlmodel import Session, col, select

from languages.nearest import nearest
from models.database import reading
from models.errors import InvalidInput, NotFound
from models.states import Subject
from models.tables import Instance, Project, Record, Run
from models.templates import find_template
from swapbed.lifecycle import project

KINDS = {"template": Subject.TEMPLATE, "instance": Subject.INSTANCE, "run": Subject.RUN, "record": Subject.RECORD}
PREFIXES = {"t-": "template", "i-": "instance", "r-": "run", "rec-": "record"}


@dataclass(frozen=True)
class Named:
    """label: as lists show it."""

    kind: Subject
    id: str
    label: str


def find(text: str) -> Named:
    """`KIND:NAME`, or an id alone. Instances that have ended are found, too: of the same name the living one, else the last."""
    kind, sign, name = text.partition(":")
    if not sign:
        kind, name = next((kind for prefix, kind in PREFIXES.items() if text.startswith(prefix)), ""), text
    if kind not in KINDS or not name:
        raise InvalidInput(f"'{text}' does not say what kind of thing it is", where=text,
                           next="Write template:NAME@NUMBER, instance:NAME, run:INSTANCE/NUMBER or record:INSTANCE/NUMBER, or an id")
    mine = project()
    with reading() as session:
        return {"template": _template, "instance": _instance, "run": _run, "record": _record}[kind](session, mine, name)


def _template(session: Session, mine: Project, name: str) -> Named:
    row = find_template(session, mine, name)
    return Named(Subject.TEMPLATE, row.id, f"{row.name}@{row.number}")


def _instance(session: Session, mine: Project, name: str) -> Named:
    row = _instance_row(session, mine, name)
    return Named(Subject.INSTANCE, row.id, row.name)


def _run(session: Session, mine: Project, name: str) -> Named:
    row, instance = _run_row(session, mine, name)
    return Named(Subject.RUN, row.id, f"{instance.name}/{row.number}")


def _record(session: Session, mine: Project, name: str) -> Named:
    row = session.exec(select(Record).where(Record.project_id == mine.id, Record.id == name)).first()
    if row is None:
        run, _ = _run_row(session, mine, name)
        row = session.exec(select(Record).where(Record.run_id == run.id).order_by(col(Record.revision).desc())).first()
    if row is None:
        raise NotFound("this run has no record yet", where=name, next="`swapbed record ls` lists them")
    run = session.get_one(Run, row.run_id)
    return Named(Subject.RECORD, row.id, f"{session.get_one(Instance, run.instance_id).name}/{run.number}")


def _instance_row(session: Session, mine: Project, name: str) -> Instance:
    every = select(Instance).where(Instance.project_id == mine.id, (col(Instance.name) == name) | (col(Instance.id) == name))
    row = session.exec(every.order_by(col(Instance.ended_at).is_(None).desc(), col(Instance.created_at).desc())).first()
    if row is None:
        names = session.exec(select(Instance.name).where(Instance.project_id == mine.id).distinct())
        raise NotFound("there is and was no instance of that name", where=name, next=nearest(name, names))
    return row


def _run_row(session: Session, mine: Project, name: str) -> tuple[Run, Instance]:
    """INSTANCE/NUMBER, INSTANCE for its last run, or an id."""
    by_id = session.get(Run, name)
    if by_id is not None:
        return by_id, _instance_row(session, mine, by_id.instance_id)
    base, sign, number = name.rpartition("/")
    if sign and not number.isdigit():
        raise InvalidInput(f"'{number}' is no number of a run", where=name, next="Write INSTANCE/NUMBER")
    instance = _instance_row(session, mine, base if sign else name)
    runs = select(Run).where(Run.instance_id == instance.id).order_by(col(Run.number).desc())
    row = session.exec(runs.where(Run.number == int(number)) if sign else runs).first()
    if row is None:
        raise NotFound("there is no such run", where=name, next=f"`swapbed run ls {instance.name}` lists them")
    return row, instance
