"""Adding templates to their trees, and finding them by name, number, hash or id."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from blake3 import blake3
from sqlmodel import Session, col, func, select

from models.errors import InvalidInput, NotFound
from models.names import NAME
from models.spec import Parameter, Spec
from models.tables import Project, StoredSpec, Template
from models.tables.columns import new_id, now

DIGEST_PREFIX = re.compile(r"[0-9a-f]{6,64}")


def project_named(session: Session, name: str) -> Project:
    """The project of that name, made if there is none."""
    project = session.exec(select(Project).where(Project.name == name)).first()
    if project is None:
        project = Project(name=name)
        session.add(project)
        session.flush()
    return project


def template_digest(language: str, source: str, datastore: str | None, externals: Sequence[dict[str, Any]], parent: str | None) -> str:
    """BLAKE3 of the canonical JSON of content and parent's digest. Names, numbers, times and people are not in it."""
    content = {"format": 1, "language": language, "source": source, "datastore": datastore, "externals": list(externals), "parent": parent}
    return blake3(json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()).hexdigest()


def add_template(session: Session, project: Project, *, name: str, language: str, source: str, source_name: str, created_by: str,
                 parameters: Sequence[Parameter] = (), datastore: str | None = None, externals: Sequence[dict[str, Any]] = (),
                 datastore_name: str | None = None, parent: Template | None = None, created_at: datetime | None = None,
                 imported_from: str | None = None) -> Template:
    """A child of parent, or the root of a new tree. Content that the parent, or a child of it, has already adds nothing."""
    if parent is not None and _content(parent) == (language, source, datastore, list(externals)):
        return parent
    digest = template_digest(language, source, datastore, externals, parent.digest if parent else None)
    existing = session.exec(select(Template).where(Template.project_id == project.id, Template.digest == digest)).first()
    if existing is not None:
        if existing.expunged_at is not None:  # what was deleted is made again: its tombstone comes back to life
            existing.source, existing.datastore, existing.datastore_name = source, datastore, datastore_name
            existing.externals, existing.parameters = list(externals), [p.model_dump(mode="json") for p in parameters]
            existing.expunged_at = existing.hidden_at = None
            if parent is not None and existing.parent_id is None:  # it came with a record, without its ancestors
                existing.parent_id, existing.root_id = parent.id, parent.root_id
                existing.number, existing.name = _next_number(session, parent), parent.name
        return existing
    if not NAME.fullmatch(name):
        raise InvalidInput(f"'{name}' cannot name a template (letters, digits, '_', '.', '-', at most 63)")
    identifier = new_id("t")
    template = Template(id=identifier, project_id=project.id, digest=digest, parent_id=parent.id if parent else None,
                        root_id=parent.root_id if parent else identifier, number=_next_number(session, parent) if parent else 1,
                        name=parent.name if parent else name, language=language, source=source, source_name=source_name,
                        datastore=datastore, datastore_name=datastore_name, externals=list(externals),
                        parameters=[p.model_dump(mode="json") for p in parameters], created_by=created_by, imported_from=imported_from)
    if created_at is not None:
        template.created_at = created_at
    session.add(template)
    session.flush()
    return template


def add_tombstone(session: Session, project: Project, digest: str, *, name: str, language: str, source_name: str, created_by: str,
                  imported_from: str | None = None) -> Template:
    """In the place of a template of which only this is known: the root of a tree, without content."""
    identifier = new_id("t")
    made = Template(id=identifier, project_id=project.id, digest=digest, root_id=identifier, number=1, name=name, language=language,
                    source=None, source_name=source_name, created_by=created_by, imported_from=imported_from, expunged_at=now())
    session.add(made)
    session.flush()
    return made


def commit_source(session: Session, project: Project, *, name: str, **content: Any) -> Template:
    """What `deploy FILE` means: the template of that name's tree with this content, else a new child of the tree's newest, else a new root.

    content: as for `add_template`, without parent.
    """
    newest = latest(session, project, name)
    if newest is not None:
        wanted = (content["language"], content["source"], content.get("datastore"), list(content.get("externals", ())))
        tree = select(Template).where(Template.root_id == newest.root_id, col(Template.expunged_at).is_(None))
        for template in session.exec(tree.order_by(col(Template.number).desc())):
            if _content(template) == wanted:
                return template
    return add_template(session, project, name=name, parent=newest, **content)


def latest(session: Session, project: Project, name: str) -> Template | None:
    """The newest template of the tree of that name."""
    tree = select(Template).where(Template.project_id == project.id, Template.name == name, col(Template.expunged_at).is_(None))
    return session.exec(tree.order_by(col(Template.number).desc())).first()


def find_template(session: Session, project: Project, text: str) -> Template:
    """By `name` (the newest), `name@3`, id, or a unique beginning of the hash; raises NotFound, InvalidInput if that is not unique."""
    name, sign, number = text.rpartition("@")
    mine = select(Template).where(Template.project_id == project.id)
    found: Template | None
    if sign and number.isdigit():
        found = session.exec(mine.where(Template.name == name, Template.number == int(number))).first()
    else:
        found = session.exec(mine.where(Template.id == text)).first() or latest(session, project, text)
    if found is None and DIGEST_PREFIX.fullmatch(text):
        matches = session.exec(mine.where(col(Template.digest).startswith(text)).limit(2)).all()
        if len(matches) > 1:
            raise InvalidInput("this beginning of a hash fits several templates", where=text, next="Give more of it")
        found = matches[0] if matches else None
    if found is None:
        raise NotFound("no such template", where=text, next="`swapbed template log` lists them")
    return found


def store_spec(session: Session, project_id: str, spec: Spec) -> StoredSpec:
    """The row that holds this spec, made if there is none."""
    row = session.exec(select(StoredSpec).where(StoredSpec.project_id == project_id, StoredSpec.digest == spec.digest)).first()
    if row is None:
        row = StoredSpec(project_id=project_id, digest=spec.digest, body=spec.model_dump_json(exclude_defaults=True))
        session.add(row)
        session.flush()
    elif row.body is None:  # expunged, and made again
        row.body = spec.model_dump_json(exclude_defaults=True)
        session.flush()
    return row


def load_spec(session: Session, spec_id: str) -> Spec:
    row = session.get(StoredSpec, spec_id)
    if row is None or row.body is None:
        raise NotFound("this spec was expunged" if row else "no such spec", where=spec_id)
    return Spec.model_validate_json(row.body)


def _content(template: Template) -> tuple[str, str | None, str | None, list[dict[str, Any]]]:
    return template.language, template.source, template.datastore, template.externals


def _next_number(session: Session, parent: Template) -> int:
    """The root's row is locked, so that two commits at once get two numbers."""
    session.exec(select(Template.id).where(Template.id == parent.root_id).with_for_update()).one()
    return session.exec(select(func.max(Template.number)).where(Template.root_id == parent.root_id)).one() + 1
