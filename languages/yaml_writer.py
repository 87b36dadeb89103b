"""A spec as a YAML file of our short form; `evaluate` reads it back to the same spec (`languages.plain_spec` says what is lost)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import yaml

from languages import plain_spec
from languages.words import Plain
from models.externals import External, said_of
from models.spec import Spec

_LINE_BY_LINE = {"sequences", "timelines", "timeline"}
_DOLLAR = re.compile(r"\$(?=[${])")


def write_yaml(spec: Spec, datastore: str | None = None, externals: Sequence[External] = ()) -> str:
    """datastore: the directory to name, if there is one."""
    lans = list(plain_spec.lans(spec))
    kinds = [lan.kind for lan, _ in lans]
    apart = kinds == sorted(kinds, reverse=True)  # every link before every LAN: the order needs no saying
    parameters = {name: {**said, **({"default": escaped(said["default"])} if "default" in said else {})}
                  for name, said in plain_spec.parameters(spec).items()}
    document: dict[str, Plain] = {
        **plain_spec.own_fields(spec), "datastore": datastore,
        "externals": {external.at: said_of(external) for external in externals}, "parameters": parameters,
        "nodes": {node.name: plain_spec.node(node) or None for node in spec.nodes},
        "links": [{"name": lan.name, **said} for lan, said in lans if lan.kind == "link" or not apart],
        "lans": {lan.name: said for lan, said in lans if lan.kind == "lan" and apart},
        "agents": {agent.name: plain_spec.agent(agent) for agent in spec.agents},
        "groups": {group.name: list(group.members) for group in spec.groups},
        "sequences": {s.name: {"steps": plain_spec.sequence(s), "on_error": s.on_error} if s.on_error else plain_spec.sequence(s)
                      for s in spec.sequences},
        "timelines": {t.name: [{at: event} for at, event in plain_spec.timeline(t)] for t in spec.timelines},
        "timeline": [{at: event} for at, event in plain_spec.timeline(spec)],
    }
    said = {key: value for key, value in document.items() if value not in (None, {}, [])}
    return "\n".join(write_section(key, value if key == "parameters" else escaped(value), key in _LINE_BY_LINE)
                     for key, value in said.items())


def write_section(key: str, value: Plain, line_by_line: bool) -> str:
    """A key with what is under it: leaves in one line; or, of what happens, an event a line."""
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    leaves = None if not line_by_line and any(isinstance(part, (dict, list)) for part in inner) else False
    return yaml.dump({key: value}, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=130, default_flow_style=leaves)


def escaped(value: Plain) -> Plain:
    """A dollar sign that would begin an expression is written twice."""
    if isinstance(value, str):
        return _DOLLAR.sub("$$", value)
    if isinstance(value, dict):
        return {escaped(key): escaped(inner) for key, inner in value.items()}
    return [escaped(inner) for inner in value] if isinstance(value, list) else value


class _Dumper(yaml.SafeDumper):
    """A null is nothing, and nothing is an alias."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


_Dumper.add_representer(type(None), lambda dumper, _: dumper.represent_scalar("tag:yaml.org,2002:null", ""))
