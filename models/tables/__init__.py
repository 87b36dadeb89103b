"""The tables. `SCHEMA` holds all of them; it is what migrations are compared with.

Conventions: `id` is opaque text with a prefix that tells the kind (`i-`, `r-`, …); times ending in `_at` are wall clock,
UTC; those ending in `_ns` are virtual. What a state column may become is in `models.states`; it is changed by
`models.transition` only. `hidden_at`/`expunged_at` make a tombstone: the row stays, so that no tree has a hole.
"""

from sqlmodel import SQLModel

from models.tables.catalog import Chunk, Pack, Root, StoreIdentity, Transfer
from models.tables.checkpoint import Checkpoint, CheckpointPart
from models.tables.host import Host
from models.tables.instance import Instance, Placement
from models.tables.lease import LeaseRow
from models.tables.metadata import Metadata, MetadataChange
from models.tables.outbox import OutboxMessage
from models.tables.project import Project
from models.tables.record import Record
from models.tables.recording import Recording, RecordingEvent
from models.tables.run import ActivityEvent, Run
from models.tables.template import StoredSpec, Template

SCHEMA = SQLModel.metadata

__all__ = ["SCHEMA", "ActivityEvent", "Checkpoint", "CheckpointPart", "Chunk", "Host", "Instance", "LeaseRow", "Metadata",
           "MetadataChange", "OutboxMessage", "Pack", "Placement", "Project", "Record", "Recording", "RecordingEvent", "Root", "Run",
           "StoreIdentity", "StoredSpec", "Template", "Transfer"]
