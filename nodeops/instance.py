"""An instance's record on its host, and the right to change it.

Two things keep changers apart: the lock, held for one operation and let go by the kernel if its holder dies, and the fence, which outlives
everybody: the highest lease number seen, so that a flow that was thought dead cannot come back.
"""

from __future__ import annotations

import errno
import fcntl
import os
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime

from pydantic import ValidationError

from models.errors import Conflict, Corrupt, InvalidInput, NotFound
from models.protocol.control import Message
from models.protocol.host import InstanceState
from models.settings import settings
from models.spec import Spec
from nodeops.layout import InstanceLayout
from nodeops.whole_file import write_whole

LOCK_PATIENCE_S = 30.0
ID = re.compile(r"[a-z0-9][a-z0-9-]{0,40}")


class InstanceRecord(Message):
    """identity.json. nodes: placed on this host. created_at: wall clock. wall_shift_ns: see `nodeops.wall`; since its last restore."""

    instance: str
    name: str
    project: str
    state: InstanceState
    fence: int
    created_at: datetime
    spec_digest: str
    nodes: tuple[str, ...]
    images: dict[str, str] = {}
    daemons: tuple[str, ...] = ()
    wall_shift_ns: int = 0

    @property
    def conducted(self) -> bool:
        return "conductor" in self.daemons


def layout_of(instance: str) -> InstanceLayout:
    """Raises InvalidInput for what cannot be an id: it becomes part of a path, below which everything may be removed."""
    if not ID.fullmatch(instance):
        raise InvalidInput(f"'{instance}' is not the id of an instance")
    return InstanceLayout(settings().instances_dir / instance)


def instances_here() -> list[str]:
    """Ids of all that have a directory on this host."""
    root = settings().instances_dir
    return sorted(path.name for path in root.iterdir() if ID.fullmatch(path.name)) if root.is_dir() else []


def read_record(layout: InstanceLayout) -> InstanceRecord | None:
    """None: there is no such instance here, or its making had not got as far as a record."""
    try:
        return InstanceRecord.model_validate_json(layout.identity.read_bytes())
    except FileNotFoundError:
        return None
    except ValidationError as error:
        raise Corrupt("the instance's record cannot be read", where=str(layout.identity)) from error


def the_record(layout: InstanceLayout) -> InstanceRecord:
    """Raises NotFound if the instance is not here."""
    if (record := read_record(layout)) is None:
        raise NotFound(f"no instance '{layout.root.name}' on this host")
    return record


def write_record(layout: InstanceLayout, record: InstanceRecord) -> None:
    write_whole(layout.identity, record.model_dump_json(indent=1).encode())


def read_spec(layout: InstanceLayout) -> Spec:
    return Spec.model_validate_json(layout.spec.read_bytes())


@contextmanager
def holding(layout: InstanceLayout, fence: int, *, patience_s: float = LOCK_PATIENCE_S) -> Iterator[None]:
    """Within, nobody else changes the instance. Its directory must be there.

    Raises Conflict for a fence lower than one seen, or if another holder goes on for longer than patience_s; NotFound.
    """
    try:
        lock = os.open(layout.lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except FileNotFoundError:
        raise NotFound(f"no instance '{layout.root.name}' on this host") from None
    try:
        _lock(lock, layout, patience_s)
        record = read_record(layout)
        if record is not None and fence < record.fence:
            raise Conflict(f"somebody with a newer lease ({record.fence}, this one is {fence}) works on the instance",
                           where=layout.root.name, next="This flow was taken for dead; let the newer one finish")
        if record is not None and fence > record.fence:
            with room_or_not():
                write_record(layout, record.model_copy(update={"fence": fence}))
        yield
    finally:
        os.close(lock)


@contextmanager
def room_or_not() -> Iterator[None]:
    """Notes that may be missing for want of disk space: a full disk must not keep an instance from being destroyed."""
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise


def _lock(lock: int, layout: InstanceLayout, patience_s: float) -> None:
    deadline = time.monotonic() + patience_s
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            break
        except BlockingIOError:
            if time.monotonic() > deadline:
                raise Conflict("another operation on this instance has been going on for long", where=layout.root.name,
                               next="Wait for it, or end it") from None
            time.sleep(0.01)
    if not layout.root.exists():
        raise NotFound(f"no instance '{layout.root.name}' on this host")
