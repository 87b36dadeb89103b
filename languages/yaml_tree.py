"""YAML text to a tree that knows the line of everything in it, and that no text can make explode.

Built from PyYAML's events rather than its composer, which recurses: no tags, no types, no second document; a scalar is
its text, so that YAML 1.1's surprises (`no`, `1:30`, `012`) mean what they look like. Aliases share their anchor's part of
the tree and merge keys (`<<`) are merged. Refused: duplicate keys, an alias inside its own anchor, and whatever is over the
limits below, aliases counted as if written out.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NoReturn, TypeAlias

import yaml

from models.errors import InvalidInput

LENGTH_LIMIT = 1 << 20
PARTS_LIMIT = 200_000
DEPTH_LIMIT = 40

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_NULLS = ("", "~", "null", "Null", "NULL")
_NULL_TAG = "tag:yaml.org,2002:null"
_TAGS = tuple("tag:yaml.org,2002:" + name for name in ("str", "int", "float", "bool", "null", "seq", "map"))


@dataclass(frozen=True)
class Scalar:
    """text is None for a null. plain: not quoted, so that a type may be read from how it looks."""

    text: str | None
    line: int
    plain: bool = True


@dataclass
class Items:
    """A YAML sequence."""

    line: int
    items: list[Part] = field(default_factory=list)


@dataclass
class Table:
    """A YAML mapping; keys are scalars, kept with their own lines, in order."""

    line: int
    items: dict[str, Part] = field(default_factory=dict)
    key_lines: dict[str, int] = field(default_factory=dict)

    def put(self, key: str, line: int, value: Part) -> None:
        self.items[key] = value
        self.key_lines[key] = line


Part: TypeAlias = Scalar | Items | Table


def describe(part: Part) -> str:
    """For errors: what stands there."""
    if isinstance(part, Scalar):
        return "nothing" if part.text is None else f"'{part.text[:60]}'"
    return "a list" if isinstance(part, Items) else "a mapping"


def parse(name: str, text: str) -> Part:
    """The document's tree. InvalidInput with FILE:LINE for anything this module refuses."""
    if len(text) > LENGTH_LIMIT:
        raise InvalidInput(f"the file is over {LENGTH_LIMIT >> 20} MiB", where=name, next="Put data into the datastore.")
    builder = _Builder(name)
    try:
        for event in yaml.parse(text, Loader=_LOADER):
            builder.take(event)
    except yaml.MarkedYAMLError as error:
        raise _malformed(name, text, error) from None
    except yaml.YAMLError as error:
        raise InvalidInput(f"malformed YAML: {str(error).splitlines()[0]}", where=_where(name, text, error)) from None
    return builder.result()


def _malformed(name: str, text: str, error: yaml.MarkedYAMLError) -> InvalidInput:
    """What never closes is noticed at the end of the file only, so where it began is said, too."""
    last = text.rstrip("\n").count("\n") + 1
    found, begun = (min(mark.line + 1, last) if mark else None for mark in (error.problem_mark, error.context_mark))
    said = " ".join(part for part in (error.context, error.problem) if part)
    since = f" (begun on line {begun})" if begun is not None and begun != found else ""
    return InvalidInput(f"malformed YAML: {said}{since}", where=f"{name}:{found or begun}" if found or begun else name)


def _where(name: str, text: str, error: Exception) -> str:
    """A reader's error (a control character, say) carries a position in the text instead of a mark."""
    position = getattr(error, "position", None)
    return f"{name}:{text.count(chr(10), 0, position) + 1}" if isinstance(position, int) else name


@dataclass
class _Open:
    """A collection being read. size: parts in it so far, aliases written out."""

    part: Items | Table
    anchor: str | None
    size: int = 1
    key: Scalar | None = None
    merged: list[Table] = field(default_factory=list)


class _Builder:
    def __init__(self, name: str):
        self._name = name
        self._stack: list[_Open] = []
        self._anchors: dict[str, tuple[Part, int]] = {}
        self._root: Part | None = None
        self._size = 0

    def take(self, event: yaml.Event) -> None:
        line = event.start_mark.line + 1 if event.start_mark else 1
        if isinstance(event, yaml.DocumentStartEvent) and self._root is not None:
            self._refuse("a second document begins here: expected one", line)
        if isinstance(event, yaml.AliasEvent):
            self._alias(event.anchor or "", line)
        elif isinstance(event, yaml.ScalarEvent):
            self._check_tag(event, line)
            plain = event.implicit[0] or event.tag == _NULL_TAG
            if "\0" in event.value or (not event.value.isascii() and any("\ud800" <= c <= "\udfff" for c in event.value)):
                self._refuse("a text holds a character that nothing can carry (NUL, or half of a surrogate pair)", line)
            scalar = Scalar(None if plain and event.value in _NULLS else event.value, line, plain)
            self._finish(scalar, 1, event.anchor)
        elif isinstance(event, (yaml.SequenceStartEvent, yaml.MappingStartEvent)):
            self._check_tag(event, line)
            if len(self._stack) >= DEPTH_LIMIT:
                self._refuse(f"nested more than {DEPTH_LIMIT} deep", line)
            if event.anchor:
                self._anchors.pop(event.anchor, None)
            self._stack.append(_Open(Items(line) if isinstance(event, yaml.SequenceStartEvent) else Table(line), event.anchor))
        elif isinstance(event, (yaml.SequenceEndEvent, yaml.MappingEndEvent)):
            done = self._stack.pop()
            self._merge(done)
            self._finish(done.part, done.size, done.anchor)

    def result(self) -> Part:
        if self._root is None or (isinstance(self._root, Scalar) and self._root.text is None):
            raise InvalidInput("the file is empty: expected nodes and links", where=self._name)
        return self._root

    def _finish(self, part: Part, size: int, anchor: str | None) -> None:
        """Into the collection it stands in."""
        if anchor:
            self._anchors[anchor] = (part, size)
        if not self._stack:
            self._root = part
            return
        parent = self._stack[-1]
        parent.size += size
        if sum(o.size for o in self._stack) > PARTS_LIMIT:
            self._refuse(f"more than {PARTS_LIMIT} values, aliases written out", part.line)
        if isinstance(parent.part, Items):
            parent.part.items.append(part)
        elif parent.key is None:
            if not isinstance(part, Scalar):
                self._refuse(f"{describe(part)} cannot be a key", part.line)
            parent.key = part
        else:
            self._pair(parent, parent.part, parent.key, part)
            parent.key = None

    def _pair(self, parent: _Open, table: Table, key: Scalar, value: Part) -> None:
        if key.text == "<<" and key.plain:
            sources = value.items if isinstance(value, Items) else [value]
            if not all(isinstance(s, Table) for s in sources):
                self._refuse("'<<' merges mappings only", key.line)
            parent.merged += [s for s in sources if isinstance(s, Table)]
            return
        name = "" if key.text is None else key.text
        if name in table.items:
            self._refuse(f"the key '{name}' stands here for the second time (first on line {table.key_lines[name]})", key.line)
        table.put(name, key.line, value)

    def _merge(self, done: _Open) -> None:
        """The mapping's own keys win over merged ones, earlier merged ones over later."""
        for source in done.merged:
            assert isinstance(done.part, Table)
            for key, value in source.items.items():
                if key not in done.part.items:
                    done.part.put(key, source.key_lines[key], value)

    def _alias(self, anchor: str, line: int) -> None:
        if any(o.anchor == anchor for o in self._stack):
            self._refuse(f"'*{anchor}' refers to the part it stands in", line)
        if anchor not in self._anchors:
            self._refuse(f"'*{anchor}' refers to no anchor before it", line)
        part, size = self._anchors[anchor]
        self._finish(part, size, None)

    def _check_tag(self, event: yaml.NodeEvent, line: int) -> None:
        tag = getattr(event, "tag", None)
        if tag not in (None, "!", *_TAGS):
            self._refuse(f"the tag '{tag}' has no meaning here", line)

    def _refuse(self, what: str, line: int) -> NoReturn:
        raise InvalidInput(what, where=f"{self._name}:{line}")
