"""What the shell offers when Tab is pressed: names of what lives on this host. Read from the state directory alone, to be quick."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from models.spec import Spec
    from nodeops.instance import InstanceRecord


def instances(incomplete: str) -> list[str]:
    return sorted(record.name for record in _records() if record.name.startswith(incomplete))


def nodes(ctx: typer.Context, incomplete: str) -> list[str]:
    spec = _spec(ctx.params.get("instance"))
    return [node.name for node in spec.nodes if node.name.startswith(incomplete)] if spec else []


def links(ctx: typer.Context, incomplete: str) -> list[str]:
    spec = _spec(ctx.params.get("instance"))
    return [lan.name for lan in spec.lans if lan.name.startswith(incomplete)] if spec else []


def targets(ctx: typer.Context, incomplete: str) -> list[str]:
    """Of events."""
    spec = _spec(ctx.params.get("instance"))
    return [name for name in spec.targets() if name.startswith(incomplete)] if spec else []


def _records() -> Iterator[InstanceRecord]:
    from models.settings import settings
    from nodeops.instance import layout_of, read_record

    root = settings().instances_dir
    for directory in root.iterdir() if root.is_dir() else ():
        if (record := read_record(layout_of(directory.name))) is not None:
            yield record


def _spec(instance: str | None) -> Spec | None:
    from nodeops.instance import layout_of, read_spec

    found = next((record for record in _records() if instance in (record.name, record.instance)), None)
    return read_spec(layout_of(found.instance)) if found else None
