"""How template, instances, runs and records hang together, in Prefect's pages: one page for each tree of templates, linked from all.

Names, hashes and ids only: what is expunged must not live on in Prefect's database.
"""

from __future__ import annotations

import re
from base64 import b64encode

from prefect.artifacts import create_image_artifact, create_markdown_artifact
from sqlmodel import Session, col, select

from models.database import reading
from models.tables import Instance, Record, Run, Template

INSTANCES_LIMIT, RUNS_LIMIT = 30, 20  # the newest of each


def key_of(kind: str, name: str) -> str:
    """As Prefect wants artifacts' keys: lower case, digits, dashes."""
    return f"{kind}-{re.sub('[^a-z0-9]+', '-', name.lower()).strip('-')}"


def link(text: str, kind: str, name: str) -> str:
    """In Markdown; to an artifact's page, wherever the pages are served from."""
    return f"[{text}](/artifacts/key/{key_of(kind, name)})"


def publish_study(instance_id: str) -> None:
    """The page of the tree that the instance's template is in."""
    with reading() as session:
        template = session.get_one(Template, session.get_one(Instance, instance_id).template_id)
        text = study(session, template)
    create_markdown_artifact(text, key=key_of("template", template.name), description=f"Templates {template.name}, and what came of them")


def study(session: Session, template: Template) -> str:
    tree = list(session.exec(select(Template).where(Template.root_id == template.root_id).order_by(col(Template.number))))
    lines = [f"# {template.name}", ""]
    for one in tree:
        parent = next((f", child of {template.name}@{other.number}" for other in tree if other.id == one.parent_id), "")
        lines.append(f"- **{one.name}@{one.number}** `{one.digest[:12]}`{parent}")
    lines += ["", "| instance | template | run | outcome | record | replay of |", "| --- | --- | --- | --- | --- | --- |"]
    numbers = {one.id: one.number for one in tree}
    newest = select(Instance).where(col(Instance.template_id).in_(numbers)).order_by(col(Instance.created_at).desc()).limit(INSTANCES_LIMIT)
    for instance in session.exec(newest):
        lines += _rows(session, instance, f"{template.name}@{numbers[instance.template_id]}")
    return "\n".join(lines)


def _rows(session: Session, instance: Instance, template: str) -> list[str]:
    replayed = _record_name(session, instance.replay_of_id)
    start = f"| {link(instance.name, 'topology', instance.name)} | {template} |"
    rows = []
    for run in session.exec(select(Run).where(Run.instance_id == instance.id).order_by(col(Run.number).desc()).limit(RUNS_LIMIT)):
        record = session.exec(select(Record).where(Record.run_id == run.id).order_by(col(Record.revision).desc())).first()
        shown = link(record.id, "record", instance.name) if record is not None and record.root else "–"
        rows.append(f"{start} {run.number} | {run.outcome or run.state} | {shown} | {replayed} |")
    return rows or [f"{start} – | – | – | {replayed} |"]


def _record_name(session: Session, record_id: str | None) -> str:
    record = session.get(Record, record_id) if record_id else None
    if record is None:
        return ""
    run = session.get_one(Run, record.run_id)
    name = session.get_one(Instance, run.instance_id).name
    return link(f"{name}/{run.number}", "record", name)


def publish_plot(instance: str, run: int, png: bytes) -> None:
    """What `record plot` draws; inside the page, for it is served from nowhere else."""
    create_image_artifact(f"data:image/png;base64,{b64encode(png).decode()}", key=key_of("results", instance),
                          description=f"Results of run {run} of {instance}")
