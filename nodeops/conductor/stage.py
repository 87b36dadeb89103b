"""What all parts of the machine stand on: the spec, the state, the present, and the three ways to be heard."""

from __future__ import annotations

import heapq
from collections import deque
from datetime import datetime
from typing import Any, TypeVar

from models.events import VERBS
from models.protocol.conductor import ActivityLine, Failure, OutboxLine, Outcome
from models.spec import ProgramAgent, Spec, TargetKind, TrafficAgent
from nodeops.conductor.happenings import Order, Output, Settled
from nodeops.conductor.state import Activity, Alarm, State

FAILURES_KEPT = 100
AnOrder = TypeVar("AnOrder", bound=Order)


class Stage:
    """now_ns, wall: of the happening that is being looked at. news: (whom, of what, how it ended), to be looked at before anything else;
    whom None: the end of an activity; else only that its parent need not wait for it any longer."""

    def __init__(self, spec: Spec, state: State):
        self.state = state
        self.now_ns = 0
        self.wall = datetime.fromtimestamp(0)
        self.outputs: list[Output] = []
        self.news: deque[tuple[int | None, int, Outcome]] = deque()
        self.take(spec)

    def take(self, spec: Spec) -> None:
        """Look things up in this spec from now on."""
        self.spec = spec
        self.kinds = spec.targets()
        self.agents: dict[str, ProgramAgent | TrafficAgent] = {agent.name: agent for agent in spec.agents}
        self.groups = {group.name: group for group in spec.groups}
        self.sequences = {sequence.name: sequence for sequence in spec.sequences}
        self.timelines = {timeline.name: tuple(sorted(timeline.entries, key=lambda e: e.at_s)) for timeline in spec.timelines}
        self.nodes = {node.name: node for node in spec.nodes}
        self.events = tuple(sorted((event for event in spec.events if event.on == "time"), key=lambda e: e.at_s))

    def completes(self, target: str, verb: str) -> bool:
        """Whether that is waited for; a group's is what its members' is."""
        kind = self.kinds.get(target)
        if kind is TargetKind.GROUP:
            members = self.groups[target].members
            return bool(members) and self.completes(members[0], verb)
        known = VERBS[kind.value].get(verb) if kind is not None else None
        return known is not None and known.completes

    def say(self, kind: str, activity: Activity | None = None, **fields: Any) -> None:
        """A line for events.jsonl. fields: of ActivityLine, over what is known from the activity; actual_ns: now unless given."""
        run = self.state.run if self.state.run is not None and self.state.run.phase != "over" else None
        line: dict[str, Any] = {"actual_ns": self.now_ns}
        if activity is not None:
            line |= {"token": activity.token, "cause": activity.cause, "origin": activity.origin, "target": activity.target,
                     "verb": activity.verb, "planned_ns": activity.planned_ns}
            if kind == "fired":
                line["arguments"] = activity.arguments.model_dump(exclude_none=True)
        line |= fields
        if run is not None:
            line |= {"run": run.number, "run_ns": 0 if run.zero_ns is None else max(0, line["actual_ns"] - run.zero_ns)}
        self.outputs.append(ActivityLine(number=self.state.next_line, kind=kind, at=self.wall, **line))
        self.state.next_line += 1

    def warn(self, text: str, activity: Activity | None = None) -> None:
        self.say("warning", activity, detail={"text": text})

    def ask(self, kind: str, **content: Any) -> None:
        """A line for outbox.jsonl."""
        run = self.state.run if self.state.run is not None and self.state.run.phase != "over" else None
        self.outputs.append(OutboxLine(number=self.state.next_message, kind=kind, content=content, run=run.number if run else None,
                                       virtual_ns=self.now_ns, at=self.wall))
        self.state.next_message += 1

    def order(self, kind: type[AnOrder], **fields: Any) -> AnOrder:
        """To be carried out; a `Done` with its number says how that went."""
        order = kind(number=self.state.next_order, **fields)
        self.state.next_order += 1
        self.state.outstanding[order.number] = order  # type: ignore[assignment]  # every kind of Order is one of AnyOrder
        self.outputs.append(order)
        return order

    def complete(self, token: int, outcome: Outcome | None = None) -> None:
        self.news.append((None, token, outcome or Outcome()))

    def go_on(self, parent: int | None, token: int) -> None:
        """parent's step was something that goes on by itself: it need not wait."""
        self.outputs.append(Settled(token=token, outcome=Outcome()))
        if parent is not None:
            self.news.append((parent, token, Outcome()))

    def note_failure(self, token: int, target: str, verb: str, outcome: Outcome) -> None:
        run = self.state.run
        if run is not None and run.phase != "over":
            run.failed += 1
            if len(run.failures) < FAILURES_KEPT:
                run.failures.append(Failure(token=token, target=target, verb=verb, outcome=outcome))

    def new_token(self) -> int:
        self.state.next_token += 1
        return self.state.next_token - 1

    def new_alarm_order(self) -> int:
        self.state.next_alarm += 1
        return self.state.next_alarm - 1

    def alarm(self, due_ns: int, what: Alarm, key: str = "", order: int | None = None) -> None:
        heapq.heappush(self.state.alarms, (due_ns, self.new_alarm_order() if order is None else order, what, key))

    def next_alarm(self) -> tuple[int, int, Alarm, str] | None:
        """The one that is due first, taken off, if it is due now."""
        alarms = self.state.alarms
        return heapq.heappop(alarms) if alarms and alarms[0][0] <= self.now_ns else None

    def drop_alarms(self, *kinds: Alarm) -> None:
        self.state.alarms = [alarm for alarm in self.state.alarms if alarm[2] not in kinds]
        heapq.heapify(self.state.alarms)
