"""The language of `swapbed search`: text to a tree of conditions, and whether a stored value meets one.

    query     = all {"or" all}              condition = NAME OPERATOR VALUE
    all       = one {"and" one}             OPERATOR  = "=" "!=" "<" "<=" ">" ">=" "~" (contains, whatever the case)
    one       = "not" one | "(" query ")" | condition
    NAME and VALUE = a word, or anything in single or double quotes

Values with units are compared as quantities (`1s` equals `1000ms`), numbers as numbers, all else as text.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NoReturn

from languages.units import parse_duration, parse_rate, parse_size
from models.errors import InvalidInput

_TOKEN = re.compile(r"""\s*(?:(?P<paren>[()])|(?P<operator>!=|<=|>=|[=<>~])
                       |"(?P<double>[^"]*)"|'(?P<single>[^']*)'|(?P<word>[^\s()=<>!~"']+))""", re.VERBOSE)
COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "=": operator.eq, "!=": operator.ne, "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge}
DEPTH_LIMIT = 50
_TEXT = ("word", "single", "double")
Quantity = tuple[str, float]
"""Dimension and number, in s, bit/s, bytes, or without unit."""


@dataclass(frozen=True)
class Condition:
    name: str
    operator: str
    value: str


@dataclass(frozen=True)
class Not:
    part: Query


@dataclass(frozen=True)
class All:
    parts: tuple[Query, ...]


@dataclass(frozen=True)
class Any_:
    parts: tuple[Query, ...]


Query = Condition | Not | All | Any_


def parse(text: str) -> Query:
    """Raises InvalidInput that shows the place."""
    reader = _Reader(text)
    query = reader.either(0)
    if reader.kind:
        reader.fail("'and' or 'or'")
    return query


def names_in(query: Query) -> list[str]:
    """Each once, in the order of the text."""
    match query:
        case Not(part):
            return names_in(part)
        case All(parts) | Any_(parts):
            return list(dict.fromkeys(name for part in parts for name in names_in(part)))
        case _:
            return [query.name]


def meets(condition: Condition, stored: str) -> bool:
    return meeting(condition)(stored)


def meeting(condition: Condition) -> Callable[[str], bool]:
    """Whether a stored value meets it. Quantities of different dimension are not comparable: no such condition is met but `!=`."""
    if condition.operator == "~":
        part = condition.value.lower()
        return lambda stored: part in stored.lower()
    wanted, compare = quantity(condition.value), COMPARE[condition.operator]

    def met(stored: str) -> bool:
        found = quantity(stored)
        if wanted is None and found is None:
            return compare(stored, condition.value)
        if wanted is None or found is None or wanted[0] != found[0]:
            return condition.operator == "!="
        return compare(found[1], wanted[1])

    return met


def quantity(text: str) -> Quantity | None:
    """None for text, which `nan` is: it would not even equal itself."""
    try:
        number = float(text)
        return ("", number) if number == number else None
    except ValueError:
        pass
    for dimension, read in (("s", parse_duration), ("bit/s", parse_rate), ("B", parse_size)):
        try:
            return dimension, float(read(text))
        except ValueError:
            continue
    return None


class _Reader:
    """One token ahead. kind: of the token, empty at the end."""

    def __init__(self, text: str):
        self.text, self.at, self.next = text, 0, 0
        self.kind, self.token = "", ""
        self.advance()

    def advance(self) -> None:
        self.at = self.next + len(self.text[self.next:]) - len(self.text[self.next:].lstrip())
        if self.at >= len(self.text):
            self.kind = self.token = ""
            return
        match = _TOKEN.match(self.text, self.next)
        if match is None:
            self.fail("a name, a value or an operator")
        self.kind, self.token, self.next = str(match.lastgroup), match[str(match.lastgroup)], match.end()

    def fail(self, expected: str) -> NoReturn:
        there = f"at '{self.text[self.at:self.at + 20]}'" if self.at < len(self.text) else "at its end"
        raise InvalidInput(f"this query is not understood {there}: expected {expected}", where=f"character {self.at + 1}",
                           next="Write it like 'delay > 10ms and outcome = ok'")

    def says(self, word: str) -> bool:
        """Take the word, if it is next."""
        if self.kind in ("word", "paren") and self.token.lower() == word:
            self.advance()
            return True
        return False

    def either(self, depth: int) -> Query:
        parts = [self.both(depth)]
        while self.says("or"):
            parts.append(self.both(depth))
        return parts[0] if len(parts) == 1 else Any_(tuple(parts))

    def both(self, depth: int) -> Query:
        parts = [self.one(depth)]
        while self.says("and"):
            parts.append(self.one(depth))
        return parts[0] if len(parts) == 1 else All(tuple(parts))

    def one(self, depth: int) -> Query:
        if depth > DEPTH_LIMIT:
            self.fail("fewer parentheses")
        if self.says("not"):
            return Not(self.one(depth + 1))
        if self.says("("):
            inside = self.either(depth + 1)
            if not self.says(")"):
                self.fail("')'")
            return inside
        return self.condition()

    def condition(self) -> Condition:
        name = self.take(_TEXT, "a name")
        chosen = self.take(("operator",), "one of = != < <= > >= ~")
        return Condition(name, chosen, self.take(_TEXT, "a value"))

    def take(self, kinds: tuple[str, ...], expected: str) -> str:
        if self.kind not in kinds:
            self.fail(expected)
        token = self.token
        self.advance()
        return token
