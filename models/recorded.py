"""What a record says of its run: its files record.json, agents.json and events.jsonl. Names and hashes only, no ids of any database.

    record.json template.json spec.json source/NAME events.jsonl agents.json
    nodes/NODE/logs/AGENT/…   nodes/NODE/archive/…   nodes/NODE/files/PATH IN THE NODE
    links.json surroundings.json traces/…     of each host; of further hosts below hosts/NAME/
    added/…                                   by hand, while it was open or in a later revision
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from fnmatch import fnmatchcase
from typing import Any

from models.protocol.conductor import Outcome
from models.protocol.control import Message
from models.spec import Parameter, Rules

OWN_FILES = frozenset({"record.json", "template.json", "spec.json", "events.jsonl", "agents.json"})  # no rule drops these
ADDED = "added"
RESULT, RESULT_LINE = b"RESULT", re.compile(r"RESULT[ \t]+(\S+)[ \t]+(\S.*)")


class TemplateOfRun(Message):
    """digest: of content and parent, which is a digest, too. datastore: hash of the tree in the store; None: no files. externals: which of
    these came from elsewhere, with their pins.
    """

    name: str
    digest: str
    language: str
    source_name: str
    datastore: str | None = None
    parameters: tuple[Parameter, ...] = ()
    parent: str | None = None
    datastore_name: str | None = None
    externals: tuple[dict[str, Any], ...] = ()


class InputFile(Message):
    """A file, or a directory with all below it, of another run's record, which is named by its hash. target: absolute in the node."""

    record: str
    path: str
    node: str
    target: str


class PlacedFrom(Message):
    """The whole instance was on that host from then on."""

    host: str
    since_ns: int


class Recorded(Message):
    """record.json. Times ending in _at are wall clock, in _ns virtual. placement: node → host, when it ended; placements: if it was brought
    back from a checkpoint in between, where it was before and after each time.

    replay_of: root hash of the record that was replayed. left_out: what could not be put aside, with reasons; dropped: by the rules.
    """

    format: int = 1
    experiment: str
    instance: str
    run: int
    origin: str
    parameters: dict[str, str]
    environment_of_run: str
    inputs: tuple[dict[str, str], ...] = ()
    seed: int
    outcome: str
    reason: str | None = None
    begin_ns: int | None = None
    end_ns: int | None = None
    began_at: datetime | None = None
    ended_at: datetime | None = None
    created_by: str
    replay_of: str | None = None
    placement: dict[str, str] = {}
    placements: tuple[PlacedFrom, ...] = ()
    collect: dict[str, Any] = {}
    left_out: tuple[str, ...] = ()
    dropped: tuple[str, ...] = ()


class RecordedEvent(Message):
    """A line of events.jsonl: one event as it really happened; see `models.protocol.conductor.ActivityLine`."""

    number: int
    kind: str
    token: int | None = None
    cause: int | None = None
    origin: str = ""
    target: str = ""
    verb: str = ""
    arguments: dict[str, Any] = {}
    planned_ns: int | None = None
    actual_ns: int
    run_ns: int | None = None
    at: datetime
    outcome: Outcome | None = None
    detail: dict[str, Any] = {}


class AgentEnded(Message):
    """One program of an agent: how it ended, and the values it reported (`RESULT name value` on its standard output)."""

    agent: str
    node: str
    log: str
    code: int | None = None
    signal: int | None = None
    error: str | None = None
    lasted_s: float = 0
    user_s: float = 0
    system_s: float = 0
    max_rss_kib: int = 0
    results: dict[str, str] = {}


class Agents(Message):
    agents: tuple[AgentEnded, ...] = ()

    def results(self) -> dict[str, str]:
        """All values by name; one that several report is told apart by its agent, the last report counts."""
        counts: dict[str, set[str]] = {}
        for one in self.agents:
            for name in one.results:
                counts.setdefault(name, set()).add(one.agent)
        return {name if len(counts[name]) == 1 else f"{one.agent}.{name}": value
                for one in self.agents for name, value in one.results.items()}


def reported(output: bytes) -> dict[str, str]:
    """Values by name, of a program's standard output: lines `RESULT name value`; of a name the last counts. NUL, which PostgreSQL keeps in
    no text, is told as what is no character at all."""
    lines = (line.decode(errors="replace").replace("\0", "\ufffd") for line in _result_lines(output))
    return {found[1]: found[2].rstrip() for line in lines if (found := RESULT_LINE.fullmatch(line))}


def _result_lines(output: bytes) -> Iterator[bytes]:
    """Sought as bytes: most of a long output is something else, and decoding it takes longer than all else that a record needs."""
    if RESULT[:1] not in output:  # one byte is found ten times as fast as several
        return
    at = -1
    while (at := output.find(RESULT, at + 1)) >= 0:
        if at == 0 or output[at - 1] == 0x0A:
            end = output.find(b"\n", at)
            yield output[at:end] if end >= 0 else output[at:]


def dropped_by(rules: Rules, sizes: Mapping[str, int]) -> list[str]:
    """Paths of a record's files, with their sizes, that its rules let go. keep wins over drop; `*` crosses directories."""
    return sorted(path for path, size in sizes.items() if path not in OWN_FILES and not _matches(path, rules.keep)
                  and (_matches(path, rules.drop) or (rules.max_file_bytes is not None and size > rules.max_file_bytes)))


def _matches(path: str, globs: Iterable[str]) -> bool:
    """A glob that names a directory means all below it."""
    return any(fnmatchcase(path, glob) or fnmatchcase(path, f"{glob.rstrip('/')}/*") for glob in globs)
