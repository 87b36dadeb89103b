"""Recordings as text: one event a line, to be read, edited and replayed.

    # what was done by hand
    0s     client run command='ping -c 3 server'
    12.5s  bottleneck modify delay=50ms
    15s    client/hand run command=./load.sh

A line is the time since the recording began, and the event as everywhere (`languages.event_text`). A target written NODE/NAME
was a command run by hand in that node; it belongs to no agent of the template, so replaying it brings a program agent of that name.
Editing is moving, deleting, adding and retiming lines: their order is the order of replay at equal times, and in a sequence it is
the only order. Lines that begin with '#' are left out.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Iterator
from typing import Literal

from pydantic import ValidationError

from languages.event_text import read_event, write_event
from languages.units import format_duration, parse_duration
from models.errors import InvalidInput
from models.spec import Event, Part, ProgramAgent, Sequence, Spec, Timeline, TimelineEntry

_LINE = re.compile(r"(?P<at>\S+)\s+(?P<event>\S.*)", re.DOTALL)
_BY_HAND = re.compile(r"(?P<node>[^\s/]+)/(?P<rest>[^\s/].*)", re.DOTALL)
LINES_LIMIT = 100_000
LINES_OF_AN_EVENT = 100


class Recorded(Part):
    """One recorded event. node: where a command was run by hand, if its target is no agent of the template."""

    entry: TimelineEntry
    node: str | None = None


def show(recorded: Iterable[Recorded]) -> str:
    """The text that `read` takes for the same events."""
    lines = [(format_duration(r.entry.at_s), f"{r.node}/{write_event(r.entry)}" if r.node else write_event(r.entry)) for r in recorded]
    width = max((len(at) for at, _ in lines), default=0)
    return "".join(f"{at:<{width}}  {event}\n" for at, event in lines)


def read(text: str, name: str = "recording") -> tuple[Recorded, ...]:
    """Of an edited text. InvalidInput says NAME:LINE and what was expected."""
    found: list[Recorded] = []
    for number, line in _logical_lines(text):
        if len(found) >= LINES_LIMIT:
            raise InvalidInput(f"the recording has more than {LINES_LIMIT} events", where=f"{name}:{number}")
        try:
            found.append(_read_line(line))
        except ValueError as error:
            raise InvalidInput(str(error), where=f"{name}:{number}") from None
    return tuple(found)


def attach(spec: Spec, name: str, recorded: Iterable[Recorded], form: Literal["timeline", "sequence"]) -> Spec:
    """The spec with the recording as a timeline or sequence of this name, and the program agents it needs.

    InvalidInput if the name is taken, or if the recording names what this spec does not have.
    """
    made, agents = (to_timeline if form == "timeline" else to_sequence)(name, recorded)
    new = tuple(agent for agent in agents if agent.name not in spec.targets())
    parts = {field: getattr(spec, field) for field in Spec.model_fields}
    parts["agents"] += new
    parts["timelines" if isinstance(made, Timeline) else "sequences"] += (made,)
    try:
        return Spec(**parts)
    except ValidationError as error:
        raise InvalidInput(
            f"the recording '{name}' does not fit: {error.errors(include_url=False)[0]['msg'].removeprefix('Value error, ')}",
            next="Edit its text, or choose another name.",
        ) from None


def _logical_lines(text: str) -> Iterator[tuple[int, str]]:
    """(number, line): a quoted text may go on over several lines."""
    number, pending = 0, ""
    for count, line in enumerate(text.split("\n"), 1):
        if not pending and (not line.strip() or line.lstrip().startswith("#")):
            continue
        number, pending = (number, f"{pending}\n{line}") if pending else (count, line)
        if _complete(pending) or count - number >= LINES_OF_AN_EVENT:
            yield number, pending.strip()
            pending = ""
    if pending:
        yield number, pending.strip()


def _complete(line: str) -> bool:
    try:
        shlex.split(line)
    except ValueError:
        return False
    return True


def to_timeline(name: str, recorded: Iterable[Recorded]) -> tuple[Timeline, tuple[ProgramAgent, ...]]:
    """Replays at the recorded times; and the program agents that it needs beside the template's."""
    recorded = tuple(recorded)
    ordered = sorted((r.entry for r in recorded), key=lambda entry: entry.at_s)  # stable: lines of one time keep their order
    return Timeline(name=name, entries=tuple(ordered)), _agents(recorded)


def to_sequence(name: str, recorded: Iterable[Recorded]) -> tuple[Sequence, tuple[ProgramAgent, ...]]:
    """Replays one after the other, in the order of the lines, without the pauses."""
    recorded = tuple(recorded)
    steps = tuple(Event(target=r.entry.target, verb=r.entry.verb, arguments=r.entry.arguments) for r in recorded)
    return Sequence(name=name, steps=steps), _agents(recorded)


def _read_line(line: str) -> Recorded:
    match = _LINE.fullmatch(line)
    if not match:
        raise ValueError(f"'{line[:60]}' is not a line of a recording: expected TIME TARGET VERB [KEY=VALUE …], as in 12.5s link0 down")
    at_s = parse_duration(match["at"], "time")
    by_hand = _BY_HAND.fullmatch(match["event"])
    if by_hand is None and "/" in match["event"].split()[0]:
        raise ValueError(f"'{match['event'].split()[0]}' is not a target: expected NAME, or NODE/NAME for a command that was run by hand")
    event = read_event(by_hand["rest"] if by_hand else match["event"])
    entry = TimelineEntry(target=event.target, verb=event.verb, arguments=event.arguments, at_s=at_s)
    return Recorded(entry=entry, node=by_hand["node"] if by_hand else None)


def _agents(recorded: Iterable[Recorded]) -> tuple[ProgramAgent, ...]:
    """One per target that was told by hand."""
    nodes: dict[str, str] = {}
    for r in recorded:
        if r.node is not None and nodes.setdefault(r.entry.target, r.node) != r.node:
            raise InvalidInput(f"the recording has '{r.entry.target}' on two nodes, {nodes[r.entry.target]} and {r.node}",
                               next="Give one of them another name.")
    return tuple(ProgramAgent(name=name, node=node) for name, node in nodes.items())
