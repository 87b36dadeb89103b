"""Parameters into a YAML tree: their declaration, `${…}` in every text, and parts that are repeated.

`count: N` on a named part (`client: {count: ${CLIENTS}}`) makes client-0 … client-(N-1), with `${index}` inside.
`each: {i: 3, site: [paris, rome], k: 1..4}` on any part that `REPEATED` names, in a list or by name, makes one for every
combination, the last variable running fastest; a name then holds its variables: `leaf-${i}`. Both may nest through values:
a later variable's range may use an earlier one.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Iterator, Mapping

from languages.expression import substitute
from languages.parameters import TYPES
from languages.words import Misread, Word, choice, read, text
from languages.yaml_tree import PARTS_LIMIT, Items, Part, Scalar, Table, describe
from models.errors import InvalidInput
from models.spec import Parameter

REPEATED = {("nodes",), ("links",), ("lans",), ("agents",), ("groups",), ("sequences",), ("timelines",), ("timeline",),
            ("sequences", "*"), ("timelines", "*"), ("lans", "*", "members")}
_TIMES = {("timeline",), ("timelines", "*")}  # whose keys are times: two that come out alike are one moment
INDEX = "index"
LENGTH_LIMIT = 32 << 20

_RANGE = re.compile(r"\s*(-?\d+)\s*\.\.\s*(-?\d+)\s*")
_NAME = re.compile(r"[A-Za-z_]\w*")
_LOOKS = (("integer", re.compile(r"[+-]?\d+")), ("number", re.compile(r"[+-]?(\d+\.\d*|\.\d+|\d+)([eE][+-]?\d+)?")),
          ("boolean", re.compile(r"true|false|True|False")))
_PARAMETER = {"default": Word("default", text), "description": Word("description", text), "type": Word("type", choice(*TYPES))}


def declared(name: str, root: Table) -> tuple[tuple[Parameter, ...], dict[str, int]]:
    """What `parameters` declares, and on which lines.

    `NAME: default`, or `NAME: {default, type, description}`; one without default must be given.
    """
    section = root.items.get("parameters")
    if section is None or (isinstance(section, Scalar) and section.text is None):
        return (), {}
    if not isinstance(section, Table):
        raise InvalidInput(f"expected parameters as NAME: default, not {describe(section)}", where=f"{name}:{section.line}")
    found = []
    for key, part in section.items.items():
        where = f"{name}:{section.key_lines[key]}"
        if not _NAME.fullmatch(key):
            raise InvalidInput(f"'{key}' is not a usable parameter name (letters, digits, '_')", where=where)
        found.append(_parameter(name, where, key, part))
    return tuple(found), dict(section.key_lines)


def _parameter(name: str, where: str, key: str, part: Part) -> Parameter:
    fields: dict[str, str] = {}
    shown = part
    if isinstance(part, Table):
        plain = {k: v.text if isinstance(v, Scalar) else describe(v) for k, v in part.items.items()}
        try:
            fields = read(_PARAMETER, plain, "a parameter")
        except Misread as error:
            raise InvalidInput(str(error), where=f"{name}:{part.key_lines[str(error.path[0])]}", next=error.next) from None
        shown = part.items.get("default", Scalar(None, part.line))
    if not isinstance(shown, Scalar):
        raise InvalidInput(f"the default of parameter '{key}' must be a single value, not {describe(shown)}", where=where)
    if shown.text is not None:
        try:
            fields["default"] = substitute(shown.text, {})
        except ValueError:
            raise InvalidInput(f"the default of parameter '{key}' cannot refer to others", where=where,
                               next="For a dollar sign before a brace, write two.") from None
        fields.setdefault("type", next((kind for kind, look in _LOOKS if shown.plain and look.fullmatch(shown.text)), "string"))
    return Parameter.model_validate({"name": key, "value": fields.get("default", ""), **fields})


def expand(name: str, root: Table, values: Mapping[str, str]) -> Table:
    """The tree without expressions and repetitions; `parameters` is left as it stands."""
    return _Expansion(name).table(root, values, ())


class _Expansion:
    def __init__(self, name: str):
        self._name = name
        self._made = 0
        self._length = 0

    def part(self, part: Part, values: Mapping[str, str], path: tuple[str, ...]) -> Part:
        self._made += 1
        if self._made > PARTS_LIMIT:
            raise InvalidInput(f"repetitions make more than {PARTS_LIMIT} values", where=f"{self._name}:{part.line}")
        if isinstance(part, Scalar):
            return part if part.text is None else Scalar(self._text(part.text, part.line, values), part.line, part.plain)
        return self.items(part, values, path) if isinstance(part, Items) else self.table(part, values, path)

    def items(self, items: Items, values: Mapping[str, str], path: tuple[str, ...]) -> Items:
        result = Items(items.line)
        for item in items.items:
            if _repeats(path) and isinstance(item, Table) and "each" in item.items:
                rest = _without(item, "each")
                result.items += [self.part(rest, {**values, **binding}, (*path, "*")) for binding in self._bindings(item, values)]
            else:
                result.items.append(self.part(item, values, (*path, "*")))
        return result

    def table(self, table: Table, values: Mapping[str, str], path: tuple[str, ...]) -> Table:
        result = Table(table.line)
        for key, part in table.items.items():
            line = table.key_lines[key]
            if key == "parameters" and not path:
                result.put(key, line, part)
                continue
            below = path if key == "topology" and not path else (*path, key)
            if _repeats(path) and isinstance(part, Table) and part.items.keys() & {"each", "count"}:
                rest = _without(part, "each", "count")
                for binding in self._bindings(part, values):
                    inner = {**values, **binding}
                    made = self._text(key, line, inner) + (f"-{binding[INDEX]}" if INDEX in binding else "")
                    self._put(result, made, line, self.part(rest, inner, below), path)
            else:
                self._put(result, self._text(key, line, values), line, self.part(part, values, below), path)
        return result

    def _put(self, table: Table, key: str, line: int, part: Part, path: tuple[str, ...]) -> None:
        if key in table.items and _matches(path, _TIMES):
            events = [event for p in (table.items[key], part) for event in (p.items if isinstance(p, Items) else [p])]
            part = Items(line, events)
        elif key in table.items:
            raise InvalidInput(f"the key '{key}' comes out for the second time (first from line {table.key_lines[key]})",
                               where=f"{self._name}:{line}", next="Put the variables of `each` into the name.")
        table.put(key, line, part)

    def _text(self, written: str, line: int, values: Mapping[str, str]) -> str:
        try:
            made = substitute(written, values)
        except ValueError as error:
            raise InvalidInput(str(error), where=f"{self._name}:{line}") from None
        self._length += len(made)
        if self._length > LENGTH_LIMIT:
            raise InvalidInput(f"repetitions make more than {LENGTH_LIMIT >> 20} MiB of text", where=f"{self._name}:{line}")
        return made

    def _bindings(self, part: Table, values: Mapping[str, str]) -> Iterator[dict[str, str]]:
        """Every combination of the part's variables, `count` as the first of them."""
        variables: list[tuple[str, Part, int]] = []
        if (count := part.items.get("count")) is not None:
            variables.append((INDEX, count, part.key_lines["count"]))
        if (each := part.items.get("each")) is not None:
            if not isinstance(each, Table):
                raise InvalidInput(f"expected each: {{VARIABLE: COUNT, FIRST..LAST or [VALUES]}}, not {describe(each)}",
                                   where=f"{self._name}:{each.line}")
            variables += [(key, each.items[key], each.key_lines[key]) for key in each.items]
        for variable, _, line in variables:
            if variable in values or not _NAME.fullmatch(variable):
                reason = "hides a parameter or an outer variable" if variable in values else "is not a usable name (letters, digits, '_')"
                raise InvalidInput(f"the variable '{variable}' {reason}", where=f"{self._name}:{line}")
        return self._combine(variables, values, {})

    def _combine(self, variables: list[tuple[str, Part, int]], values: Mapping[str, str],
                 bound: dict[str, str]) -> Iterator[dict[str, str]]:
        if not variables:
            yield dict(bound)
            return
        (variable, part, line), *rest = variables
        for value in self._range(variable, part, line, {**values, **bound}):
            yield from self._combine(rest, values, {**bound, variable: value})

    def _range(self, variable: str, part: Part, line: int, values: Mapping[str, str]) -> Iterator[str]:
        if isinstance(part, Items):
            return iter([self._scalar(item, values) for item in part.items])
        written = self._scalar(part, values)
        if (match := _RANGE.fullmatch(written)) is not None:
            return map(str, range(int(match[1]), int(match[2]) + 1))
        if not re.fullmatch(r"\d{1,9}", written):
            raise InvalidInput(f"'{written}' is no range for '{variable}': expected a count, FIRST..LAST or a list",
                               where=f"{self._name}:{line}")
        return map(str, itertools.islice(itertools.count(), int(written)))

    def _scalar(self, part: Part, values: Mapping[str, str]) -> str:
        if not isinstance(part, Scalar) or part.text is None:
            raise InvalidInput(f"expected a single value, not {describe(part)}", where=f"{self._name}:{part.line}")
        return self._text(part.text, part.line, values)


def _repeats(path: tuple[str, ...]) -> bool:
    """Whether the parts in the collection at this path may be repeated."""
    return _matches(path, REPEATED)


def _matches(path: tuple[str, ...], patterns: Iterable[tuple[str, ...]]) -> bool:
    return any(len(path) == len(pattern) and all(p in ("*", k) for p, k in zip(pattern, path, strict=True)) for pattern in patterns)


def _without(table: Table, *keys: str) -> Table:
    return Table(table.line, {k: v for k, v in table.items.items() if k not in keys}, dict(table.key_lines))
