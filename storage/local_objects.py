"""Objects as files below one directory. What `put` returned from is on the disk: the file and its name are both fsynced."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from models.errors import HostProblem, NotFound, StoreProblem
from storage.objects import NEXT_IF_FULL, Bytes, ObjectInfo, checked

UNFINISHED = ".unfinished-"  # no key begins with a dot, so these are never listed
STORE_MODE = 0o700


class LocalObjects:
    """`ObjectStore` on a file system that has atomic rename within a directory."""

    def __init__(self, root: Path):
        self.root = root
        self.name = f"file://{root}"
        try:
            root.mkdir(mode=STORE_MODE, parents=True, exist_ok=True)
        except OSError as error:
            raise HostProblem(f"the store's directory cannot be made ({error.strerror})", where=str(root)) from error

    def path(self, key: str) -> Path:
        return self.root / checked(key)

    def put(self, key: str, data: Bytes) -> None:
        target = self.path(key)
        unfinished = target.with_name(f"{UNFINISHED}{os.urandom(8).hex()}")
        try:
            self._make_parents(target)
            with unfinished.open("xb", buffering=0) as file:
                view = memoryview(data)
                while view:
                    view = view[file.write(view):]
                os.fsync(file.fileno())
            self._publish(unfinished, target)
        except OSError as error:
            unfinished.unlink(missing_ok=True)
            raise self._problem(error, key) from error

    def adopt(self, key: str, file: Path) -> None:
        """Move a file, already fsynced, of the same file system in as that object. Doing it again, after a crash, is no error."""
        target = self.path(key)
        try:
            self._make_parents(target)
            self._publish(file, target)
        except FileNotFoundError as error:
            if not target.exists():
                raise NotFound("it was not there to be taken over", where=str(file)) from error
        except OSError as error:
            raise self._problem(error, key) from error

    def get(self, key: str, start: int = 0, end: int | None = None) -> bytes:
        try:
            with self.path(key).open("rb", buffering=0) as file:
                size = os.fstat(file.fileno()).st_size
                first, last, _ = slice(start, end).indices(size)
                file.seek(first)
                return self._read_exactly(file.fileno(), max(0, last - first))
        except FileNotFoundError as error:
            raise self._missing(key) from error
        except OSError as error:
            raise self._problem(error, key) from error

    def size(self, key: str) -> int:
        try:
            return self.path(key).stat().st_size
        except FileNotFoundError as error:
            raise self._missing(key) from error

    def listing(self, prefix: str = "") -> Iterator[ObjectInfo]:
        folder, _, beginning = prefix.rpartition("/")
        yield from self._below(self.root / checked(folder) if folder else self.root, beginning)

    def delete(self, keys: Iterable[str]) -> None:
        folders: set[Path] = set()
        for key in keys:
            path = self.path(key)
            try:
                path.unlink(missing_ok=True)
            except OSError as error:
                raise self._problem(error, key) from error
            folders.add(path.parent)
        for folder in folders:
            if folder.exists():
                _fsync_directory(folder)

    def unfinished(self, older_than_s: float) -> Iterator[Path]:
        """Left over from writers that were killed: modified before older_than_s (seconds since 1970)."""
        for folder, _, names in os.walk(self.root):
            for name in names:
                path = Path(folder) / name
                if name.startswith(UNFINISHED) and path.stat().st_mtime < older_than_s:
                    yield path

    def _below(self, folder: Path, beginning: str) -> Iterator[ObjectInfo]:
        try:
            entries = list(os.scandir(folder))
        except FileNotFoundError:
            return
        for entry in entries:
            if entry.name.startswith(beginning) and not entry.name.startswith("."):
                if entry.is_dir(follow_symlinks=False):
                    yield from self._below(Path(entry.path), "")
                else:
                    try:
                        status = entry.stat(follow_symlinks=False)
                    except FileNotFoundError:
                        continue  # deleted since
                    yield ObjectInfo(str(Path(entry.path).relative_to(self.root)), status.st_size, status.st_mtime)

    def _make_parents(self, target: Path) -> None:
        missing = []
        folder = target.parent
        while not folder.exists():
            missing.append(folder)
            folder = folder.parent
        for made in reversed(missing):
            made.mkdir(mode=STORE_MODE, exist_ok=True)
            _fsync_directory(made.parent)

    def _publish(self, file: Path, target: Path) -> None:
        file.rename(target)
        _fsync_directory(target.parent)

    @staticmethod
    def _read_exactly(fd: int, size: int) -> bytes:
        data = os.read(fd, size)
        while len(data) < size and (more := os.read(fd, size - len(data))):
            data += more
        return data

    def _missing(self, key: str) -> NotFound:
        return NotFound(f"no object '{key}'", where=self.name)

    def _problem(self, error: OSError, key: str) -> StoreProblem:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            return StoreProblem(f"no space left for '{key}'", where=self.name, next=NEXT_IF_FULL)
        return StoreProblem(f"'{key}': {error.strerror}", where=self.name)


def _fsync_directory(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
