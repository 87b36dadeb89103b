"""How sources elsewhere are written: `externals: {PLACE: {git: ADDRESS, revision: REVISION}}`, or with `s3: s3://BUCKET/PREFIX`."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from languages.words import Misread, Plain, Word, build, checked, mapping, text, within
from models.externals import External, GitSource, S3Source, overlapping

GIT = {name: Word(name, text) for name in ("git", "revision", "path")}
S3 = {name: Word(name, text) for name in ("s3", "endpoint")}


def read_externals(value: Plain) -> tuple[External, ...]:
    found = [within(str(at), partial(_read_at, checked(str(at))), said) for at, said in mapping(value).items()]
    if (both := overlapping(found)) is not None:
        raise Misread(f"'{both[1]}' would lie in '{both[0]}'", both[1])
    return tuple(found)


def _read_at(at: str, said: Plain) -> External:
    return read_external(at, mapping(said))


def read_external(at: str, said: Mapping[str, Plain]) -> External:
    if ("git" in said) == ("s3" in said):
        raise Misread("expected either git (with revision) or s3")
    if "git" in said:
        if said.get("revision") is None:
            raise Misread("a git repository needs a revision: a commit, tag or branch")
        return build(GitSource, GIT, said, "a git repository", at=at)
    return build(S3Source, S3, said, "an S3 prefix", at=at)
