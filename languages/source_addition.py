"""A recording as part of a template's source: the same text, with a timeline or sequence more, in the source's own language.

Parameters, comments and everything else of the source stay as they are. Whether the addition says what was recorded is found out,
not trusted: the new text is evaluated, and must come to the old spec with the recording attached (`languages.recording.attach`).

    ns      before `$ns run`: objects made so far go by their names
    YAML    into the sections there are, or into new ones at the end
    Python  behind the file: a `build` that calls the one there is
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any, Literal

import yaml

from languages import plain_spec
from languages.evaluate import Source, evaluate
from languages.ns.event_writer import EventWriter, number
from languages.ns.tcl_text import word
from languages.python_writer import write_call
from languages.recording import Recorded, attach
from languages.spec_difference import differences
from languages.units import format_duration
from languages.words import Plain
from languages.yaml_writer import escaped, write_section
from models.errors import InvalidInput
from models.spec import Event, ProgramAgent, Sequence, Spec, TimedEvent, Timeline

_RUN = re.compile(r"^[ \t]*\$\{?(?P<ns>\w+)\}?[ \t]+run\b", re.MULTILINE)
Entries = dict[str, Plain]


@dataclass(frozen=True)
class Addition:
    """agents: those the recording brings. at_s: when a run starts it by itself. spec: with all of it."""

    made: Timeline | Sequence
    agents: tuple[ProgramAgent, ...]
    at_s: float | None
    spec: Spec


def with_recording(source: Source, name: str, recorded: Iterable[Recorded], form: Literal["timeline", "sequence"], *,
                   at_s: float | None = None, values: dict[str, str] | None = None) -> Source:
    """at_s: run time at which it is started by itself. values: of parameters without default, to check with.

    InvalidInput if the name is taken, the recording does not fit, or this language has no words for something in it.
    """
    before = evaluate(source, values).spec
    spec = attach(before, name, recorded, form)
    if at_s is not None:
        started = TimedEvent(target=name, verb="start", at_s=at_s)
        spec = spec.model_copy(update={"events": (*spec.events, started)})
    made = spec.timelines[-1] if form == "timeline" else spec.sequences[-1]
    agents = tuple(a for a in spec.agents[len(before.agents):] if isinstance(a, ProgramAgent))
    if source.language not in _WRITERS:
        raise InvalidInput(f"a template in {source.language} cannot hold a recording", where=source.name,
                           next="Convert it: `swapbed convert FILE --to yaml`, then `swapbed template create`.")
    text = _WRITERS[source.language](source.text, Addition(made, agents, at_s, spec))
    added = replace(source, text=text)
    _check(source, added, spec, values)
    return added


def _check(source: Source, added: Source, wanted: Spec, values: dict[str, str] | None) -> None:
    hint = "Edit the recording, or add it to the source by hand: `swapbed template checkout`."
    try:
        came = evaluate(added, values).spec
    except InvalidInput as error:
        raise InvalidInput(f"the recording cannot be added to this source: {error.what}", where=source.name, next=hint) from None
    if lost := differences(wanted, came):
        more = f", and {len(lost) - 1} more" if len(lost) > 1 else ""
        raise InvalidInput(f"{source.language} cannot say all of the recording: {lost[0]}{more}", where=source.name, next=hint)


def _ns(text: str, addition: Addition) -> str:
    found = list(_RUN.finditer(text))
    if not found:
        raise InvalidInput("the program has no line `$ns run` to stand before")
    place = found[-1]
    lines = "".join(f"{line}\n" for line in _ns_lines(addition, place["ns"]))
    return f"{text[:place.start()]}\n{lines}\n{text[place.start():]}"


def _ns_lines(addition: Addition, ns: str) -> Iterator[str]:
    made, writer = addition.made, EventWriter(addition.spec, str, word)

    def told(event: Event) -> Iterator[str]:
        for words in writer.words(event):
            yield f"[list {' '.join(f'${ns}' if w == '$ns' else w for w in words)}]"

    for agent in addition.agents:
        yield f"set {word(agent.name)} [{word(agent.node)} program-agent]"
    yield f"set {word(made.name)} [${ns} event-{'timeline' if isinstance(made, Timeline) else 'sequence'}]"
    if isinstance(made, Timeline):
        for entry in made.entries:
            yield from (f"{word(made.name)} at {number(entry.at_s)} {event}" for event in told(entry))
    else:
        yield from (f"{word(made.name)} append {event}" for step in made.steps for event in told(step))
    if addition.at_s is not None:
        yield f"${ns} at {number(addition.at_s)} [list {word(made.name)} start]"


def _python(text: str, addition: Addition) -> str:
    made = addition.made
    own = re.sub(r"\W", "_", made.name)
    calls = [write_call("program", agent.name, agent.node, "") for agent in addition.agents]
    if isinstance(made, Timeline):
        calls.append(f"timeline = {write_call('timeline', made.name)}")
        calls += [write_call("at", at, event, target="timeline") for at, event in plain_spec.timeline(made)]
    else:
        calls.append(write_call("sequence", made.name, plain_spec.sequence(made)))
    if addition.at_s is not None:
        calls.append(write_call("at", format_duration(addition.at_s), f"{made.name} start"))
    body = "".join("        " + call.replace("\n    ", "\n        ") + "\n" for call in calls)
    return f'''{text.rstrip()}


def _with_{own}(build):
    import functools

    @functools.wraps(build)
    def build_with_{own}(net, *values, **named):
        build(net, *values, **named)
{body}
    return build_with_{own}


build = _with_{own}(build)
'''


def _yaml(text: str, addition: Addition) -> str:
    made = addition.made
    text = _into(text, "agents", {agent.name: plain_spec.agent(agent) for agent in addition.agents})
    if isinstance(made, Timeline):
        text = _into(text, "timelines", {made.name: [{at: event} for at, event in plain_spec.timeline(made)]})
    else:
        text = _into(text, "sequences", {made.name: plain_spec.sequence(made)})
    if addition.at_s is not None:
        text = _into(text, "timeline", {format_duration(addition.at_s): f"{made.name} start"})
    return text


def _into(text: str, key: str, entries: Entries) -> str:
    """Into the section of that name, whichever way it is written, or as a new one at the end."""
    if not entries:
        return text
    text = text if text.endswith("\n") else f"{text}\n"
    root = yaml.compose(text, Loader=yaml.SafeLoader)
    if not isinstance(root, yaml.MappingNode) or root.flow_style:
        raise InvalidInput("the file is not written as keys at the beginnings of lines, so nothing can be added to it")
    section = next((pair for pair in root.value if pair[0].value == key), None)
    listed: Plain = [dict([entry]) for entry in entries.items()] if key == "timeline" else entries
    written = write_section(key, escaped(listed), key != "agents")
    if section is None:
        return text + written
    name, value = section
    if isinstance(value, yaml.ScalarNode):  # there is nothing under the key yet
        return text[:name.start_mark.index] + written + text[text.index("\n", name.end_mark.index) + 1:]
    return _inside(text, value, entries)


def _inside(text: str, section: Any, entries: Entries) -> str:
    """A mapping or a list, in lines or in brackets."""
    as_list = isinstance(section, yaml.SequenceNode)
    if section.flow_style:
        end = section.end_mark.index - 1
        pieces = [json.dumps(escaped({name: value}), ensure_ascii=False) for name, value in entries.items()]
        written = ", ".join(piece if as_list else piece[1:-1] for piece in pieces)
        return f"{text[:end].rstrip()}{', ' if section.value else ''}{written}{text[end:]}"
    column = section.start_mark.column
    lines = "".join(write_section(name, escaped(value), True) for name, value in entries.items()).splitlines()
    first, rest = (" " * column + "- ", " " * (column + 2)) if as_list else (" " * column, " " * column)
    indented = "".join(f"{first if not index or as_list and not line.startswith(' ') else rest}{line}\n" if line else "\n"
                       for index, line in enumerate(lines))
    end = _end_of_block(text, section)
    return text[:end] + indented + text[end:]


def _end_of_block(text: str, section: Any) -> int:
    """Behind its last line that says something; what follows, comments too, belongs to what comes next."""
    end = section.end_mark.index
    begin = text.rfind("\n", 0, end) + 1
    kept = text[:begin if not text[begin:end].strip() else end].split("\n")
    while kept and (not kept[-1].strip() or kept[-1].lstrip().startswith("#")):
        kept.pop()
    return len("\n".join(kept)) + 1


_WRITERS: dict[str, Callable[[str, Addition], str]] = {"ns": _ns, "yaml": _yaml, "python": _python}
