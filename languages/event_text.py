"""Events as people write them: `client run timeout=5s`, `bottleneck modify delay=50ms`, `server kill TERM`, at `10s`.

An event is TARGET VERB and KEY=VALUE words, quoted as in a shell; `environment.NAME=VALUE` and `parameters.NAME=VALUE` for
the arguments that are mappings; a signal and a text need no key. The same as a mapping: `{target: …, verb: …, KEY: VALUE}`.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from languages.part_words import ARGUMENTS
from languages.units import format_duration, parse_duration
from languages.words import Misread, Plain, each, mapping, read, text, within, write
from models.events import Arguments
from models.spec import Event, TimedEvent, TimelineEntry

_POSITIONAL = {"kill": "signal", "log": "text", "message": "text", "snapshot": "text"}
_MAPPINGS = ("environment", "parameters")
_WORD = re.compile(r"(?P<key>[A-Za-z_]+)(\.(?P<name>[A-Za-z_]\w*))?=(?P<value>.*)", re.DOTALL)
_NAME = re.compile(r"[A-Za-z_]\w*")
_AT_TEXT = re.compile(r"\s*(?P<at>[^\s:]+)\s*:\s+(?P<event>.*)", re.DOTALL)
SWAPOUT = "swapout"


@dataclass(frozen=True)
class Timed:
    """path: of keys and indices from the value that was read to this event."""

    event: Event
    at_s: float
    on: Literal["time", "swapout"]
    path: tuple[str | int, ...] = ()

    def timed_event(self) -> TimedEvent:
        return TimedEvent(target=self.event.target, verb=self.event.verb, arguments=self.event.arguments, at_s=self.at_s, on=self.on)

    def entry(self) -> TimelineEntry:
        if self.on != "time":
            raise Misread("events on swapout belong to the run's own timeline, not to a timeline with a name", *self.path)
        return TimelineEntry(target=self.event.target, verb=self.event.verb, arguments=self.event.arguments, at_s=self.at_s)


def read_event(value: Plain) -> Event:
    """From its text or its mapping."""
    if isinstance(value, Mapping):
        return _from_mapping(value)
    target, verb, given = _split(text(value))
    return Event(target=target, verb=verb, arguments=_arguments(given))


def write_event(event: Event) -> Plain:
    """What reads as this event: its text, or a mapping where an argument has no place in a text."""
    given = write(ARGUMENTS, event.arguments)
    names = [name for key in _MAPPINGS if key in given for name in given[key] or [""]]
    if not all(_NAME.fullmatch(name) for name in names):
        return {"target": event.target, "verb": event.verb, **given}
    pieces = [event.target, event.verb]
    for key, value in given.items():
        if key in _MAPPINGS:
            pieces += [f"{key}.{name}={_quoted(inner)}" for name, inner in value.items()]
        elif _POSITIONAL.get(event.verb) == key and not _WORD.fullmatch(str(value)):
            pieces.append(_quoted(str(value)))
        else:
            pieces.append(f"{key}={_quoted(str(value))}")
    return " ".join(pieces)


def _quoted(text: str) -> str:
    """For a shell; a text with single quotes in double ones, if they hide nothing."""
    return f'"{text}"' if "'" in text and not set(text) & set('"\\$`!') else shlex.quote(text)


def read_timed(value: Plain) -> list[Timed]:
    """One or more events with their time, from an item of a timeline.

    `"10s: link0 down"`, `{10s: link0 down}`, `{10s: [link0 down, link1 down]}`, or a mapping with `at` (or `on: swapout`)
    and either `do: TEXT` or the event's own keys.
    """
    if not isinstance(value, Mapping):
        match = _AT_TEXT.fullmatch(text(value))
        if not match:
            raise ValueError(f"'{value}' is not a timed event: expected TIME: TARGET VERB, as in 10s: link0 down")
        return [_timed(match["at"], match["event"])]
    if "at" in value or "on" in value:
        rest = {k: v for k, v in value.items() if k not in ("at", "on")}
        if "on" in value and "at" in value:
            raise Misread("an event has either a time (at) or a trigger (on)", "on")
        when = within("at", text, value["at"]) if "at" in value else within("on", _trigger, value["on"])
        return [Timed(_from_mapping(rest), *within("at" if "at" in value else "on", read_time, when))]
    if len(value) != 1 or value.keys() & {"target", "do"}:
        raise Misread("a timed event lacks its time: expected at: TIME, or TIME: TARGET VERB")
    return read_timeline(value)


def read_timeline(value: Plain) -> list[Timed]:
    """A list of timed events, or a mapping from times to events."""
    if isinstance(value, Mapping):
        found = []
        for key, given in value.items():
            at_s, on = within(key, read_time, key)
            if isinstance(given, (list, tuple)):
                events = within(key, each(read_event), given)
                found += [Timed(event, at_s, on, (key, index)) for index, event in enumerate(events)]
            else:
                found.append(Timed(within(key, read_event, given), at_s, on, (key,)))
        return found
    lists = each(read_timed)(value)
    return [Timed(t.event, t.at_s, t.on, (index, *t.path)) for index, ts in enumerate(lists) for t in ts]


def write_time(event: TimedEvent | TimelineEntry) -> str:
    return SWAPOUT if getattr(event, "on", "time") == SWAPOUT else format_duration(event.at_s)


def _timed(at: str, event: Plain) -> Timed:
    return Timed(read_event(event), *read_time(at))


def _trigger(value: Plain) -> str:
    if value != SWAPOUT:
        raise ValueError(f"unknown trigger '{value}': expected swapout")
    return SWAPOUT


def read_time(value: str) -> tuple[float, Literal["time", "swapout"]]:
    """A time, or `swapout`, as the fields at_s and on."""
    return (0.0, "swapout") if value == SWAPOUT else (parse_duration(value, "time"), "time")


def _from_mapping(value: Mapping[str, Plain]) -> Event:
    if "do" in value:
        event = within("do", read_event, value["do"])
        more = _arguments({k: v for k, v in value.items() if k != "do"})
        return event.model_copy(update={"arguments": event.arguments.model_copy(update={f: getattr(more, f) for f in more.given()})})
    if len(value) == 1:
        raise Misread("an event lacks its target or verb: expected TARGET VERB, or target: and verb:", *value)
    for key in ("target", "verb"):
        if value.get(key) is None:
            raise Misread(f"an event lacks its {key}: expected TARGET VERB, or target: and verb:")
    return Event(target=within("target", text, value["target"]), verb=within("verb", text, value["verb"]),
                 arguments=_arguments({k: v for k, v in value.items() if k not in ("target", "verb")}))


def _arguments(given: Mapping[str, Plain]) -> Arguments:
    return Arguments(**read(ARGUMENTS, mapping(given), "an event"))


def _split(written: str) -> tuple[str, str, dict[str, Plain]]:
    try:
        pieces = shlex.split(written)
    except ValueError as error:
        raise ValueError(f"'{written[:60]}' is not an event: {str(error).lower()}") from None
    if len(pieces) < 2:
        raise ValueError(f"'{written[:60]}' is not an event: expected TARGET VERB [KEY=VALUE …], as in link0 modify delay=50ms")
    target, verb, *words = pieces
    given: dict[str, Plain] = {}
    for word in words:
        match = _WORD.fullmatch(word)
        if match and match["name"] and match["key"] in _MAPPINGS:
            given.setdefault(match["key"], {})[match["name"]] = match["value"]
        elif match and not match["name"] and (match["key"] in ARGUMENTS or verb not in _POSITIONAL):
            given[match["key"]] = match["value"]
        elif verb in _POSITIONAL and _POSITIONAL[verb] not in given:
            given[_POSITIONAL[verb]] = word
        else:
            raise ValueError(f"'{word}' is not understood in '{written[:60]}': expected KEY=VALUE")
    return target, verb, given
