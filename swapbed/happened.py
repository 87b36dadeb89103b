"""What happened in runs, and what their programs wrote, wherever it is known: a living instance tells it itself, `swapbed.past` the rest.

A name is an instance's, living or not, INSTANCE/2 for run 2 alone, or an id.
"""

from __future__ import annotations

from collections.abc import Iterator

from models.errors import Conflict, NotFound
from models.protocol.conductor import ActivityLine
from swapbed.living import events, results
from swapbed.living.access import Access
from swapbed.living.results import Stream


def happened(name: str, *, since: int = 0, follow: bool = False) -> Iterator[ActivityLine]:
    """In order, from line number `since` on. follow: goes on as it happens, for ever; only of an instance that lives.

    Raises NotFound where there is no such run, or nothing is kept any more of what happened in it.
    """
    instance, _, number = name.partition("/")
    try:
        access = Access.to(instance)
    except (NotFound, Conflict) as error:
        if follow:
            raise
        from swapbed import past

        yield from (line for line in past.happened(name, error) if line.number >= since)
        return
    with access:
        wanted = _checked(name) if number else None
        for line in events.happened(access, since=since, follow=follow):
            if wanted in (None, line.run):
                yield line


def all_of(name: str, *, since: int = 0) -> list[ActivityLine]:
    """What happened so far."""
    return list(happened(name, since=since))


def log(name: str, agent: str, *, run: int | None = None, invocation: str | None = None, stream: Stream = "out") -> bytes:
    """What one invocation of an agent wrote; by default the last that ended. Raises NotFound."""
    instance, _, number = name.partition("/")
    wanted = _checked(name) if number else run
    try:
        access = Access.to(instance)
    except (NotFound, Conflict):
        from swapbed import past

        return past.log(instance if wanted is None else f"{instance}/{wanted}", agent, invocation, stream)
    with access:
        return results.log(access, agent, run=wanted, invocation=invocation, stream=stream)


def _checked(run: str) -> int:
    """Its number. Raises NotFound, InvalidInput."""
    from swapbed.living import runs

    return runs.find(run).number
