"""One template, and the difference of two, as tables."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from pydantic import BaseModel
from rich.console import RenderableType

from models.manifest import FileKind, ListedFile
from models.tables import Template
from storage.store import Store
from swapbed.present import html, units
from swapbed.present.file_names import printable_file
from swapbed.present.output import table
from swapbed.template_difference import TemplateDifference

FILES_SHOWN = 40


class ShownTemplate(BaseModel):
    """parent: `name@3`'s digest. files: of its datastore."""

    id: str
    name: str
    number: int
    digest: str
    parent: str | None
    language: str
    source_name: str
    source: str | None
    parameters: list[dict[str, Any]]
    externals: list[dict[str, Any]]
    datastore: str | None
    datastore_name: str | None
    files: list[ListedFile]
    hidden: bool
    expunged: bool
    imported_from: str | None
    created_at: datetime
    created_by: str

    def _repr_html_(self) -> str:
        files = [(file.path, file.size_bytes) for file in self.files if file.kind != FileKind.DIRECTORY]
        return (html.heading(f"{self.name}@{self.number}", remark=f"{self.digest[:12]}, child of {self.parent[:12]}" if self.parent
                             else self.digest[:12])
                + html.table(("parameter", "default", "type", "description"), [
                    (p["name"], p["default"], p["type"], p["description"]) for p in self.parameters], empty="no parameters")
                + html.folded(self.source_name, html.output(self.source or "expunged", ""))
                + html.folded(f"{len(files)} files", html.table(("file", "bytes"), files)))


def shown(template: Template, parent: Template | None, store: Store) -> ShownTemplate:
    return ShownTemplate(**template.model_dump(exclude={"parent_id", "root_id", "project_id", "hidden_at", "expunged_at"}),
                         parent=parent.digest if parent else None, hidden=template.hidden_at is not None,
                         expunged=template.expunged_at is not None,
                         files=[printable_file(file) for file in store.list_tree(template.datastore)] if template.datastore else [])


def as_tables(one: ShownTemplate) -> list[RenderableType]:
    facts = [("template", f"{one.name}@{one.number}"), ("hash", one.digest), ("parent", one.parent or "none: the root of its tree"),
             ("source", f"{one.source_name} ({one.language})" if not one.expunged else "expunged"),
             ("made", f"{one.created_at:%Y-%m-%d %H:%M:%S} UTC by {one.created_by}"), ("datastore", one.datastore or "no files")]
    parts: list[RenderableType] = [table(None, ("", ""), facts)]
    if one.parameters:
        parts.append(table("Parameters", ("name", "default", "type", "description"), [
            (p["name"], p["default"] if p["default"] is not None else "(must be given)", p["type"], p["description"])
            for p in one.parameters]))
    if one.externals:
        parts.append(table("From elsewhere", ("path", "source", "revision", "as"), [
            (pin["at"], pin.get("git") or pin.get("s3"), pin.get("revision", ""), pin.get("commit", pin["tree"])[:12])
            for pin in one.externals]))
    files = [(file.path, file.target if file.kind == FileKind.SYMLINK else units.size(file.size_bytes))
             for file in one.files if file.kind != FileKind.DIRECTORY]
    if files:
        parts.append(table("Files", ("path", "#size or target"), files, limit=FILES_SHOWN))
    return parts


def difference_tables(found: TemplateDifference) -> list[RenderableType]:
    if not found:
        return [f"{found.before} and {found.after} are the same"]
    parts: list[RenderableType] = [found.source.rstrip("\n")] if found.source else []
    if found.parameters:
        parts.append(table("Parameters", ("name", found.before, found.after), [
            (change.name, _default(change.before), _default(change.after)) for change in found.parameters]))
    if found.files:
        parts.append(table("Files", ("path", "change", "#before", "#after"), [
            (one.path, f"{one.change}{f' ({chr(44).join(one.what)})' if one.what else ''}", units.size(one.size_before),
             units.size(one.size_after)) for one in found.files]))
    return parts


def _default(parameter: dict[str, Any] | None) -> str:
    if parameter is None:
        return "not there"
    return parameter["default"] if parameter["default"] is not None else "(must be given)"
