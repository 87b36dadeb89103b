"""Every kernel object of an instance, written down before it is made, so that whoever comes after a crash finds it.

A line is one object in one state: `intended` (on disk before the kernel is asked), `made` (with the identity that tells it
from a later object of the same name), `gone`. The objects that need this are those that no process owns: everything else,
mounts, network namespaces, TAPs, ends with the processes of the instance, and they are in its cgroups from their first instant.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, TypeAdapter, ValidationError

from models.errors import Corrupt
from models.protocol.control import Message
from nodeops.identity import ProcessIdentity, boot_id


class Cgroup(Message):
    """A directory of a cgroup hierarchy, of either version. inode: never used again while this boot lasts."""

    kind: Literal["cgroup"] = "cgroup"
    path: str
    inode: int | None = None
    boot: str = Field(default_factory=boot_id)

    @property
    def key(self) -> str:
        return self.path


class Process(Message):
    """role: `init NODE`, `outside NODE`, or a daemon's name."""

    kind: Literal["process"] = "process"
    role: str
    identity: ProcessIdentity | None = None

    @property
    def key(self) -> str:
        return self.role


KernelObject = Annotated[Cgroup | Process, Field(discriminator="kind")]
State = Literal["intended", "made", "gone"]


class Line(Message):
    state: State
    object: KernelObject


LINE: TypeAdapter[Line] = TypeAdapter(Line)


class Journal:
    """One instance's. Only who holds the instance's lock may write."""

    def __init__(self, path: Path):
        self.path = path

    def intend(self, objects: Iterable[KernelObject]) -> None:
        """On disk when this returns: one fsync for all of them."""
        self._append("intended", objects, durable=True)

    def made(self, objects: Iterable[KernelObject]) -> None:
        """Not synced: a crash of this host ends the objects, too, and one of this process loses nothing that was written."""
        self._append("made", objects, durable=False)

    def gone(self, objects: Iterable[KernelObject]) -> None:
        self._append("gone", objects, durable=False)

    def standing(self) -> list[KernelObject]:
        """What may exist, oldest first, each with all that is known of it.

        A line torn by a crash is the last and was never acted upon. Raises Corrupt for any other that cannot be read.
        """
        objects: dict[tuple[str, str], KernelObject] = {}
        lines = self.path.read_bytes().split(b"\n") if self.path.exists() else [b""]
        for number, text in enumerate(lines[:-1], 1):
            try:
                line = LINE.validate_json(text)
            except ValidationError as error:
                raise Corrupt("the journal cannot be read", where=f"{self.path}:{number}") from error
            key = (line.object.kind, line.object.key)
            if line.state == "gone":
                objects.pop(key, None)
            else:
                objects[key] = line.object
        return list(objects.values())

    def _append(self, state: State, objects: Iterable[KernelObject], *, durable: bool) -> None:
        text = b"".join(Line(state=state, object=each).model_dump_json(exclude_none=True).encode() + b"\n" for each in objects)
        if not text:
            return
        new = not self.path.exists()
        fd = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            end = _end_of_last_whole_line(fd)
            os.ftruncate(fd, end)
            os.pwrite(fd, text, end)
            if durable:
                os.fsync(fd)
        finally:
            os.close(fd)
        if new and durable:
            _sync_directory(self.path.parent)


def _end_of_last_whole_line(fd: int) -> int:
    size = os.fstat(fd).st_size
    if not size or os.pread(fd, 1, size - 1) == b"\n":
        return size
    return os.pread(fd, size, 0).rfind(b"\n") + 1


def _sync_directory(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
