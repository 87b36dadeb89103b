"""Files and whole directories into and out of a node, through its init: what `swapbed cp` does on the host.

Regular files, directories and symbolic links travel, with mode, owner and time of change; sockets, devices and FIFOs are
left out and named. What comes out of a node is not trusted: it is written relative to open directories, following nothing.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from models.errors import Conflict, InvalidInput, NotFound, SwapbedError
from models.protocol.control import Message
from models.protocol.init import PIECE_BYTES
from nodeops.init.client import InitClient
from nodeops.init.conversation import Items
from nodeops.staging import copied_from_layer

AHEAD = 4  # pieces under way at once
Progress = Callable[[str, int], None]  # path in the node, bytes of it so far


class FileInfo(Message):
    type: str  # file, directory, symlink, fifo, socket, device
    mode: int
    size: int
    user: int
    group: int
    mtime_ns: int
    target: str | None = None


class NodeFiles:
    """The file system of one node, as its root sees it. Paths are absolute.

    layer: the upper layer of its root, if that is on this host: what is there as the node sees it is copied from there, with blocks shared
    where the file system can, and with its holes.
    """

    def __init__(self, client: InitClient, layer: Path | None = None):
        self.client, self.layer = client, layer

    def stat(self, path: str, *, follow: bool = False) -> FileInfo:
        answer = self.client.ask("stat", [("path", path), ("follow", "1" if follow else "0")])
        return FileInfo.model_validate({key: answer.items[key][0] for key in FileInfo.model_fields if key in answer.items})

    def names(self, path: str) -> list[str]:
        """Names, sorted."""
        names: list[str] = []
        position: Items = []
        while True:
            answer = self.client.ask("list", [("path", path), *position])
            names += answer.items.get("entry", [])
            if "next" not in answer.items:
                return sorted(names)
            position = [("from", answer.get("next"))]

    def read(self, path: str, size_bytes: int) -> Iterator[bytes]:
        """The first size_bytes of a file (less if it has become shorter), several pieces asked for ahead."""
        offsets = iter(range(0, size_bytes, PIECE_BYTES))
        asked: deque[int] = deque()

        def ask() -> None:
            if (offset := next(offsets, None)) is not None:
                length = min(PIECE_BYTES, size_bytes - offset)
                asked.append(self.client.send("read", [("path", path), ("offset", str(offset)), ("length", str(length))]))

        for _ in range(AHEAD):
            ask()
        while asked:
            data = self.client.answer(asked.popleft()).data or b""
            ask()
            yield data

    def write(self, path: str, pieces: Iterator[bytes], mode: int = 0o644) -> None:
        """Replaces the content of a file; pieces of at most PIECE_BYTES."""
        asked = deque([self.client.send("write", [("path", path), ("truncate", "1"), ("mode", str(mode))], b"")])
        offset = 0
        for piece in pieces:
            asked.append(self.client.send("write", [("path", path), ("offset", str(offset))], piece))
            offset += len(piece)
            if len(asked) > AHEAD:
                self.client.answer(asked.popleft())
        while asked:
            self.client.answer(asked.popleft())

    def exists(self, path: str) -> FileInfo | None:
        with contextlib.suppress(NotFound):
            return self.stat(path, follow=True)
        return None

    def make_directory(self, path: str) -> None:
        """With its parents; no error if it is there."""
        self.client.ask("mkdir", [("path", path)])

    def remove(self, path: str) -> None:
        """A file, or a directory with all below it; no error if it is not there."""
        try:
            if self.stat(path).type == "directory":
                for name in self.names(path):
                    self.remove(f"{path}/{name}")
            self.client.ask("unlink", [("path", path)])
        except NotFound:
            return

    def rename(self, path: str, target: str) -> None:
        self.client.ask("rename", [("path", path), ("target", target)])

    def set_attributes(self, path: str, info: os.stat_result) -> None:
        items = [("path", path), ("user", str(info.st_uid)), ("group", str(info.st_gid)), ("mtime_ns", str(info.st_mtime_ns))]
        if not stat.S_ISLNK(info.st_mode):
            items.append(("mode", str(stat.S_IMODE(info.st_mode))))
        self.client.ask("attributes", items)

    def put(self, source: Path, target: str, progress: Progress | None = None) -> list[str]:
        """Copy a file or tree of this host into the node; into `target` if that is a directory there. Returns what was left out."""
        if not target.startswith("/"):
            raise InvalidInput(f"'{target}' is not an absolute path in the node")
        if (there := self.exists(target)) is not None and there.type == "directory":
            target = f"{target.rstrip('/')}/{source.name}"
        left_out: list[str] = []
        self._put(source, target, progress, left_out)
        return left_out

    def _put(self, source: Path, target: str, progress: Progress | None, left_out: list[str]) -> None:
        info = source.lstat()
        if stat.S_ISDIR(info.st_mode):
            self.make_directory(target)
            for name in sorted(os.listdir(source)):
                self._put(source / name, f"{target}/{name}", progress, left_out)
        elif stat.S_ISLNK(info.st_mode):
            self.remove(target)
            self.client.ask("symlink", [("path", target), ("target", str(source.readlink()))])
        elif stat.S_ISREG(info.st_mode):
            self.write(target, _pieces(source, target, progress), stat.S_IMODE(info.st_mode))
        else:
            left_out.append(str(source))
            return
        self.set_attributes(target, info)

    def get(self, source: str, target: Path, progress: Progress | None = None) -> list[str]:
        """Copy a file or tree of the node to this host; into `target` if that is a directory. Returns what was left out."""
        info = self.stat(source)
        if target.is_dir():
            target = target / (PurePosixPath(source).name or "root")
        parent = os.open(target.parent, os.O_DIRECTORY | os.O_CLOEXEC)
        left_out: list[str] = []
        try:
            self._get(source.rstrip("/") or "/", info, parent, target.name, progress, left_out)
        finally:
            os.close(parent)
        return left_out

    def _get(self, source: str, info: FileInfo, parent: int, name: str, progress: Progress | None, left_out: list[str]) -> None:
        if info.type == "directory":
            self._get_directory(source, info, parent, name, progress, left_out)
        elif info.type == "symlink":
            _unlink(parent, name)
            os.symlink(info.target or "", name, dir_fd=parent)
        elif info.type == "file":
            _unlink(parent, name)
            fd = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600, dir_fd=parent)
            with os.fdopen(fd, "wb") as file:
                if self.layer is None or not copied_from_layer(self.layer, source, info.size, info.mtime_ns, fd):
                    self._read_into(file, source, info.size, progress)
                os.fchmod(fd, info.mode & 0o777)
            os.utime(name, ns=(info.mtime_ns, info.mtime_ns), dir_fd=parent, follow_symlinks=False)
        else:
            left_out.append(source)

    def _read_into(self, file: BinaryIO, source: str, size_bytes: int, progress: Progress | None) -> None:
        done = 0
        for piece in self.read(source, size_bytes):
            file.write(piece)
            done += len(piece)
            if progress:
                progress(source, done)

    def _get_directory(self, source: str, info: FileInfo, parent: int, name: str, progress: Progress | None, left_out: list[str]) -> None:
        with contextlib.suppress(FileExistsError):
            os.mkdir(name, 0o700, dir_fd=parent)
        try:
            here = os.open(name, os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent)
        except OSError as error:
            raise Conflict(f"'{name}' is in the way of a directory from the node ({error.strerror})") from error
        try:
            for entry in self.names(source):
                if "/" in entry or entry in ("", ".", ".."):
                    raise SwapbedError(f"the node names a file '{entry}'", where=source)
                path = f"{source.rstrip('/')}/{entry}"
                self._get(path, self.stat(path), here, entry, progress, left_out)
            os.fchmod(here, info.mode & 0o777)
            os.utime(here, ns=(info.mtime_ns, info.mtime_ns))
        finally:
            os.close(here)


def _unlink(parent: int, name: str) -> None:
    with contextlib.suppress(FileNotFoundError):
        os.unlink(name, dir_fd=parent)


def _pieces(source: Path, target: str, progress: Progress | None) -> Iterator[bytes]:
    done = 0
    with source.open("rb") as file:
        while piece := file.read(PIECE_BYTES):
            yield piece
            done += len(piece)
            if progress:
                progress(target, done)
