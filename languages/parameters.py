"""Given parameter values against those a source declares: what is missing, unknown or of the wrong type."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from languages.nearest import nearest
from languages.units import parse_duration, parse_rate
from models.errors import InvalidInput
from models.spec import Parameter

RUNTIME_NAMES = frozenset({"DATASTORE", "ARCHIVE", "NODE", "LOGDIR", "RUN"})  # variables that agents get from us
TYPES = ("string", "integer", "number", "boolean", "duration", "rate")
VALUE_LIMIT = 64 << 10
_TRUE, _FALSE = ("true", "yes", "on", "1"), ("false", "no", "off", "0")


def check_value(type: str, value: str) -> str:
    """The value in its canonical spelling; ValueError saying what the type expects."""
    if len(value) > VALUE_LIMIT:
        raise ValueError(f"the value is longer than {VALUE_LIMIT >> 10} KiB: put data into the datastore")
    if "\0" in value:
        raise ValueError("a value cannot hold a NUL byte")
    try:
        if type == "integer":
            return str(int(value))
        if type == "number":
            if float(value) in (float("inf"), float("-inf")) or float(value) != float(value):
                raise ValueError
            return value.strip()
        if type == "duration":
            parse_duration(value)
        elif type == "rate":
            parse_rate(value)
    except ValueError as error:
        detail = f" ({error})" if type in ("duration", "rate") else ""
        raise ValueError(f"'{value}' is not {_ARTICLES[type]}{detail}") from None
    if type == "boolean":
        if value.lower() not in _TRUE + _FALSE:
            raise ValueError(f"'{value}' is not {_ARTICLES[type]}")
        return "true" if value.lower() in _TRUE else "false"
    return value


_ARTICLES = {"integer": "an integer, as in 3", "number": "a number, as in 0.5", "boolean": "a boolean, true or false",
             "duration": "a duration, as in 20ms", "rate": "a rate, as in 10Mb"}


def bind(name: str, declared: Iterable[Parameter], values: Mapping[str, str],
         lines: Mapping[str, int] | None = None) -> tuple[Parameter, ...]:
    """The parameters with their values; name: the source's, for errors; lines: where each is declared.

    InvalidInput for a value that is unknown, missing or of the wrong type. Defaults are checked, too.
    """
    declared = tuple(declared)
    names = [p.name for p in declared]
    for given in values:
        if given not in names:
            raise InvalidInput(f"there is no parameter '{given}'", where=name, next=nearest(given, names) or "It declares none.")
    bound = []
    for parameter in declared:
        where = f"{name}:{lines[parameter.name]}" if lines and parameter.name in lines else name
        if parameter.name in RUNTIME_NAMES:
            raise InvalidInput(f"'{parameter.name}' cannot be a parameter: agents have a variable of that name", where=where)
        value = values.get(parameter.name, parameter.default)
        if value is None:
            raise InvalidInput(f"parameter '{parameter.name}' has no default and was not given a value", where=where,
                               next=f"Give one: -S {parameter.name}=VALUE.")
        try:
            value = check_value(parameter.type, value)
        except ValueError as error:
            source = "the value of" if parameter.name in values else "the default of"
            raise InvalidInput(f"{source} parameter '{parameter.name}': {error}", where=where) from None
        bound.append(parameter.model_copy(update={"value": value}))
    return tuple(bound)
