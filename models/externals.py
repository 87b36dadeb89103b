"""Sources elsewhere that a template's files come from besides its own: a git repository at a revision, or what is below an S3 prefix."""

from __future__ import annotations

import re
from pathlib import PurePosixPath
from typing import Annotated, Any, TypeAlias

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, TypeAdapter

S3_URL = re.compile(r"s3://[a-z0-9][a-z0-9.-]{1,62}(/[A-Za-z0-9._/-]*)?")


def _place(text: str) -> str:
    path = PurePosixPath(text)
    if path.is_absolute() or ".." in path.parts or not path.parts or "\0" in text:
        raise ValueError(f"'{text}' is no path within it")
    return str(path)


def _word(text: str) -> str:
    """Of what becomes an argument of git."""
    if not text or text.startswith("-") or any(character.isspace() or character == "\0" for character in text):
        raise ValueError(f"'{text}' is neither an address nor a revision")
    return text


def _s3(text: str) -> str:
    if not S3_URL.fullmatch(text):
        raise ValueError(f"'{text}' is not of the form s3://BUCKET/PREFIX")
    return text


Place = Annotated[str, AfterValidator(_place)]
Word = Annotated[str, AfterValidator(_word)]


class GitSource(BaseModel):
    """at: where in the datastore. git: any address git understands, or a path relative to the source. path: only what is below it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    at: Place
    git: Word
    revision: Word
    path: Place | None = None


class S3Source(BaseModel):
    """endpoint: of a server that is not AWS. Credentials are never in a template: they are the settings', or as boto3 finds them."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    at: Place
    s3: Annotated[str, AfterValidator(_s3)]
    endpoint: str | None = Field(default=None, pattern=r"^https?://\S+$")


External: TypeAlias = GitSource | S3Source
EXTERNAL: TypeAdapter[External] = TypeAdapter(External)


def said_of(external: External) -> dict[str, str]:
    """As it is written in a source, but for `at`, the key there."""
    return external.model_dump(exclude={"at"}, exclude_none=True)


def pinned(external: External, tree: str, **found: str) -> dict[str, Any]:
    """As a template keeps it. tree: hash of the files; found: the commit of a revision."""
    return {**external.model_dump(exclude_none=True), "tree": tree, **found}


def same_source(external: External, pin: dict[str, Any]) -> bool:
    return pinned(external, pin.get("tree", ""), **({"commit": pin["commit"]} if "commit" in pin else {})) == pin


def overlapping(externals: list[External]) -> tuple[str, str] | None:
    """Two of which one would lie in the other."""
    places = sorted(PurePosixPath(one.at).parts for one in externals)
    for first, second in zip(places, places[1:], strict=False):
        if second[:len(first)] == first:
            return "/".join(first), "/".join(second)
    return None
