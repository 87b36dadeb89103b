"""What the agents of a living instance did: each program's end, what it used, and the values it reported."""

from __future__ import annotations

import re
from typing import Any

from models.errors import Conflict, NotFound
from models.protocol.conductor import ActivityLine
from models.protocol.control import Message
from nodeops.layout import INSIDE
from swapbed import events, files
from swapbed.access import Access

RESULT = re.compile(r"^RESULT (\S+) (.+)$", re.MULTILINE)  # on a program's standard output


class Invocation(Message):
    """One program that an agent ran and that has ended. error: why that is not as it should be. log: of its .out and .err in $LOGDIR."""

    agent: str
    node: str
    log: str
    detail: dict[str, Any]
    error: str | None = None
    lasted_s: float = 0
    results: dict[str, str] = {}


def invocations(access: Access, run: int | None = None) -> list[Invocation]:
    """Of one run, or of all, in the order of their ends."""
    lines = [line for line in events.happened(access) if line.kind == "exited" and run in (None, line.run)]
    return [_invocation(access, line) for line in lines]


def _invocation(access: Access, line: ActivityLine) -> Invocation:
    node = next(agent.node for agent in access.spec.agents if agent.name == line.target)
    detail, log = line.detail, str(line.detail["log"])
    try:
        said = files.read(access, node, f"{INSIDE}/logs/{line.target}/{log}.out").decode(errors="replace")
    except (Conflict, NotFound):  # logs may have been cleaned, and a dead node has none to show
        said = ""
    lasted_s = (detail["end_ns"] - detail["start_ns"]) / 1e9 if "end_ns" in detail and "start_ns" in detail else 0
    return Invocation(agent=line.target, node=node, log=log, detail=detail, lasted_s=lasted_s, results=dict(RESULT.findall(said)),
                      error=line.outcome.error if line.outcome else None)
