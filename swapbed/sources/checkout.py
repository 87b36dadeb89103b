"""The hidden file that makes a directory a checkout: it says which template lies there, so that `commit` knows the parent."""

from __future__ import annotations

import os
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from models.errors import InvalidInput

MARKER = ".swapbed-checkout.json"


class Checkout(BaseModel):
    """template: the digest of what was checked out or committed last. datastore: the directory with its files, relative to this one."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: int = Field(default=1, ge=1, le=1)
    project: str
    template: str = Field(pattern=r"^[0-9a-f]{64}$")
    name: str
    source_name: str
    datastore: str | None = None


def write_checkout(directory: Path, checkout: Checkout) -> None:
    """Whole or not at all."""
    draft = directory / f"{MARKER}.new"
    draft.write_text(checkout.model_dump_json(indent=1) + "\n")
    os.replace(draft, directory / MARKER)


def find_checkout(directory: Path) -> tuple[Path, Checkout]:
    """The checkout that the directory is, or lies in; raises InvalidInput if it is none."""
    start = directory.resolve()
    for place in (start, *start.parents):
        if (marker := place / MARKER).is_file():
            try:
                return place, Checkout.model_validate_json(marker.read_text())
            except (ValidationError, OSError, UnicodeDecodeError) as error:
                raise InvalidInput("this file, which tells what was checked out, cannot be read", where=str(marker),
                                   next="Check the template out again, elsewhere, and copy your changes there") from error
    raise InvalidInput("this directory is no checkout of a template, nor is one above it", where=str(start),
                       next="`swapbed template checkout NAME DIRECTORY` makes one; `swapbed template create` begins a new tree")
