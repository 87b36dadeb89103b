"""Events by hand: telling something to a part of a living instance, and reading what happened in it."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from languages.event_text import read_event
from languages.nearest import nearest
from languages.words import Misread
from models.errors import ExperimentFailed, InvalidInput, NotFound
from models.protocol.conductor import ActivityLine, ActivityLines, SendEvent, Sent, Since
from models.spec import Event, check_event
from swapbed.living.access import Access

PAGE_LINES = 5000
FOLLOW_S = 20.0


def event(access: Access, target: str, verb: str, words: Mapping[str, Any] | Sequence[str] = ()) -> Event:
    """Checked against the instance's spec. target: a name, or NODE/AGENT.

    words: by the names in `languages.part_words.ARGUMENTS`, or written as in a template: `["delay=50ms"]`, `["TERM"]`.
    """
    where = access.where.name
    node, slash, agent = target.rpartition("/")
    if slash and not any(a.name == agent and a.node == node for a in access.spec.agents):
        elsewhere = [f"{a.node}/{a.name}" for a in access.spec.agents if a.name == agent]
        near = nearest(target, elsewhere or [f"{a.node}/{a.name}" for a in access.spec.agents])
        raise NotFound(f"node '{node}' has no agent '{agent}'", where=where, next=near)
    try:
        told = read_event({"target": agent, "verb": verb, **words} if isinstance(words, Mapping) else shlex.join([agent, verb, *words]))
        check_event(told, access.spec.targets(), access.spec.groups)
    except Misread as error:
        raise InvalidInput(str(error), where=where, next=error.next) from None
    except ValueError as error:
        unknown = agent not in access.spec.targets()
        raise InvalidInput(str(error), where=where, next=nearest(agent, access.spec.targets()) if unknown else None) from None
    member, lans = told.arguments.member, {lan.name: lan for lan in access.spec.lans}
    if member is not None and agent in lans and member.partition(":")[0] not in (known := [one.node for one in lans[agent].members]):
        raise InvalidInput(f"'{member}' is not a member of '{agent}'", where=where, next=nearest(member, known))
    return told


def send(access: Access, told: Event, *, in_s: float = 0, wait: bool = True, timeout_s: float | None = None) -> Sent:
    """Have the conductor fire it, so that it stands in the run's record. wait: until it has completed, or been delivered where it does not.

    Raises ExperimentFailed if it was waited for and did not end well, TimedOut.
    """
    asked = SendEvent(target=told.target, verb=told.verb, arguments=told.arguments, in_s=in_s, wait=wait, timeout_s=timeout_s)
    patience_s = 1e9 if wait and timeout_s is None else in_s + (timeout_s or 0) + 30
    sent = access.conductor("send_event", asked, Sent, timeout_s=patience_s)
    if sent.outcome is not None and not sent.outcome.ok:
        why = sent.outcome.error or f"code {sent.outcome.code}"
        raise ExperimentFailed(f"'{told.target} {told.verb}' failed: {why}", where=access.where.name)
    return sent


def happened(access: Access, *, since: int = 0, follow: bool = False) -> Iterator[ActivityLine]:
    """What happened, from line number `since` on. follow: goes on as it happens, for ever."""
    while True:
        page = access.conductor("events", Since(since=since, limit=PAGE_LINES, wait_s=FOLLOW_S if follow else 0), ActivityLines,
                                timeout_s=FOLLOW_S + 30)
        yield from page.lines
        if page.lines:
            since = page.lines[-1].number + 1
        elif not follow:
            return
