"""`template export` and `template import`: a template with all its ancestors and their files, as one tar, for another installation.

    templates.json          the chain, root first; digests are checked when it is imported
    datastores/HASH/…       the files of each, once however many templates have them

The same template gives the same bytes. Metadata, instances and records are not in it.
"""

from __future__ import annotations

import json
import shutil
import socket
import tarfile
import tempfile
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError
from sqlmodel import col, select

from models.database import reading, writing
from models.errors import Conflict, Corrupt, InvalidInput, NotFound
from models.manifest import TreePolicy
from models.spec import Parameter
from models.tables import Template
from models.templates import add_template, template_digest
from storage.roots import RootKind
from storage.store import Store
from swapbed.checkout import MARKER
from swapbed.lifecycle import project
from swapbed.present.file_names import printable
from swapbed.templates import find

CHAIN = "templates.json"


class Exported(BaseModel):
    """One template of the chain."""

    model_config = ConfigDict(extra="forbid")

    digest: str
    language: str
    source: str
    source_name: str
    datastore: str | None
    datastore_name: str | None
    externals: list[dict[str, Any]]
    parameters: list[Parameter]
    created_at: datetime
    created_by: str


class Chain(BaseModel):
    model_config = ConfigDict(extra="forbid")

    format: int = 1
    name: str
    installation: str
    templates: list[Exported]


def export(template: str, target: Path) -> Path:
    """Raises Conflict if the file is there, NotFound if an ancestor was expunged: its descendants' hashes could not be checked."""
    row = find(template)
    chain = Chain(name=row.name, installation=socket.gethostname(), templates=list(_chain(row)))
    store = Store.of(project().name)
    if target.exists():
        raise Conflict("this file exists", where=str(target), next="Name another")
    with tempfile.TemporaryDirectory(dir=target.resolve().parent, prefix=".export-") as scratch:
        place = Path(scratch)
        (place / CHAIN).write_text(json.dumps(chain.model_dump(mode="json"), indent=1, sort_keys=True))
        for datastore in sorted({one.datastore for one in chain.templates if one.datastore}):
            store.restore_tree(datastore, place / "datastores" / datastore)
        draft = place / "tar"
        with tarfile.open(draft, "w", format=tarfile.PAX_FORMAT) as tar:
            for path in (place / CHAIN, *sorted((place / "datastores").rglob("*"))):
                tar.add(path, path.relative_to(place), recursive=False, filter=_plain)
        draft.rename(target)
    return target


def import_(archive: Path, *, name: str | None = None) -> Template:
    """The template that was exported; what of its chain is here already stays as it is. name: for the tree, if it is a new one."""
    mine = project()
    with tempfile.TemporaryDirectory(prefix="swapbed-import-") as scratch:
        place = Path(scratch)
        try:
            with tarfile.open(archive) as tar:
                _extract(tar, place)
            chain = Chain.model_validate_json((place / CHAIN).read_bytes())
        except FileNotFoundError as error:
            raise InvalidInput("there is no such file, or it is no export of a template", where=str(archive)) from error
        except (tarfile.TarError, ValidationError, OSError) as error:
            raise InvalidInput(f"this is no export of a template ({str(error).splitlines()[0]})", where=str(archive)) from error
        _check(chain, archive)
        store = Store.of(mine.name)
        for datastore in {one.datastore for one in chain.templates if one.datastore}:
            _take(store, place / "datastores" / datastore, datastore)
        with writing() as session:
            _refuse_another_tree(session, mine.id, name or chain.name, chain.templates[0].digest)
            parent: Template | None = None
            for one in chain.templates:
                parent = add_template(session, mine, name=name or chain.name, parent=parent, imported_from=chain.installation,
                                      **{field: getattr(one, field) for field in Exported.model_fields if field != "digest"})
    assert parent is not None
    return parent


def _chain(row: Template) -> Iterator[Exported]:
    """Root first."""
    found = [row]
    with reading() as session:
        while (parent := found[-1].parent_id) is not None:
            found.append(session.get_one(Template, parent))
    for one in reversed(found):
        if one.source is None:
            raise NotFound("this template was expunged, so what came of it cannot be exported with its history",
                           where=f"{one.name}@{one.number}", next="Check the template out and create a new tree from it")
        yield Exported.model_validate(one.model_dump(include=set(Exported.model_fields)))


def _plain(member: tarfile.TarInfo) -> tarfile.TarInfo:
    member.uid = member.gid = 0
    member.uname = member.gname = ""
    member.mtime = 0
    return member


def _extract(tar: tarfile.TarFile, place: Path) -> None:
    """Into an empty directory. Nothing is written through a link: those are made last, and only within what was made before."""
    links = []
    for member in tar:
        path = Path(member.name)
        if path.is_absolute() or ".." in path.parts or not (member.isdir() or member.isreg() or member.issym()):
            raise tarfile.TarError(f"'{printable(member.name)}' does not belong in it")
        target = place / path
        if member.issym():
            links.append((target, member.linkname))
            continue
        (target if member.isdir() else target.parent).mkdir(parents=True, exist_ok=True)
        if member.isreg() and (content := tar.extractfile(member)) is not None:
            with target.open("xb") as file:
                shutil.copyfileobj(content, file)
            target.chmod(member.mode & 0o777)
    for target, _ in links:
        target.parent.mkdir(parents=True, exist_ok=True)
    for target, leads_to in links:
        if not target.parent.resolve().is_relative_to(place.resolve()):
            raise tarfile.TarError(f"'{printable(target.name)}' does not belong in it")
        target.symlink_to(leads_to)


def _check(chain: Chain, archive: Path) -> None:
    parent: str | None = None
    for one in chain.templates:
        if template_digest(one.language, one.source, one.datastore, one.externals, parent) != one.digest:
            raise Corrupt("a template in this file does not match its hash", where=f"{archive}: {one.digest}", next="Export it again")
        parent = one.digest
    if parent is None:
        raise InvalidInput("there is no template in it", where=str(archive))


def _take(store: Store, directory: Path, datastore: str) -> None:
    directory.mkdir(parents=True, exist_ok=True)  # of no files at all, a tar holds nothing
    stored = store.store_tree(directory, TreePolicy.portable(MARKER))
    if stored.hash != datastore:
        raise Corrupt("a datastore in this file does not match its hash", where=datastore, next="Export it again")
    store.pin(RootKind.TEMPLATE, datastore, stored.manifest)


def _refuse_another_tree(session: Any, project_id: str, name: str, root: str) -> None:
    """A name is one tree's."""
    living = select(Template).where(Template.project_id == project_id, Template.name == name, col(Template.parent_id).is_(None),
                                    col(Template.expunged_at).is_(None))
    for other in session.exec(living):
        if other.digest != root:
            raise Conflict(f"there is another tree of templates named '{name}'", where=name, next="Give this one another --name")
