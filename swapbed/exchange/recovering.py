"""The rows of records that the store has and the database does not: after a rebuild, the database having been lost, or being older.

A record tells its instance, run, template, parameters and results by itself. A template comes back with its content where its hash can be
checked, else as a tombstone, as its lost ancestors do; numbers count anew. What no record tells is lost with the database: notes, templates
without a record, hiding, the lists of checkpoints, which stay pinned.
"""

from __future__ import annotations

import itertools
import socket
from contextlib import suppress
from dataclasses import dataclass

from pydantic import Field
from sqlmodel import Session, col, select

from models.database import reading, writing
from models.errors import Corrupt, SwapbedError
from models.manifest import FileKind
from models.protocol.control import Message
from models.recorded import Agents, Recorded, TemplateOfRun
from models.spec import Spec
from models.states import RecordState
from models.tables import Instance, Project, Record, Template
from models.tables.columns import new_id
from models.templates import add_template, add_tombstone, template_digest
from models.transition import transition
from storage.roots import PinnedRoot, RootKind
from storage.store import Store
from swapbed.exchange import imported_rows
from swapbed.exchange.imported_rows import Incoming
from swapbed.exchange.notes_archive import Notes
from swapbed.exchange.record_parts import ExportedRecord
from swapbed.exchange.template_chain import Chain
from swapbed.present.progress import Report, quiet

CONTENT = {"language", "source_name", "datastore", "datastore_name", "externals"}


class Recovered(Message):
    records: int = Field(default=0, description="that lists have again")
    templates: int = Field(default=0, description="of these, with their content")
    unlisted: tuple[str, ...] = Field(default=(), description="records that are pinned, but cannot be listed, and why")


@dataclass(frozen=True)
class Found:
    """A record as it describes itself. source: None where its rules dropped it."""

    pinned: PinnedRoot
    said: Recorded
    template: TemplateOfRun
    source: str | None
    spec: Spec
    results: dict[str, str]


def recover(mine: Project, report: Report = quiet) -> Recovered:
    """May be done again: what the database knows stays as it is."""
    store = Store.of(mine.name)
    with reading() as session:
        known = set(session.exec(select(Record.id).where(Record.project_id == mine.id, Record.state != RecordState.COMMITTING)))
    _name_records(store)
    lost = [root for root in store.roots(RootKind.RECORD) if root.name not in known]
    found: list[Found] = []
    unlisted = []
    for done, root in enumerate(lost):
        report("reading records", done, len(lost))
        try:
            found.append(_read(store, root))
        except SwapbedError as error:
            unlisted.append(f"{root.name}: {error}")
    found.sort(key=lambda one: one.said.began_at or one.pinned.created_at)
    with writing() as session:
        templates = _add_templates(session, mine, store, found)
    for one in found:
        try:
            with writing() as session:
                _add(session, mine, one)
        except SwapbedError as error:
            unlisted.append(f"{one.pinned.name}: {error}")
    return Recovered(records=len(lost) - len(unlisted), templates=templates, unlisted=tuple(unlisted))


def _name_records(store: Store) -> None:
    """Where the store's roots were lost, too, a rebuild pins what it finds without saying what it is: trees that are records become roots
    of records, with ids of their own."""
    for root in store.roots(RootKind.RECOVERED):
        with suppress(SwapbedError), store.read_tree(root.manifest) as tree:
            b"".join(tree.read("template.json")), b"".join(tree.read("record.json"))
            sizes = [file.size_bytes for file in tree.walk() if file.kind is FileKind.FILE]
            store.pin(RootKind.RECORD, new_id("rec"), root.manifest.model_copy(update={"size_bytes": sum(sizes), "files": len(sizes)}))
            store.unpin(RootKind.RECOVERED, root.name)


def _read(store: Store, root: PinnedRoot) -> Found:
    def file(name: str) -> bytes:
        return store.read_file(root.manifest, name)

    try:
        template = TemplateOfRun.model_validate_json(file("template.json"))
        path = f"source/{template.source_name}"
        there = any(one.path == path for one in store.list_tree(root.manifest))
        return Found(root, Recorded.model_validate_json(file("record.json")), template, file(path).decode() if there else None,
                     Spec.model_validate_json(file("spec.json")), Agents.model_validate_json(file("agents.json")).results())
    except ValueError as error:
        raise Corrupt(f"it does not tell what it is of ({str(error).splitlines()[0]})", where=root.manifest.hash) from error


def _add_templates(session: Session, mine: Project, store: Store, found: list[Found]) -> int:
    """Those whose content can be checked, each after its parent; how many there are now that were not."""
    datastores = _datastores(store, {one.template.datastore for one in found})
    whole = {one.template.digest: one for one in found if _is_whole(one, datastores)}
    new = [digest for digest in whole if _known(session, mine, digest) is None]
    for digest in new:
        lineage = [whole[digest]]
        while (parent := lineage[-1].template.parent) in whole:
            lineage.append(whole[parent])
        for one in reversed(lineage):
            _add_template(session, mine, one)
    return len(new)


def _datastores(store: Store, wanted: set[str | None]) -> set[str]:
    """Those of the wanted that are pinned: of templates that were deleted, none is."""
    pinned = {root.name for root in store.roots(RootKind.TEMPLATE)}
    for root in store.roots(RootKind.RECOVERED):
        if root.name in wanted - pinned:
            store.pin(RootKind.TEMPLATE, root.name, root.manifest)
            store.unpin(RootKind.RECOVERED, root.name)
            pinned.add(root.name)
    return pinned


def _is_whole(one: Found, datastores: set[str]) -> bool:
    said = one.template
    if one.source is None or (said.datastore is not None and said.datastore not in datastores):
        return False
    return template_digest(said.language, one.source, said.datastore, said.externals, said.parent) == said.digest


def _add_template(session: Session, mine: Project, one: Found) -> None:
    """What is known of it already stays so, deleted or not."""
    said, by = one.template, one.said.created_by
    if _known(session, mine, said.digest) is not None:
        return
    free, parent = _free_name(session, mine, said.name), None
    if said.parent is not None:
        parent = _known(session, mine, said.parent) or add_tombstone(
            session, mine, said.parent, name=free, language=said.language, source_name=said.source_name, created_by=by)
    add_template(session, mine, name=free, parent=parent, source=one.source or "", created_by=by,
                 **said.model_dump(include=CONTENT), parameters=said.parameters)


def _known(session: Session, mine: Project, digest: str) -> Template | None:
    return session.exec(select(Template).where(Template.project_id == mine.id, Template.digest == digest)).first()


def _free_name(session: Session, mine: Project, name: str) -> str:
    """Of the root of a tree: what came of a lost template may come back as several."""
    taken = set(session.exec(select(Template.name).where(Template.project_id == mine.id, col(Template.parent_id).is_(None))))
    return next(chosen for number in itertools.count(1) if (chosen := name if number == 1 else f"{name}-{number}") not in taken)


def _add(session: Session, mine: Project, one: Found) -> None:
    said, pinned = one.said, one.pinned
    if session.get(Record, pinned.name) is not None:  # the database is from before its commit, for which the run's files are gone
        transition(session, Record, pinned.name, RecordState.FINAL, root=pinned.manifest.hash, size_bytes=pinned.manifest.size_bytes,
                   files=pinned.manifest.files, reason=None, committed_at=pinned.created_at, finalized_at=pinned.created_at,
                   summary={"results": one.results, "placement": said.placement, "left_out": list(said.left_out)})
        return
    instance = session.exec(select(Instance.id).where(Instance.project_id == mine.id, Instance.name == said.instance,
                                                      Instance.seed == said.seed)).first()
    here = socket.gethostname()
    exported = ExportedRecord(root=pinned.manifest.hash, revision=1, record_id=pinned.name, run_id=new_id("r"), installation=here,
                              instance_id=instance or new_id("i"), created_at=pinned.created_at, created_by=said.created_by,
                              committed_at=pinned.created_at, finalized_at=pinned.created_at)
    chain = Chain(name=one.template.name, installation=here, templates=[])
    incoming = Incoming(exported, chain, Notes(), said, one.template, one.spec, one.results, [])
    imported_rows.add(session, mine, incoming, pinned.name, None, pinned.manifest)
    session.get_one(Record, pinned.name).imported_from = None
