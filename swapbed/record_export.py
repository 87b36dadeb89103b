"""A record out of the store: as a directory, or as a tar archive that is the same bytes every time."""

from __future__ import annotations

import tarfile
from pathlib import Path
from typing import BinaryIO

from models.errors import Conflict, HostProblem
from models.manifest import FileKind, ListedFile
from models.tables import Record
from storage.store import Store
from swapbed.byte_pieces import PiecesFile
from tasks.record_trees import tree_of


def to_directory(record: Record, target: Path) -> None:
    """target must be empty or not be there."""
    store, root = tree_of(record)
    store.restore_tree(root, target)


def to_tar(record: Record, target: Path) -> None:
    """Compressed as the name's end says (.tar, .tar.gz, .tar.xz, …); gzip's header has no time in it."""
    store, root = tree_of(record)
    if target.exists():
        raise Conflict("there is something of that name already", where=str(target))
    try:
        with target.open("xb") as out:
            write_tar(store, root, out, target.name)
    except OSError as error:
        target.unlink(missing_ok=True)
        raise HostProblem(f"the archive cannot be written: {error.strerror}", where=str(target)) from error


def write_tar(store: Store, root: str, out: BinaryIO, name: str) -> None:
    """Names in order, no times, nobody's names."""
    import gzip

    with store.read_tree(root) as tree:
        listed = sorted(tree.walk(), key=lambda file: file.path)
        stream = gzip.GzipFile(filename="", mode="wb", fileobj=out, mtime=0) if name.endswith(("gz", ".tgz")) else None
        kind = "w:xz" if name.endswith("xz") else "w:bz2" if name.endswith("bz2") else "w:"
        with tarfile.open(fileobj=stream or out, mode="w:" if stream else kind, format=tarfile.PAX_FORMAT) as archive:  # type: ignore[call-overload]
            for file in listed:
                member = _member(file)
                if file.kind is FileKind.FILE:
                    archive.addfile(member, PiecesFile(tree.read(file.path)))
                elif member.type != tarfile.REGTYPE:
                    archive.addfile(member)
        if stream is not None:
            stream.close()


def _member(file: ListedFile) -> tarfile.TarInfo:
    member = tarfile.TarInfo(file.path)
    member.mode, member.size = file.mode & 0o7777, file.size_bytes if file.kind is FileKind.FILE else 0
    if file.kind is FileKind.DIRECTORY:
        member.type = tarfile.DIRTYPE
    elif file.kind is FileKind.SYMLINK:
        member.type, member.linkname = tarfile.SYMTYPE, file.target
    elif file.kind is FileKind.FIFO:
        member.type = tarfile.FIFOTYPE
    return member
