"""What goes with a record's own files when it leaves its installation: who and what it was, its template with history, the notes.

    (the record's files, as they are; their hash is the record's root)
    swapbed-export/record.json               which record this is, and of what
    swapbed-export/templates.json            its template and the ancestors of that; no templates in it if one was expunged
    swapbed-export/datastores/HASH/…         their files
    swapbed-export/checkpoints.json          if asked for: checkpoints of its run, and below checkpoints/ each as one file
    swapbed-export/notes.json                what people noted on record, run, instance and templates, with history
    ro-crate-metadata.json                   in a crate only
"""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime

from pydantic import BaseModel, ConfigDict

from models.database import reading
from models.errors import NotFound
from models.manifest import Hash
from models.states import Subject
from models.tables import Record, Run, Template
from storage.store import Store
from swapbed.exchange import checkpoint_parts
from swapbed.exchange.archive_files import Member, of_text, of_tree
from swapbed.exchange.checkpoint_parts import Checkpoints, checkpoints_of_run
from swapbed.exchange.notes_archive import Notes, notes_on
from swapbed.exchange.template_archive import datastore_members, named
from swapbed.exchange.template_chain import Chain, chain_of, lineage
from tasks.record_trees import tree_of

PARTS, CRATE = "swapbed-export", "ro-crate-metadata.json"
RECORD, CHAIN, NOTES, DATASTORES = (f"{PARTS}/{name}" for name in ("record.json", "templates.json", "notes.json", "datastores"))
CHECKPOINTS, STATES = f"{PARTS}/checkpoints.json", f"{PARTS}/checkpoints"


class ExportedRecord(BaseModel):
    """root: hash of the record's own files. The ids are the exporting database's, and kept where they are free."""

    model_config = ConfigDict(extra="forbid")

    format: int = 1
    root: Hash
    revision: int
    record_id: str
    run_id: str
    instance_id: str
    installation: str
    created_at: datetime
    created_by: str
    committed_at: datetime | None
    finalized_at: datetime | None


@dataclass(frozen=True)
class Parts:
    exported: ExportedRecord
    chain: Chain
    notes: Notes
    store: Store
    checkpoints: Checkpoints | None = None

    def texts(self) -> Iterator[Member]:
        yield of_text(RECORD, self.exported.model_dump_json(indent=1))
        yield of_text(CHAIN, self.chain.model_dump_json(indent=1))
        yield of_text(NOTES, self.notes.model_dump_json(indent=1))
        if self.checkpoints is not None:
            yield of_text(CHECKPOINTS, self.checkpoints.model_dump_json(indent=1))

    def of_checkpoints(self, stack: ExitStack) -> Iterator[Member]:
        if self.checkpoints is not None:
            yield from checkpoint_parts.members(self.store, self.checkpoints.checkpoints, STATES, stack)

    def members(self, stack: ExitStack) -> Iterator[Member]:
        """All files but a crate's description of them; their contents can be read as long as the stack is open."""
        yield from self.texts()
        yield from of_tree(stack.enter_context(self.store.read_tree(self.exported.root)))
        yield from datastore_members(self.store, self.chain, DATASTORES, stack)
        yield from self.of_checkpoints(stack)


def parts_of(record: Record, *, checkpoints: bool = False) -> Parts:
    """Raises NotFound while the record is not committed, or once it is expunged."""
    store, root = tree_of(record)
    with reading() as session:
        run = session.get_one(Run, record.run_id)
        template = session.get_one(Template, run.template_id)
        subjects = {(Subject.RECORD, record.id): record.id, (Subject.RUN, run.id): run.id,
                    (Subject.INSTANCE, run.instance_id): run.instance_id, **named(lineage(template))}
        notes = notes_on(session, subjects)
        states = checkpoints_of_run(session, run) if checkpoints else None
    exported = ExportedRecord(root=root, revision=record.revision, record_id=record.id, run_id=run.id, instance_id=run.instance_id,
                              installation=record.imported_from or socket.gethostname(), created_at=record.created_at,
                              created_by=record.created_by, committed_at=record.committed_at, finalized_at=record.finalized_at)
    return Parts(exported, _chain(template), notes, store, states)


def _chain(template: Template) -> Chain:
    """Without templates where not all of them are there any more: the record is complete without, but cannot be replayed."""
    try:
        return chain_of(template)
    except NotFound:
        return Chain(name=template.name, installation=socket.gethostname(), templates=[])
