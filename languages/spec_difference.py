"""What two specs differ in, as sentences for people. Order of parts with names does not count."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from pydantic import BaseModel

from languages.event_text import write_event, write_time
from models.spec import Event, Spec, TimedEvent, TimelineEntry

_NAMED = (
    ("nodes", "node"),
    ("lans", "link or LAN"),
    ("agents", "agent"),
    ("groups", "group"),
    ("sequences", "sequence"),
    ("timelines", "timeline"),
    ("parameters", "parameter"),
)
_EVENTS = ("steps", "entries", "events")


def differences(before: Spec, after: Spec) -> list[str]:
    """What of `before` is lost in `after`, changed, or new."""
    found: list[str] = []
    for field in Spec.model_fields:
        old, new = getattr(before, field), getattr(after, field)
        noun = dict(_NAMED).get(field)
        if old == new:
            continue
        if noun is not None:
            found += _named(noun, {part.name: part for part in old}, {part.name: part for part in new})
        elif field == "events":
            found += _events("the run's timeline", old, new)
        else:
            found += _values(field, old, new)
    return found


def _named(noun: str, old: dict[str, Any], new: dict[str, Any]) -> Iterator[str]:
    for name in [*old, *(n for n in new if n not in old)]:
        if name not in new:
            yield f"{noun} '{name}' is lost"
        elif name not in old:
            yield f"{noun} '{name}' is new"
        else:
            yield from _part(f"{noun} '{name}'", old[name], new[name])


def _part(place: str, old: BaseModel, new: BaseModel) -> Iterator[str]:
    if type(old) is not type(new):
        yield f"{place} becomes another kind of thing"
        return
    for field in type(old).model_fields:
        a, b = getattr(old, field), getattr(new, field)
        if a != b and field in _EVENTS:
            yield from _events(place, a, b)
        elif a != b:
            yield from (f"{place}: {text}" for text in _values(field, a, b))


def _values(path: str, old: Any, new: Any) -> Iterator[str]:
    if isinstance(old, BaseModel) and isinstance(new, BaseModel) and type(old) is type(new):
        for field in type(old).model_fields:
            a, b = getattr(old, field), getattr(new, field)
            if a != b:
                yield from _values(f"{path} {field}", a, b)
    elif isinstance(old, tuple) and isinstance(new, tuple) and len(old) == len(new) and any(isinstance(a, BaseModel) for a in old):
        for a, b in zip(old, new, strict=True):
            if a != b:
                yield from _values(f"{path} of {getattr(a, 'node', None) or a}", a, b)
    elif new in (None, "", (), {}, False):
        yield f"{path} ({_shown(old)}) is lost"
    elif old in (None, "", (), {}):
        yield f"{path} ({_shown(new)}) is new"
    else:
        yield f"{path} {_shown(old)} becomes {_shown(new)}"


def _events(place: str, old: Sequence[Event], new: Sequence[Event]) -> Iterator[str]:
    before, after = Counter(map(_event, old)), Counter(map(_event, new))
    for text in (before - after).elements():
        yield f"{place}: event '{text}' is lost"
    for text in (after - before).elements():
        yield f"{place}: event '{text}' is new"
    if before == after and list(map(_event, old)) != list(map(_event, new)):
        yield f"{place}: its events stand in another order"


def _event(event: Event) -> str:
    timed = f"{write_time(event)} " if isinstance(event, TimedEvent | TimelineEntry) else ""
    return timed + write_event(event)


def _shown(value: Any) -> str:
    if isinstance(value, BaseModel):
        return ", ".join(f"{field}={_shown(getattr(value, field))}" for field in value.model_fields_set)
    if isinstance(value, dict):
        return ", ".join(f"{key}={_shown(inner)}" for key, inner in value.items())
    if isinstance(value, Iterable) and not isinstance(value, str):
        return ", ".join(_shown(inner) for inner in value)
    return str(value)
