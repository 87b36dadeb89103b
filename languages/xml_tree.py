"""XML from strangers as a tree that knows its lines: no entities, no document type, nothing fetched, bounded depth and size."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from xml.parsers import expat

from models.errors import InvalidInput

DEPTH_LIMIT = 64
ELEMENTS_LIMIT = 500_000


@dataclass
class Element:
    """name: without its name space. attributes: likewise."""

    space: str
    name: str
    attributes: dict[str, str]
    line: int
    children: list[Element] = field(default_factory=list)
    text: str = ""

    def all(self, name: str) -> Iterator[Element]:
        """Children of this name, in whatever name space."""
        return (child for child in self.children if child.name == name)

    def first(self, name: str) -> Element | None:
        return next(self.all(name), None)


class _Builder:
    def __init__(self, name: str):
        self._name = name
        self._open: list[Element] = []
        self._count = 0
        self.root: Element | None = None
        self.parser = expat.ParserCreate("utf-8", " ")
        self.parser.StartElementHandler = self._start
        self.parser.EndElementHandler = self._end
        self.parser.CharacterDataHandler = self._characters
        self.parser.StartDoctypeDeclHandler = self._doctype
        self.parser.buffer_text = True

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        self._count += 1
        if len(self._open) >= DEPTH_LIMIT or self._count > ELEMENTS_LIMIT:
            raise InvalidInput(
                f"the document is nested more than {DEPTH_LIMIT} deep, or has more than {ELEMENTS_LIMIT} elements", where=self._where()
            )
        space, _, local = name.rpartition(" ")
        element = Element(space, local, {key.rpartition(" ")[2]: value for key, value in attributes.items()}, self.parser.CurrentLineNumber)
        if self._open:
            self._open[-1].children.append(element)
        else:
            self.root = element
        self._open.append(element)

    def _end(self, name: str) -> None:
        self._open.pop()

    def _characters(self, text: str) -> None:
        if self._open:
            self._open[-1].text += text

    def _doctype(self, *declared: object) -> None:
        raise InvalidInput(
            "the document declares a document type or entities, which are not read", where=self._where(), next="Remove <!DOCTYPE …>."
        )

    def _where(self) -> str:
        return f"{self._name}:{self.parser.CurrentLineNumber}"


def read_xml(text: str, name: str) -> Element:
    """The root. InvalidInput says NAME:LINE."""
    builder = _Builder(name)
    try:
        builder.parser.Parse(text.encode(), True)
    except expat.ExpatError as error:
        raise InvalidInput(f"not well-formed XML: {expat.ErrorString(error.code)}", where=f"{name}:{error.lineno}") from None
    assert builder.root is not None
    return builder.root
