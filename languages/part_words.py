"""Words for nodes, agents, events, and what a record keeps. See `languages.words`."""

from __future__ import annotations

from collections.abc import Mapping
from signal import Signals

from languages.link_words import RED, SHAPING
from languages.nearest import nearest
from languages.units import format_duration, format_rate, format_size, parse_duration, parse_rate, parse_size
from languages.words import (
    Misread,
    Plain,
    Word,
    boolean,
    choice,
    each,
    integer,
    mapping,
    number,
    read,
    text,
    texts,
    texts_by_name,
    within,
    write,
)
from models.spec import Collect, Route, Rules, Tarball, Volume


def _duration(what: str) -> Word:
    return Word(f"{what}_s", lambda v: parse_duration(v, what), format_duration)


def _read_route(value: Plain) -> Route:
    return Route(**read({"destination": Word("destination", text), "via": Word("via", text)}, mapping(value), "a route"))


def _read_routes(value: Plain) -> tuple[Route, ...]:
    """`{10.1.2.0/24: 10.1.1.2}`, or a list of mappings."""
    if isinstance(value, Mapping):
        return tuple(Route(destination=str(d), via=within(str(d), text, via)) for d, via in value.items())
    return each(_read_route)(value)


def _write_routes(routes: tuple[Route, ...]) -> Plain:
    table = {r.destination: r.via for r in routes}
    return table if len(table) == len(routes) else [{"destination": r.destination, "via": r.via} for r in routes]


def _read_tarball(value: Plain) -> Tarball:
    return Tarball(**read({"directory": Word("directory", text), "path": Word("path", text)}, mapping(value), "a tarball"))


_VOLUME = {"source": Word("source", text), "target": Word("target", text), "read_only": Word("read_only", boolean)}


def read_volume(value: Plain) -> Volume:
    """`SOURCE:TARGET[:ro]` or a mapping."""
    if isinstance(value, Mapping):
        return Volume(**read(_VOLUME, value, "a volume"))
    pieces = text(value).split(":")
    if len(pieces) not in (2, 3) or (len(pieces) == 3 and pieces[2] not in ("ro", "rw")) or not all(pieces):
        raise ValueError(f"'{value}' is not understood: expected SOURCE:TARGET or SOURCE:TARGET:ro")
    return Volume(source=pieces[0], target=pieces[1], read_only=pieces[2:] == ["ro"])


def _read_signal(value: Plain) -> str:
    """TERM, SIGTERM or 15; as it is said."""
    name = text(value).upper().removeprefix("SIG")
    if name.isdigit() and int(name) in set(Signals):
        name = Signals(int(name)).name.removeprefix("SIG")
    if f"SIG{name}" not in Signals.__members__:
        raise Misread(f"unknown signal '{value}'", next=nearest(name, [s.removeprefix("SIG") for s in Signals.__members__]))
    return text(value)


NODE = {
    "kind": Word("kind", choice("container", "vm")), "image": Word("image", text), "cpus": Word("cpus", number),
    "memory": Word("memory_bytes", lambda v: parse_size(v, "memory"), format_size),
    "environment": Word("environment", texts_by_name), "routing": Word("routing", choice("static", "manual", "none")),
    "routes": Word("routes", _read_routes, _write_routes), "outside": Word("outside", boolean),
    "failure": Word("failure", choice("fatal", "nonfatal", "restart")), "on_failure": Word("on_failure", text),
    "virtual_wall_clock": Word("virtual_wall_clock", boolean),
    "tarballs": Word("tarballs", each(_read_tarball), lambda ts: [t.model_dump() for t in ts]),
    "volumes": Word("volumes", each(read_volume), lambda vs: [write(_VOLUME, v) for v in vs]),
    "packages": Word("packages", texts, list), "hardware": Word("hardware", text), "labels": Word("labels", texts_by_name),
}

PROGRAM = {
    "node": Word("node", text), "command": Word("command", text), "directory": Word("directory", text), "timeout": _duration("timeout"),
    "expect": Word("expected_exit_code", integer), "environment": Word("environment", texts_by_name), "user": Word("user", text),
}

TRAFFIC = {
    "node": Word("node", text), "role": Word("role", choice("source", "sink")), "traffic": Word("protocol", choice("udp", "tcp")),
    "peer": Word("peer", text), "application": Word("application", choice("cbr", "ftp", "telnet")), "address": Word("address", text),
    "port": Word("port", integer), "packet_size": Word("packet_size_bytes", lambda v: parse_size(v, "packet_size"), format_size),
    "rate": Word("rate_bps", parse_rate, format_rate), "interval": _duration("interval"),
    "type_of_service": Word("type_of_service", integer),
}

ARGUMENTS = {
    **{name: PROGRAM[name] for name in ("command", "directory", "timeout", "expect", "environment")},
    "tag": Word("tag", text), "signal": Word("signal", _read_signal),
    "member": Word("member", text), "direction": Word("direction", choice("uplink", "downlink")),
    **{name: word for name, word in SHAPING.items() if name != "queue"}, "queue": Word("queue_limit", integer),
    "queue_unit": Word("queue_unit", choice("packets", "bytes")),
    **{f"red_{name}": Word(f"red_{RED[name].field}", number) for name in ("min", "max", "weight", "linear_term")},
    **{name: TRAFFIC[name] for name in ("packet_size", "rate", "interval", "type_of_service")},
    "text": Word("text", text), "parameters": Word("parameters", texts_by_name),
    "environment_of_run": Word("environment_of_run", choice("inherit", "fresh")),
}

RULES = {
    "keep": Word("keep", texts, list), "drop": Word("drop", texts, list),
    "max_file": Word("max_file_bytes", lambda v: parse_size(v, "max_file"), format_size), "window": _duration("window"),
}


def read_rules(value: Plain) -> Rules:
    return Rules(**read(RULES, mapping(value), "rules"))


def read_collect(value: Plain) -> Collect:
    """`all`, globs for every node, or a mapping from nodes (`"*"`: every node; `all: true`) to globs."""
    if value == "all":
        return Collect(everything=True)
    if not isinstance(value, Mapping):
        return Collect(paths={"*": texts(value)})
    everything = within("all", boolean, value["all"]) if value.get("all") is not None else False
    paths = {str(node): within(str(node), texts, globs) for node, globs in value.items() if node != "all"}
    for node, globs in paths.items():
        for glob in globs:
            if not glob.startswith("/"):
                raise Misread(f"'{glob}' is not absolute: expected for example /var/log/*.log", node)
    return Collect(everything=everything, paths=paths)


def write_collect(collect: Collect) -> Plain:
    if collect.everything and not collect.paths:
        return "all"
    return {**({"all": True} if collect.everything else {}), **{node: list(globs) for node, globs in collect.paths.items()}}
