"""Writing archives of the kernel's initramfs format (newc: cpio(5), kernel's buffer-format.rst). Equal content gives equal bytes."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import BinaryIO

ALIGNMENT = 4
PIECE_BYTES = 1 << 20


class Archive:
    """Onto the end of a file; `close` ends the archive, another may follow. Names are relative to the root; parents come first."""

    def __init__(self, out: BinaryIO):
        self._out, self._number = out, 0
        self._pad()

    def directory(self, name: str, mode: int = 0o755) -> None:
        self._entry(name, stat.S_IFDIR | mode, 0)

    def link(self, name: str, target: str) -> None:
        content = os.fsencode(target)
        self._entry(name, stat.S_IFLNK | 0o777, len(content))
        self._out.write(content)
        self._pad()

    def file(self, name: str, content: bytes, mode: int = 0o644, *, owner: tuple[int, int] = (0, 0), mtime_s: int = 0) -> None:
        self._entry(name, stat.S_IFREG | mode, len(content), owner, mtime_s)
        self._out.write(content)
        self._pad()

    def files(self, contents: Mapping[str, bytes]) -> None:
        """With their directories."""
        made: set[str] = set()
        for name, content in contents.items():
            for parent in reversed(Path(name).parents[:-1]):
                if str(parent) not in made:
                    made.add(str(parent))
                    self.directory(str(parent))
            self.file(name, content)

    def tree(self, name: str, source: Path) -> None:
        """A directory of this host and what is in it, with modes, owners and times; devices, sockets and FIFOs are left out."""
        self.directory(name, stat.S_IMODE(source.stat().st_mode))
        for entry in sorted(os.scandir(source), key=lambda entry: entry.name):
            below, info = f"{name}/{entry.name}", entry.stat(follow_symlinks=False)
            if stat.S_ISDIR(info.st_mode):
                self.tree(below, Path(entry.path))
            elif stat.S_ISLNK(info.st_mode):
                self.link(below, os.readlink(entry.path))
            elif stat.S_ISREG(info.st_mode):
                self._entry(below, info.st_mode, info.st_size, (info.st_uid, info.st_gid), int(info.st_mtime))
                with Path(entry.path).open("rb") as file:
                    while piece := file.read(PIECE_BYTES):
                        self._out.write(piece)
                self._pad()

    def close(self) -> None:
        self._entry("TRAILER!!!", 0, 0)

    def _entry(self, name: str, mode: int, size: int, owner: tuple[int, int] = (0, 0), mtime_s: int = 0) -> None:
        self._number += 1
        encoded = os.fsencode(name) + b"\0"
        links = 2 if stat.S_ISDIR(mode) else 1
        numbers = (self._number, mode, *owner, links, max(0, mtime_s), size, 0, 0, 0, 0, len(encoded), 0)
        self._out.write(b"070701" + b"".join(b"%08X" % number for number in numbers) + encoded)
        self._pad()

    def _pad(self) -> None:
        self._out.write(bytes(-self._out.tell() % ALIGNMENT))
