"""`record export`: a record with its template, provenance and notes, as directory, tar or Workflow Run RO-Crate; the same bytes every time.

`swapbed.exchange.record_parts` says what is in it, `swapbed.exchange.record_import` brings any of the three back.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from enum import StrEnum
from pathlib import Path
from typing import BinaryIO

from models.errors import Conflict, HostProblem, InvalidInput
from models.tables import Record
from swapbed.exchange.archive_files import Member, of_text, write_tar, write_zip
from swapbed.exchange.record_crate import described
from swapbed.exchange.record_parts import CRATE, DATASTORES, Parts, parts_of

TARS = (".tar", ".tar.gz", ".tgz", ".tar.xz", ".tar.bz2")


class Form(StrEnum):
    ROCRATE, TAR, DIRECTORY = "rocrate", "tar", "dir"


def form_named(name: str) -> Form:
    """Raises InvalidInput."""
    if name not in set(Form):
        raise InvalidInput(f"'{name}' is no form of export", next=f"There are: {', '.join(Form)}; a crate in a .zip is 'rocrate'")
    return Form(name)


def form_of(target: Path) -> Form:
    """As its name's end says."""
    return Form.ROCRATE if target.name.endswith(".zip") else Form.TAR if target.name.endswith(TARS) else Form.DIRECTORY


def export(record: Record, target: Path, form: Form | None = None, *, checkpoints: bool = False) -> Form:
    """form: default as target's name says. A crate is a directory, or an archive where target is called like one.
    checkpoints: those of its run, too.

    Raises Conflict where there is something already, NotFound for a record that is not committed, or was expunged.
    """
    chosen = form or form_of(target)
    parts = parts_of(record, checkpoints=checkpoints)
    if chosen is Form.DIRECTORY or (chosen is Form.ROCRATE and not target.name.endswith((".zip", *TARS))):
        _to_directory(parts, target, crate=chosen is Form.ROCRATE)
    else:
        _to_archive(parts, target, crate=chosen is Form.ROCRATE)
    return chosen


def _to_archive(parts: Parts, target: Path, *, crate: bool) -> None:
    if target.exists():
        raise Conflict("there is something of that name already", where=str(target))
    with _draft(target) as draft, ExitStack() as stack, draft.open("xb") as out:
        members = list(parts.members(stack))
        if crate:
            members.append(_crate(parts, members))
        _write(members, out, target.name)


def _write(members: Iterable[Member], out: BinaryIO, name: str) -> None:
    if name.endswith(".zip"):
        write_zip(members, out)
    else:
        write_tar(members, out, name)


def _to_directory(parts: Parts, target: Path, *, crate: bool) -> None:
    """The store restores whole trees faster than file by file, and holes as holes."""
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise Conflict("this is not an empty directory", where=str(target), next="Name one that is not there yet")
    with _draft(target) as draft, ExitStack() as stack:
        parts.store.restore_tree(parts.exported.root, draft)
        for datastore in parts.chain.datastores:
            parts.store.restore_tree(datastore, draft / DATASTORES / datastore)
        for member in [*parts.texts(), *parts.of_checkpoints(stack), *([_crate(parts, list(parts.members(stack)))] if crate else [])]:
            (draft / member.path).parent.mkdir(parents=True, exist_ok=True)
            with (draft / member.path).open("wb") as file:
                file.writelines(member.pieces())


def _crate(parts: Parts, members: list[Member]) -> Member:
    return of_text(CRATE, described(parts, members))


@contextmanager
def _draft(target: Path) -> Iterator[Path]:
    """A place beside target that takes its place if all goes well; nothing is left of it else."""
    target = target.absolute()
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        room = Path(tempfile.mkdtemp(dir=target.parent, prefix=".export-"))
    except OSError as error:
        raise HostProblem(f"nothing can be written there: {error.strerror}", where=str(target.parent)) from error
    try:
        yield room / target.name
        (room / target.name).rename(target)
    except OSError as error:
        raise HostProblem(f"the export cannot be written: {error.strerror}", where=str(target)) from error
    finally:
        shutil.rmtree(room, ignore_errors=True)
