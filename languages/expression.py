"""`${…}` in texts: a parameter's value, or arithmetic on parameters and numbers, by a parser of our own.

    expression = term (("+" | "-") term)*
    term       = factor (("*" | "/" | "//" | "%") factor)*
    factor     = ("+" | "-") factor | number [unit] | NAME | ("min" | "max") "(" expression ("," expression)* ")" | "(" expression ")"

Values with units keep them (`${DELAY * 2}` of 20ms is 40ms): + and - want like units, * and / at most one, and like units
divide to a plain number; `//` and `%` round towards minus infinity, as in Python. Arithmetic is exact (fractions); a result
that is no finite decimal is written with 15 significant digits.
`${NAME:-text}` and `${NAME:=text}` stand for the text where there is no such parameter, as in containerlab's files. `$$` is a
dollar sign. A `$` without brace is left to the shell, and so are the names that only a run knows (`${DATASTORE}` …).
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction

from languages.nearest import nearest
from languages.parameters import RUNTIME_NAMES

_LENGTH_LIMIT = 1000
_RESULT_LIMIT = 1 << 20
_DEPTH_LIMIT = 50
_MAGNITUDE_LIMIT = 10**30
_OPENING = re.compile(r"\$(\$|\{)")
_TOKEN = re.compile(r"\s*(?:(?P<number>(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d{1,3})?)(?P<unit>%(?!\s*[\w(.])|[A-Za-zµμ]+)?"
                    r"|(?P<name>[A-Za-z_]\w*)|(?P<sign>//|[-+*/%(),])|(?P<bad>\S))")
_QUANTITY = re.compile(r"\s*(?P<number>[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d{1,3})?)\s*(?P<unit>%|[A-Za-zµμ/]*)\s*")
_DEFAULT = re.compile(r"\s*(?P<name>[A-Za-z_]\w*):[-=](?P<text>.*)", re.DOTALL)
_NAME = re.compile(r"\s*([A-Za-z_]\w*)\s*")


@dataclass(frozen=True)
class Quantity:
    number: Fraction
    unit: str = ""

    def __str__(self) -> str:
        if self.number.denominator == 1:
            return f"{self.number.numerator}{self.unit}"
        return f"{float(self.number):.15g}{self.unit}"


def substitute(text: str, values: Mapping[str, str]) -> str:
    """The text with every `${…}` replaced. Raises ValueError saying what was expected."""
    if "$" not in text:
        return text
    pieces: list[str] = []
    at = length = 0
    while (opening := _OPENING.search(text, at)) is not None:
        pieces.append(text[at:opening.start()])
        at = opening.end()
        if opening[1] == "$":
            pieces.append("$")
            continue
        end = _closing(text, at)
        pieces.append(_replace(text[at:end], values))
        at = end + 1
        length += len(pieces[-1])
        if length > _RESULT_LIMIT:
            raise ValueError(f"a text comes out longer than {_RESULT_LIMIT >> 20} MiB")
    pieces.append(text[at:])
    return "".join(pieces)


def calculate(expression: str, values: Mapping[str, str]) -> Quantity:
    """What the expression between the braces comes to. Raises ValueError."""
    if len(expression) > _LENGTH_LIMIT:
        raise ValueError(f"an expression is longer than {_LENGTH_LIMIT} characters")
    parser = _Parser(expression, values)
    result = parser.expression(0)
    parser.expect_end()
    return result


def _closing(text: str, start: int) -> int:
    """The brace that closes one opened before start; braces inside pair up."""
    depth = 1
    for at in range(start, len(text)):
        depth += {"{": 1, "}": -1}.get(text[at], 0)
        if depth == 0:
            return at
    raise ValueError(f"'${{{text[start:start + 20]}' lacks its closing brace '}}'")


def _replace(inside: str, values: Mapping[str, str]) -> str:
    if (name := _NAME.fullmatch(inside)) is not None:
        if name[1] in values:
            return values[name[1]]
        if name[1] in RUNTIME_NAMES:
            return f"${{{name[1]}}}"
        raise _unknown(name[1], values)
    if (default := _DEFAULT.fullmatch(inside)) is not None:
        return values.get(default["name"]) or substitute(default["text"], values)
    try:
        return str(calculate(inside, values))
    except ZeroDivisionError:
        raise ValueError(f"division by zero in '${{{inside}}}'") from None


def _unknown(name: str, values: Mapping[str, str]) -> ValueError:
    hint = nearest(name, values)
    return ValueError(f"there is no parameter '{name}'{': ' + hint[0].lower() + hint[1:].rstrip('.') if hint else ''} "
                      f"(declare it under parameters; to leave it to the shell, write $${{{name}}})")


class _Parser:
    """Recursive descent over the tokens of one expression; depth counts open parentheses and signs."""

    def __init__(self, text: str, values: Mapping[str, str]):
        self._text, self._values, self._at = text, values, 0
        self._tokens = [m for m in _TOKEN.finditer(text) if m.group().strip()]
        for token in self._tokens:
            if token["bad"]:
                raise ValueError(f"'{token['bad']}' is not understood in '${{{text}}}': expected names, numbers, + - * / // %, "
                                 f"min, max and parentheses (to leave it to the shell, write $${{…}})")

    def expression(self, depth: int) -> Quantity:
        left = self._term(depth)
        while (sign := self._take("+", "-")) is not None:
            right = self._term(depth)
            left = Quantity(left.number + (right.number if sign == "+" else -right.number), self._like(left, right))
        return left

    def expect_end(self) -> None:
        if self._at < len(self._tokens):
            raise self._expected("an operator or the end", self._tokens[self._at].group().strip())

    def _term(self, depth: int) -> Quantity:
        left = self._factor(depth)
        while (sign := self._take("*", "/", "//", "%")) is not None:
            left = self._combine(left, sign, self._factor(depth))
        return left

    def _combine(self, left: Quantity, sign: str, right: Quantity) -> Quantity:
        if sign == "*":
            if left.unit and right.unit:
                raise ValueError(f"{left} times {right} has no meaning in '${{{self._text}}}': only one of them may have a unit")
            result = Quantity(left.number * right.number, left.unit or right.unit)
        elif sign == "%":
            result = Quantity(left.number % right.number, self._like(left, right))
        else:
            if right.unit and left.unit != right.unit:
                raise ValueError(f"{left} by {right} has no meaning in '${{{self._text}}}': expected like units, or a divisor without")
            number = left.number / right.number
            number = Fraction(math.floor(number)) if sign == "//" else number
            result = Quantity(number, "" if right.unit else left.unit)
        if abs(result.number) > _MAGNITUDE_LIMIT or result.number.denominator > _MAGNITUDE_LIMIT:
            raise ValueError(f"'${{{self._text}}}' grows out of range")
        return result

    def _like(self, left: Quantity, right: Quantity) -> str:
        if left.unit != right.unit:
            raise ValueError(f"{left} and {right} have unlike units in '${{{self._text}}}'")
        return left.unit

    def _factor(self, depth: int) -> Quantity:
        if depth > _DEPTH_LIMIT:
            raise ValueError(f"an expression is nested more than {_DEPTH_LIMIT} deep")
        if (sign := self._take("+", "-")) is not None:
            operand = self._factor(depth + 1)
            return operand if sign == "+" else Quantity(-operand.number, operand.unit)
        if self._take("(") is not None:
            inner = self.expression(depth + 1)
            self._close()
            return inner
        if self._at == len(self._tokens):
            raise self._expected("a number, a parameter or '('", "the end")
        token = self._tokens[self._at]
        self._at += 1
        if token["number"]:
            return Quantity(Fraction(token["number"]), token["unit"] or "")
        if token["name"]:
            called = token["name"] in ("min", "max") and self._take("(") is not None
            return self._call(token["name"], depth) if called else self._value(token["name"])
        raise self._expected("a number, a parameter or '('", token["sign"])

    def _call(self, name: str, depth: int) -> Quantity:
        operands = [self.expression(depth + 1)]
        while self._take(",") is not None:
            operands.append(self.expression(depth + 1))
            self._like(operands[0], operands[-1])
        self._close()
        return (min if name == "min" else max)(operands, key=lambda q: q.number)

    def _value(self, name: str) -> Quantity:
        if name not in self._values:
            raise _unknown(name, self._values)
        match = _QUANTITY.fullmatch(self._values[name])
        if match is None:
            raise ValueError(f"parameter '{name}' is '{self._values[name][:60]}', which is not a number, in '${{{self._text}}}'")
        return Quantity(Fraction(match["number"]), match["unit"])

    def _take(self, *signs: str) -> str | None:
        if self._at < len(self._tokens) and self._tokens[self._at]["sign"] in signs:
            self._at += 1
            return self._tokens[self._at - 1]["sign"]
        return None

    def _close(self) -> None:
        if self._take(")") is None:
            found = self._tokens[self._at].group().strip() if self._at < len(self._tokens) else "the end"
            raise self._expected("')'", found)

    def _expected(self, what: str, found: str) -> ValueError:
        return ValueError(f"expected {what} in '${{{self._text}}}', found {found if found == 'the end' else repr(found)}")
