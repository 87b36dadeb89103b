"""The verbs on templates. Command line and `swapbed.templates` are the same functions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy.orm import load_only
from sqlmodel import Session, col, func, select

from languages.evaluate import Evaluation, Source
from models.database import reading, writing
from models.errors import Conflict, InvalidInput, NotFound
from models.tables import Project, Template
from models.templates import add_template, find_template
from storage.store import Store
from swapbed.lifecycle import project, template_name
from swapbed.present.template_tree import Log
from swapbed.present.templates import ShownTemplate, shown
from swapbed.privilege import user
from swapbed.sources.checkout import Checkout, find_checkout, write_checkout
from swapbed.sources.external_files import without
from swapbed.sources.source import evaluated
from swapbed.sources.template_content import Content, datastore_of, stored_content
from swapbed.template_difference import TemplateDifference, difference

if TYPE_CHECKING:
    from swapbed.sources.source import Definition


@dataclass(frozen=True)
class Committed:
    """new: whether there was no such template before."""

    template: Template
    new: bool

    def _repr_html_(self) -> str:
        """The tree that it is in."""
        return log(self.template.id)._repr_html_()


def create(definition: Definition, *, name: str | None = None, datastore: Path | str | None = None,
           parameters: Mapping[str, Any] | None = None) -> Committed:
    """The root of a new tree, from a file, a directory, or a topology built in Python.

    datastore: a directory of files, where the source names none (the default: `datastore` beside the source). parameters: values for
    those without a default, to check the source with; they do not become part of the template.
    """
    source, evaluation = evaluated(definition, parameters)
    mine = project()
    content = stored_content(mine, source, evaluation, Path(datastore) if datastore else datastore_of(source, evaluation))
    chosen = name or template_name(source)
    with writing() as session:
        taken = session.exec(select(Template).where(Template.project_id == mine.id, Template.name == chosen,
                                                    col(Template.parent_id).is_(None), col(Template.expunged_at).is_(None))).first()
        before = _count(session, mine)
        if taken is not None and not _same(taken, content):
            raise Conflict(f"there is a tree of templates named '{chosen}'", where=source.name,
                           next=f"Give another --name, or make a child: `swapbed template checkout {chosen} DIRECTORY`, edit, commit")
        template = add_template(session, mine, name=chosen, created_by=user(), **content.fields())
        return Committed(template, _count(session, mine) > before)


def checkout(template: str, directory: Path | str | None = None) -> tuple[Path, Template]:
    """Source and datastore of a template into a new or empty directory (default: its name), to be edited and committed from there."""
    row = find(template)
    if row.source is None:
        raise NotFound("this template was expunged", where=template)
    target = Path(directory or row.name)
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise Conflict("this is not an empty directory", where=str(target), next="Name one that is not there yet")
    inside = target / (row.datastore_name or "") if row.datastore_name else None
    if row.datastore is not None and inside is not None:
        Store.of().restore_tree(row.datastore, inside)
        without(inside, row.externals)
    target.mkdir(parents=True, exist_ok=True)
    (target / row.source_name).write_text(row.source)
    write_checkout(target, Checkout(project=project().name, template=row.digest, name=row.name, source_name=row.source_name,
                                    datastore=row.datastore_name))
    return target, row


def commit(directory: Path | str = ".", *, parameters: Mapping[str, Any] | None = None, refetch: bool = False) -> Committed:
    """The child of what was checked out there, with the files as they are now. An unchanged tree makes no new template.

    refetch: files from elsewhere anew, also where the source names the same place and revision as the parent's.
    """
    place, marked = find_checkout(Path(directory))
    mine = project()
    if marked.project != mine.name:
        raise InvalidInput(f"this is a checkout from the project '{marked.project}', not from '{mine.name}'", where=str(place),
                           next=f"Set SWAPBED_PROJECT={marked.project}")
    source, evaluation = evaluated(place / marked.source_name, parameters)
    with reading() as session:
        parent = session.exec(select(Template).where(Template.project_id == mine.id, Template.digest == marked.template)).first()
    if parent is None:
        raise NotFound(f"the template that was checked out here ({marked.name} {marked.template[:12]}) is not in this project",
                       where=str(place), next="`swapbed template import` brings it, `swapbed template create` begins a new tree")
    content = stored_content(mine, source, evaluation, _files_of(place, marked, source, evaluation), None if refetch else parent)
    with writing() as session:
        parent = session.get_one(Template, parent.id)
        before = _count(session, mine)
        template = add_template(session, mine, name=parent.name, parent=parent, created_by=user(), **content.fields())
        new = _count(session, mine) > before
    write_checkout(place, marked.model_copy(update={"template": template.digest, "datastore": template.datastore_name}))
    return Committed(template, new)


def find(template: str) -> Template:
    """By `name` (the newest), `name@3`, id, or a unique beginning of the hash."""
    mine = project()
    with reading() as session:
        return find_template(session, mine, template)


def show(template: str) -> ShownTemplate:
    row = find(template)
    with reading() as session:
        parent = session.get(Template, row.parent_id) if row.parent_id else None
    return shown(row, parent, Store.of(project().name))


DRAWN: Any = (Template.id, Template.digest, Template.name, Template.number, Template.parent_id, Template.root_id, Template.created_at,
              Template.created_by, Template.hidden_at, Template.expunged_at)


def log(template: str | None = None, *, hidden: bool = False) -> Log:
    """All trees, or the whole tree that the template is in; hidden ones only where others hang on them, unless asked for."""
    mine = project()
    chosen = select(Template).where(Template.project_id == mine.id).options(load_only(*DRAWN))  # sources of ten thousand are much
    if template is not None:
        chosen = chosen.where(Template.root_id == find(template).root_id)
    with reading() as session:
        return Log.of(list(session.exec(chosen.order_by(Template.name, Template.root_id, col(Template.number)))), hidden=hidden)


def diff(before: str, after: str) -> TemplateDifference:
    """How two templates, not necessarily of one tree, differ: source, parameters, files."""
    return difference(Store.of(project().name), find(before), find(after))


def _files_of(place: Path, marked: Checkout, source: Source, evaluation: Evaluation) -> Path | None:
    """The checkout's own files, also where the source names the directory that they came from first."""
    named = datastore_of(source, evaluation)
    if named is not None and named.resolve().is_relative_to(place):
        return named
    own = place / marked.datastore if marked.datastore else None
    return own if own is not None and own.is_dir() else None


def _count(session: Session, mine: Project) -> int:
    return session.exec(select(func.count()).select_from(Template).where(Template.project_id == mine.id)).one()


def _same(template: Template, content: Content) -> bool:
    return ((template.language, template.source, template.datastore, template.externals)
            == (content.language, content.source, content.datastore, list(content.externals)))
