"""The words of our own languages, YAML and Python, for the fields of the spec: how each is called, read and written.

One table per kind of part (`languages.link_words`, `languages.part_words`), used in all four directions: YAML keys in and out,
Python keywords in and out. Reading takes what either language has at hand (text, numbers, lists, mappings); a wrong value
raises `Misread`, whose path lets the language point at the very line.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias, TypeVar

from pydantic import BaseModel, ValidationError

from languages.draft import explain
from languages.nearest import nearest

Plain: TypeAlias = Any  # str, int, float, bool, None, or lists and mappings of these
Model = TypeVar("Model", bound=BaseModel)
Words: TypeAlias = Mapping[str, "Word"]


@dataclass(frozen=True)
class Word:
    """field: of the model. read: a plain value to the field's; raises ValueError. write: back, to what reads as the same."""

    field: str
    read: Callable[[Plain], Any]
    write: Callable[[Any], Plain] = lambda value: value


class Misread(ValueError):
    """A plain value is not what a word takes. path: keys and indices that lead to it; next: a hint."""

    def __init__(self, text: str, *path: str | int, next: str | None = None):
        super().__init__(text)
        self.path = path
        self.next = next


def read(words: Words, given: Mapping[str, Plain], what: str, also: Iterable[str] = ()) -> dict[str, Any]:
    """The fields that these words name. what: for errors, as in "a node". also: keys that somebody else reads."""
    fields: dict[str, Any] = {}
    others = set(also)
    for key, value in given.items():
        if key in others:
            continue
        if key not in words:
            raise Misread(f"unknown key '{key}' in {what}", key, next=nearest(key, [*words, *others]))
        if value is None:
            continue
        fields[words[key].field] = within(key, words[key].read, value)
    return fields


def build(model: type[Model], words: Words, given: Mapping[str, Plain], what: str, /, *, also: Iterable[str] = (), **fixed: Any) -> Model:
    """The model from these words and fixed fields; what the model refuses is blamed on the word of its field."""
    try:
        return model(**{**fixed, **read(words, given, what, also)})
    except ValidationError as error:
        field = error.errors(include_url=False)[0]["loc"][:1]
        raise Misread(explain(error), *(key for key in given if key in words and (words[key].field,) == field)) from None


def within(key: str | int, reader: Callable[[Plain], Any], value: Plain) -> Any:
    """What the reader makes of the value; its errors point below the key."""
    try:
        return reader(value)
    except Misread as error:
        raise Misread(str(error), key, *error.path, next=error.next) from None
    except ValidationError as error:
        raise Misread(explain(error), key) from None
    except ValueError as error:
        text = str(error)
        raise Misread(text if isinstance(key, int) or key in text else f"{key}: {text}", key) from None


def write(words: Words, model: BaseModel) -> dict[str, Plain]:
    """Every word whose field is not at its default."""
    result = {}
    for key, word in words.items():
        value, info = getattr(model, word.field), type(model).model_fields[word.field]
        if info.is_required() or value != info.get_default(call_default_factory=True):
            result[key] = word.write(value)
    return result


def text(value: Plain) -> str:
    """A boolean reads as YAML's own word for it, so that `env: {DEBUG: true}` and Python's True agree."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return checked(value)
    if isinstance(value, (int, float)):
        return str(value)
    raise ValueError(f"expected a text, not {_describe(value)}")


def checked(value: str) -> str:
    """A text that processes, files and JSON can carry."""
    if "\0" in value:
        raise ValueError("a text cannot hold a NUL byte")
    if not value.isascii() and any("\ud800" <= character <= "\udfff" for character in value):
        raise ValueError("a text cannot hold a lone surrogate")
    return value


def integer(value: Plain) -> int:
    try:
        if isinstance(value, (bool, float)):
            raise ValueError
        return int(value)
    except (ValueError, TypeError):
        raise ValueError(f"expected an integer, not {_describe(value)}") from None


def number(value: Plain) -> float:
    try:
        if isinstance(value, bool):
            raise ValueError
        return float(value)
    except (ValueError, TypeError):
        raise ValueError(f"expected a number, not {_describe(value)}") from None


def boolean(value: Plain) -> bool:
    word = text(value).lower() if isinstance(value, (str, bool, int)) else ""
    if word in ("true", "yes", "on", "1"):
        return True
    if word in ("false", "no", "off", "0"):
        return False
    raise ValueError(f"expected true or false, not {_describe(value)}")


def choice(*allowed: str) -> Callable[[Plain], str]:
    def read_choice(value: Plain) -> str:
        if value not in allowed:
            raise Misread(f"expected {' or '.join(allowed)}, not {_describe(value)}", next=nearest(str(value), allowed))
        return str(value)
    return read_choice


def texts(value: Plain) -> tuple[str, ...]:
    """A list of texts, or one."""
    if isinstance(value, (list, tuple)):
        return tuple(within(index, text, item) for index, item in enumerate(value))
    return (text(value),)


def texts_by_name(value: Plain) -> dict[str, str]:
    """A mapping of texts."""
    return {checked(str(key)): within(str(key), text, "" if item is None else item) for key, item in mapping(value).items()}


def mapping(value: Plain) -> Mapping[str, Plain]:
    if not isinstance(value, Mapping):
        raise ValueError(f"expected a mapping, not {_describe(value)}")
    return value


def each(reader: Callable[[Plain], Any]) -> Callable[[Plain], tuple]:
    """A list of what the reader takes."""
    def read_each(value: Plain) -> tuple:
        if not isinstance(value, (list, tuple)):
            raise ValueError(f"expected a list, not {_describe(value)}")
        return tuple(within(index, reader, item) for index, item in enumerate(value))
    return read_each


def _describe(value: Plain) -> str:
    if isinstance(value, Mapping):
        return "a mapping"
    if isinstance(value, (list, tuple)):
        return "a list"
    return "nothing" if value is None else f"'{str(value)[:60]}'"
