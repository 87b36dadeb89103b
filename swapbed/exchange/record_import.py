"""`record import`: a record that was exported, from any form, in an installation that may never have seen its instance.

What is there afterwards is as if the run had been here: template and ancestors, an instance that has ended, its run, its record with the
same root hash. What is here already stays as it is; importing twice is the same as once.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ValidationError
from sqlalchemy.exc import IntegrityError

from models.database import reading, writing
from models.errors import Conflict, Corrupt, InvalidInput, SwapbedError
from models.manifest import ManifestRef
from models.recorded import Agents, Recorded, TemplateOfRun
from models.spec import Spec
from models.tables import Project
from storage.roots import RootKind
from storage.store import Store
from swapbed.exchange import checkpoint_parts, imported_rows, record_parts
from swapbed.exchange.added import Added
from swapbed.exchange.archive_files import unpack
from swapbed.exchange.checkpoint_parts import Checkpoints, ExportedCheckpoint
from swapbed.exchange.imported_rows import Incoming
from swapbed.exchange.notes_archive import Notes
from swapbed.exchange.record_parts import CRATE, PARTS, ExportedRecord
from swapbed.exchange.template_chain import Chain, check_chain, check_name, take_datastores
from swapbed.lifecycle import project
from swapbed.record_verbs import Known, find
from tasks.records import POLICY

Model = TypeVar("Model", bound=BaseModel)
NEXT = "Export it again, and copy it whole"


@dataclass(frozen=True)
class Imported:
    known: Known
    added: Added

    @property
    def new(self) -> bool:
        """Whether the record itself was not here."""
        return self.added.records > 0


def import_(source: Path, *, name: str | None = None) -> Imported:
    """name: for the tree of its template, if that is a new one here.

    Raises InvalidInput for what is no export, leads out of itself or cannot be read; Corrupt for files that are not what their hash says;
    Conflict where the template's name is another tree's, or a run of that id is another one. Nothing has been added then.
    """
    mine = project()
    with Store.of(mine.name) as store:
        return _imported(store, mine, source, name)


def _imported(store: Store, mine: Project, source: Path, name: str | None) -> Imported:
    with _opened(source) as place:
        incoming = _read(place, source, mine)
        with reading() as session:
            check_name(session, mine, incoming.chain, name)
        manifest = _stored(store, place, incoming.exported.root)
        take_datastores(store, incoming.chain, place / record_parts.DATASTORES)
        checkpoint_parts.take(store, incoming.checkpoints, place / record_parts.STATES)
    record_id, is_here = imported_rows.record_id(mine, incoming.exported)
    if not is_here:
        store.pin(RootKind.RECORD, record_id, manifest)
    try:
        with writing() as session:
            added = imported_rows.add(session, mine, incoming, record_id, name, manifest)
    except IntegrityError as error:
        raise Conflict("somebody else imports this record, too", where=record_id, next="Try again") from error
    except SwapbedError:
        if not is_here:
            store.unpin(RootKind.RECORD, record_id)
        checkpoint_parts.let_go(store, incoming.checkpoints)
        raise
    return Imported(find(record_id), added)


@contextmanager
def _opened(source: Path) -> Iterator[Path]:
    """As a directory; an archive is unpacked to one that is gone afterwards."""
    if source.is_dir():
        yield source
        return
    with tempfile.TemporaryDirectory(prefix="swapbed-import-") as scratch:
        unpack(source, Path(scratch))
        yield Path(scratch)


def _read(place: Path, source: Path, mine: Project) -> Incoming:
    if not (place / record_parts.RECORD).is_file():
        raise InvalidInput("this is no export of a record", where=str(source), next="`swapbed record export` writes them")
    for directory in (place / PARTS, place / record_parts.DATASTORES, place / record_parts.STATES):
        if directory.is_symlink():
            raise InvalidInput("a symbolic link is in the place of a directory", where=str(directory))
    chain = _parsed(place, record_parts.CHAIN, Chain)
    if chain.templates:
        check_chain(chain, str(source))
    incoming = Incoming(_parsed(place, record_parts.RECORD, ExportedRecord), chain, _parsed(place, record_parts.NOTES, Notes),
                        _parsed(place, "record.json", Recorded), _parsed(place, "template.json", TemplateOfRun),
                        _parsed(place, "spec.json", Spec), _parsed(place, "agents.json", Agents).results(),
                        _checkpoints(place, mine))
    if chain.templates and chain.templates[-1].digest != incoming.template.digest:
        raise Corrupt("the template in this export is not the record's", where=str(source), next=NEXT)
    return incoming


def _checkpoints(place: Path, mine: Project) -> list[ExportedCheckpoint]:
    if not (place / record_parts.CHECKPOINTS).exists():
        return []
    found = _parsed(place, record_parts.CHECKPOINTS, Checkpoints).checkpoints
    for one in found:
        if not (place / record_parts.STATES / one.root).is_file() or (place / record_parts.STATES / one.root).is_symlink():
            raise InvalidInput("a checkpoint of the export is missing", where=one.root, next=NEXT)
    with reading() as session:
        return checkpoint_parts.with_free_ids(session, found, mine.id)


def _parsed(place: Path, name: str, model: type[Model]) -> Model:
    """Links are not followed: they might lead to files that are no business of whoever made the export."""
    path = place / name
    if path.is_symlink():
        raise InvalidInput("a symbolic link is in the place of a file", where=str(path))
    try:
        return model.model_validate_json(path.read_bytes())
    except OSError as error:
        raise InvalidInput(f"a file of the export is missing ({error.strerror})", where=str(path), next=NEXT) from error
    except ValidationError as error:
        raise InvalidInput(f"this file is not as an export has it ({error.errors()[0]['msg']})", where=str(path), next=NEXT) from error


def _stored(store: Store, place: Path, root: str) -> ManifestRef:
    stored = store.store_tree(place, POLICY.model_copy(update={"exclude": (PARTS, CRATE)}))
    if stored.hash != root:
        raise Corrupt("the record's files do not match its hash", where=root, next=NEXT)
    return stored.manifest
