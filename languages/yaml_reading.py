"""From the YAML tree to plain values and on through a reader, with every error at the line of the very value."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from pydantic import ValidationError

from languages.draft import explain
from languages.words import Misread, Plain
from languages.yaml_tree import Items, Part, Scalar, Table, describe
from models.errors import InvalidInput

Result = TypeVar("Result")


def plain(part: Part) -> Plain:
    """Texts, lists and mappings of texts; None for a null."""
    if isinstance(part, Scalar):
        return part.text
    if isinstance(part, Items):
        return [plain(item) for item in part.items]
    return {key: plain(value) for key, value in part.items.items()}


class Reading:
    """One source; name: for errors."""

    def __init__(self, name: str):
        self.name = name

    def where(self, part: Part, *path: str | int) -> str:
        """Of what the path leads to: a key's own line, an item's first."""
        line = part.line
        for step in path:
            if isinstance(part, Table) and str(step) in part.items:
                line, part = part.key_lines[str(step)], part.items[str(step)]
            elif isinstance(part, Items) and isinstance(step, int) and step < len(part.items):
                part = part.items[step]
                line = part.line
            else:
                break
        return f"{self.name}:{line}"

    def read(self, part: Part, reader: Callable[[Plain], Result], line_of: Part | None = None, *path: str | int) -> Result:
        """The reader's result; line_of and path: where the part stands, if that tells more than its own line."""
        try:
            return reader(plain(part))
        except Misread as error:
            where = self.where(part, *error.path) if error.path or line_of is None else self.where(line_of, *path)
            raise InvalidInput(str(error), where=where, next=error.next) from None
        except ValidationError as error:
            raise InvalidInput(explain(error), where=self._best(part, line_of, *path)) from None
        except ValueError as error:
            raise InvalidInput(str(error), where=self._best(part, line_of, *path)) from None

    def _best(self, part: Part, line_of: Part | None, *path: str | int) -> str:
        return self.where(part) if line_of is None else self.where(line_of, *path)

    def table(self, parent: Table, key: str, expected: str) -> Table:
        """The mapping at a key; an empty one if it is absent or null."""
        part = parent.items.get(key)
        if part is None or (isinstance(part, Scalar) and part.text is None):
            return Table(parent.key_lines.get(key, parent.line))
        if not isinstance(part, Table):
            raise InvalidInput(f"expected {expected}, not {describe(part)}", where=self.where(parent, key))
        return part

    def items(self, parent: Table, key: str, expected: str) -> Items:
        """The list at a key; an empty one if it is absent or null."""
        part = parent.items.get(key)
        if part is None or (isinstance(part, Scalar) and part.text is None):
            return Items(parent.key_lines.get(key, parent.line))
        if not isinstance(part, Items):
            raise InvalidInput(f"expected {expected}, not {describe(part)}", where=self.where(parent, key))
        return part
