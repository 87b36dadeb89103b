"""What the agents of a living instance did: each program's end, what it used, what it said, and the values it reported."""

from __future__ import annotations

from contextlib import suppress
from typing import Any, Literal

from languages.nearest import nearest
from models.errors import Conflict, NotFound
from models.protocol.conductor import ActivityLine
from models.protocol.control import Message
from models.recorded import reported
from nodeops.layout import INSIDE
from swapbed.living import events, files
from swapbed.living.access import Access

PLACES = (f"{INSIDE}/runs/{{run}}/logs", f"{INSIDE}/logs")  # of a run that is over, and of the one that is going on
Stream = Literal["out", "err"]


class Invocation(Message):
    """One program that an agent ran and that has ended. error: why that is not as it should be. log: its name among the agent's logs."""

    agent: str
    node: str
    run: int | None
    log: str
    detail: dict[str, Any]
    error: str | None = None
    lasted_s: float = 0
    results: dict[str, str] = {}


def invocations(access: Access, run: int | None = None) -> list[Invocation]:
    """Of one run, or of all, in the order of their ends."""
    return [_invocation(access, line) for line in _exits(access, run)]


def log(access: Access, agent: str, *, run: int | None = None, invocation: str | None = None, stream: Stream = "out") -> bytes:
    """What one invocation of an agent wrote to its standard output or error; by default the last that ended. Raises NotFound."""
    agents = {one.name: one.node for one in access.spec.agents}
    if agent not in agents:
        raise NotFound(f"there is no agent '{agent}'", where=access.where.name, next=nearest(agent, agents))
    ended = [line for line in _exits(access, run) if line.target == agent and invocation in (None, str(line.detail["log"]))]
    if not ended:
        raise NotFound(f"no program of '{agent}' has ended{f' in run {run}' if run else ''}", where=access.where.name,
                       next=f"While it runs, its log is in {INSIDE}/logs/{agent} of node '{agents[agent]}'.")
    return _read(access, agents[agent], ended[-1], stream)


def _exits(access: Access, run: int | None) -> list[ActivityLine]:
    return [line for line in events.happened(access) if line.kind == "exited" and run in (None, line.run)]


def _read(access: Access, node: str, line: ActivityLine, stream: Stream) -> bytes:
    name = f"{line.target}/{line.detail['log']}.{stream}"
    for place in PLACES:
        with suppress(NotFound):
            return files.read(access, node, f"{place.format(run=line.run)}/{name}")
    raise NotFound("this log is not in the node any more", where=f"{node}:{name}")


def _invocation(access: Access, line: ActivityLine) -> Invocation:
    node = next(agent.node for agent in access.spec.agents if agent.name == line.target)
    detail, said = line.detail, b""
    with suppress(NotFound, Conflict):  # logs may have been cleaned, and a dead node has none to show
        said = _read(access, node, line, "out")
    lasted_s = (detail["end_ns"] - detail["start_ns"]) / 1e9 if "end_ns" in detail and "start_ns" in detail else 0
    return Invocation(agent=line.target, node=node, run=line.run, log=str(detail["log"]), detail=detail, lasted_s=lasted_s,
                      results=reported(said), error=line.outcome.error if line.outcome else None)
