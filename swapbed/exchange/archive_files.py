"""Files on their way into a directory, a tar or a zip, the same bytes each time; and out of an archive that somebody else made.

Names come in order; no times and nobody's names are written. What is unpacked never leads out of the directory it is unpacked to.
"""

from __future__ import annotations

import gzip
import os
import shutil
import stat
import tarfile
import zipfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import IO, BinaryIO

from models.errors import InvalidInput
from models.manifest import FileKind
from storage.trees import TreeReader
from swapbed.exchange.byte_pieces import PiecesFile
from swapbed.present.file_names import printable

ZIP_EPOCH = (1980, 1, 1, 0, 0, 0)  # the earliest that the format can say
KINDS = (FileKind.FILE, FileKind.DIRECTORY, FileKind.SYMLINK)
Unreadable = (tarfile.TarError, zipfile.BadZipFile, EOFError, OSError, RuntimeError, NotImplementedError)
"""What the standard library raises for an archive that is truncated, damaged, encrypted or none."""


@dataclass(frozen=True)
class Member:
    """pieces: called when the content is wanted; of a file."""

    path: str
    kind: FileKind = FileKind.FILE
    mode: int = 0o644
    size_bytes: int = 0
    target: str = ""
    pieces: Callable[[], Iterator[bytes]] = lambda: iter(())


def of_text(path: str, text: str) -> Member:
    content = text.encode()
    return Member(path, size_bytes=len(content), pieces=lambda: iter((content,)))


def of_tree(tree: TreeReader, below: str = "") -> Iterator[Member]:
    """What is in a tree of the store, at that path."""
    for file in tree.walk():
        if file.kind not in KINDS:
            raise InvalidInput(f"a {file.kind.value} cannot be exported", where=printable(file.path))
        yield Member(os.path.join(below, file.path), file.kind, file.mode & 0o777, file.size_bytes if file.kind is FileKind.FILE else 0,
                     file.target, lambda path=file.path: tree.read(path))  # type: ignore[misc]


def write_tar(members: Iterable[Member], out: BinaryIO, name: str) -> None:
    """Compressed as the name's end says (.tar, .tar.gz, .tar.xz, …); gzip's header has no time in it."""
    with ExitStack() as stack:
        if name.endswith(("gz", ".tgz")):
            out = stack.enter_context(gzip.GzipFile(filename="", mode="wb", fileobj=out, mtime=0))  # type: ignore[assignment]
        mode = "w:xz" if name.endswith("xz") else "w:bz2" if name.endswith("bz2") else "w:"
        archive = stack.enter_context(tarfile.open(fileobj=out, mode=mode, format=tarfile.PAX_FORMAT))  # type: ignore[call-overload]
        for member in sorted(members, key=lambda one: os.fsencode(one.path)):
            info = tarfile.TarInfo(member.path)
            info.mode, info.size, info.linkname = member.mode, member.size_bytes, member.target
            info.type = {FileKind.DIRECTORY: tarfile.DIRTYPE, FileKind.SYMLINK: tarfile.SYMTYPE}.get(member.kind, tarfile.REGTYPE)
            archive.addfile(info, PiecesFile(member.pieces()) if member.kind is FileKind.FILE else None)


def write_zip(members: Iterable[Member], out: BinaryIO) -> None:
    """Raises InvalidInput for names that are not UTF-8, which a zip cannot hold."""
    with zipfile.ZipFile(out, "w") as archive:
        for member in sorted(members, key=lambda one: os.fsencode(one.path)):
            if printable(member.path) != member.path:
                raise InvalidInput("a zip cannot hold a name that is not UTF-8", where=printable(member.path),
                                   next="Export to a directory or a tar")
            directory = member.kind is FileKind.DIRECTORY
            info = zipfile.ZipInfo(member.path + "/" * directory, ZIP_EPOCH)
            info.create_system, info.compress_type = 3, zipfile.ZIP_DEFLATED  # 3: modes as Unix has them
            kind = {FileKind.DIRECTORY: stat.S_IFDIR, FileKind.SYMLINK: stat.S_IFLNK}.get(member.kind, stat.S_IFREG)
            info.external_attr = (kind | member.mode) << 16
            content = iter((os.fsencode(member.target),)) if member.kind is FileKind.SYMLINK else member.pieces()
            with archive.open(info, "w", force_zip64=member.size_bytes > 1 << 30) as file:
                for piece in () if directory else content:
                    file.write(piece)


def unpack(archive: Path, place: Path) -> None:
    """A tar or zip into an empty directory. Raises InvalidInput for what is neither, is broken, or holds what does not belong in it."""
    try:
        with ExitStack() as stack:
            if zipfile.is_zipfile(archive):
                _make(_of_zip(stack.enter_context(zipfile.ZipFile(archive))), place)
            else:
                _make(_of_tar(stack.enter_context(tarfile.open(archive))), place)
    except FileNotFoundError as error:
        raise InvalidInput("there is no such file", where=str(archive)) from error
    except Unreadable as error:
        raise InvalidInput(f"this archive cannot be read: {_first_line(error)}", where=str(archive),
                           next="Is it whole, and an export?") from error


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0].rstrip(":") if str(error) else type(error).__name__


Incoming = tuple[Member, Callable[[], IO[bytes] | None]]


def _of_tar(tar: tarfile.TarFile) -> Iterator[Incoming]:
    for info in tar:
        kind = FileKind.DIRECTORY if info.isdir() else FileKind.SYMLINK if info.issym() else FileKind.FILE
        if not (info.isdir() or info.isreg() or info.issym()):
            raise InvalidInput("this does not belong in such an archive", where=printable(info.name))
        yield Member(info.name, kind, info.mode, info.size, info.linkname), lambda info=info: tar.extractfile(info)  # type: ignore[misc]
    assert tar.fileobj is not None
    if tar.fileobj.tell() - tar.offset < tarfile.BLOCKSIZE:  # tarfile takes half a header for the end
        raise tarfile.ReadError("unexpected end of data")


def _of_zip(archive: zipfile.ZipFile) -> Iterator[Incoming]:
    for info in archive.infolist():
        mode = info.external_attr >> 16
        link = stat.S_ISLNK(mode)
        kind = FileKind.DIRECTORY if info.is_dir() else FileKind.SYMLINK if link else FileKind.FILE
        if stat.S_IFMT(mode) not in (0, stat.S_IFREG, stat.S_IFDIR, stat.S_IFLNK):
            raise InvalidInput("this does not belong in such an archive", where=printable(info.filename))
        target = os.fsdecode(archive.read(info)) if link else ""
        yield (Member(info.filename, kind, mode or 0o644, info.file_size, target),
               lambda info=info: archive.open(info))  # type: ignore[misc]


def _make(incoming: Iterable[Incoming], place: Path) -> None:
    """Nothing is written through a link: those are made last, and only within what was made before."""
    links = []
    for member, opened in incoming:
        path = Path(member.path)
        if path.is_absolute() or ".." in path.parts or "\0" in member.path:
            raise InvalidInput("this path leads out of the archive", where=printable(member.path))
        target = place / path
        if member.kind is FileKind.SYMLINK:
            links.append((target, member.target))
            continue
        (target if member.kind is FileKind.DIRECTORY else target.parent).mkdir(parents=True, exist_ok=True)
        if member.kind is FileKind.FILE and (content := opened()) is not None:
            with content, target.open("xb") as file:
                shutil.copyfileobj(content, file)
            target.chmod(member.mode & 0o777)
    for target, _ in links:
        target.parent.mkdir(parents=True, exist_ok=True)
    for target, leads_to in links:
        if not target.parent.resolve().is_relative_to(place.resolve()):
            raise InvalidInput("this path leads out of the archive", where=printable(target.name))
        target.symlink_to(leads_to)
