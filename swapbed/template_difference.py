"""How two templates differ: source, parameters, datastore files."""

from __future__ import annotations

import difflib
from typing import Any

from pydantic import BaseModel

from models.manifest import Difference, FileKind
from models.tables import Template
from storage.store import Store
from swapbed.present.file_names import printable


class ParameterChange(BaseModel):
    """before, after: as defined; None: not there."""

    name: str
    before: dict[str, Any] | None
    after: dict[str, Any] | None


class TemplateDifference(BaseModel):
    """source: a unified diff, empty if they are the same."""

    before: str
    after: str
    source: str
    parameters: list[ParameterChange]
    files: list[Difference]

    def __bool__(self) -> bool:
        return bool(self.source or self.parameters or self.files)


def difference(store: Store, before: Template, after: Template) -> TemplateDifference:
    names = [f"{one.name}@{one.number}" for one in (before, after)]
    lines = difflib.unified_diff((before.source or "").splitlines(keepends=True), (after.source or "").splitlines(keepends=True),
                                 f"{names[0]}/{before.source_name}", f"{names[1]}/{after.source_name}")
    source = "".join(line if line.endswith("\n") else line + "\n\\ No newline at end of file\n" for line in lines)
    return TemplateDifference(before=names[0], after=names[1], source=source, parameters=_parameters(before, after),
                              files=_files(store, before.datastore, after.datastore))


def _parameters(before: Template, after: Template) -> list[ParameterChange]:
    old, new = ({p["name"]: {key: p.get(key) for key in ("default", "type", "description")} for p in one.parameters}
                for one in (before, after))
    return [ParameterChange(name=name, before=old.get(name), after=new.get(name))
            for name in sorted(old.keys() | new.keys()) if old.get(name) != new.get(name)]


def _files(store: Store, before: str | None, after: str | None) -> list[Difference]:
    if before == after:
        return []
    if before and after:
        return [one.model_copy(update={"path": printable(one.path)}) for one in store.diff_trees(before, after)]
    listed = [file for file in store.list_tree(before or after or "") if file.kind != FileKind.DIRECTORY]
    if before:
        return [Difference(path=printable(file.path), change="removed", size_before=file.size_bytes) for file in listed]
    return [Difference(path=printable(file.path), change="added", size_after=file.size_bytes) for file in listed]
