"""A spec as a Python file with a `build`; `evaluate` reads it back to the same spec (`languages.plain_spec` says what is lost)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from languages import plain_spec
from languages.words import Plain
from models.externals import External, said_of
from models.spec import Spec, TrafficAgent

_WIDTH = 110


def write_python(spec: Spec, datastore: str | None = None, externals: Sequence[External] = ()) -> str:
    """datastore: the directory to name, if there is one."""
    lines = list(_calls(spec, datastore, externals))
    return "\n".join([f'"""{_title(spec)}"""', "", "", "def build(net):", *(f"    {line}" for line in lines or ["pass"]), ""])


def _title(spec: Spec) -> str:
    return " ".join(spec.name.split()).replace("\\", "").replace('"', "'") or "An experiment"


def _calls(spec: Spec, datastore: str | None, externals: Sequence[External]) -> Iterator[str]:
    own = plain_spec.own_fields(spec)
    yield write_call("name", own.pop("name"))
    if "description" in own:
        yield write_call("describe", own.pop("description"))
    if datastore is not None:
        yield write_call("datastore", datastore)
    for external in externals:
        yield write_call("external", external.at, **said_of(external))
    for name, said in plain_spec.parameters(spec).items():
        yield write_call("parameter", name, **said)
    hooks = {key: own.pop(key) for key in ("on_start", "on_stop") if key in own}
    for key, value in own.items():
        yield write_call("rules", **value) if key == "rules" else write_call(key, value)
    for node in spec.nodes:
        yield write_call("node", node.name, **plain_spec.node(node))
    for lan, said in plain_spec.lans(spec):
        if lan.kind == "link":
            yield write_call("link", *said.pop("endpoints"), name=lan.name, **said)
        else:
            yield write_call("lan", lan.name, said.pop("members"), **said)
    yield from _activity(spec)
    for key, value in hooks.items():
        yield write_call(key, value)


def _activity(spec: Spec) -> Iterator[str]:
    for agent in spec.agents:
        said = plain_spec.agent(agent)
        if isinstance(agent, TrafficAgent):
            yield write_call("traffic_end", agent.name, said.pop("node"), said.pop("role"), said.pop("traffic"), **said)
        else:
            yield write_call("program", agent.name, said.pop("node"), said.pop("command", ""), **said)
    for group in spec.groups:
        yield write_call("group", group.name, list(group.members))
    for sequence in spec.sequences:
        handler = {"on_error": sequence.on_error} if sequence.on_error else {}
        yield write_call("sequence", sequence.name, plain_spec.sequence(sequence), **handler)
    for timeline in spec.timelines:
        yield f"timeline = {write_call('timeline', timeline.name)}"
        for at, event in plain_spec.timeline(timeline):
            yield write_call("at", at, event, target="timeline")
    for at, event in plain_spec.timeline(spec):
        yield write_call("at", at, event)


def write_call(verb: str, *arguments: Plain, target: str = "net", **settings: Any) -> str:
    """On one line, or an argument a line where that would be long; every keyword here is a word, so an identifier."""
    pieces = [repr(_tidy(argument)) for argument in arguments] + [f"{key}={_tidy(value)!r}" for key, value in settings.items()]
    line = f"{target}.{verb}({', '.join(pieces)})"
    if len(line) <= _WIDTH:
        return line
    return f"{target}.{verb}(\n" + "".join(f"        {piece},\n" for piece in pieces) + "    )"


def _tidy(value: Plain) -> Plain:
    """What `repr` prints as source: no subclasses of text or mappings."""
    if isinstance(value, Mapping):
        return {_tidy(key): _tidy(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_tidy(inner) for inner in value]
    return str(value) if isinstance(value, str) else value
