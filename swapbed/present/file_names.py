"""File names are bytes; what is printed is text."""

from __future__ import annotations

from models.manifest import ListedFile


def printable(name: str) -> str:
    r"""A name whose bytes are not UTF-8 (PEP 383) as any terminal and any JSON reader can show it: `na\xefve`."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def printable_file(file: ListedFile) -> ListedFile:
    return file.model_copy(update={"path": printable(file.path), "target": printable(file.target)})
