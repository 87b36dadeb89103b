"""Telling events to their targets, and what follows when they complete: groups, sequences, timelines."""

from __future__ import annotations

from models.protocol.conductor import BUSY, CANCELLED, NOT_STARTED, Outcome
from models.spec import Event, TargetKind
from nodeops.conductor.happenings import ChangeLan, ChangeNode, CleanLogs, KeepLogs, Settled
from nodeops.conductor.programs import Programs
from nodeops.conductor.stage import Stage
from nodeops.conductor.state import Activity
from nodeops.conductor.summary import summary

SECOND = 1_000_000_000


def worst(one: Outcome, other: Outcome) -> Outcome:
    """The one with the higher code; of equals the first."""
    return other if other.code > one.code else one


class Firing:
    """Everything returns at once; what completes is put into the stage's news and looked at by `finish`, never in a recursion."""

    def __init__(self, stage: Stage, programs: Programs):
        self.stage, self._programs = stage, programs
        self._tell = {TargetKind.PROGRAM: programs.tell, TargetKind.TRAFFIC: programs.tell, TargetKind.LAN: self._lan,
                      TargetKind.NODE: self._node, TargetKind.INSTANCE: self._instance, TargetKind.GROUP: self._group,
                      TargetKind.SEQUENCE: self._sequence, TargetKind.TIMELINE: self._timeline}

    def fire(self, event: Event, *, origin: str, planned_ns: int | None = None, cause: int | None = None, told: int | None = None,
             token: int | None = None) -> int:
        """Tell event to its target now. Returns its token. told: the activity that waits for its completion."""
        stage = self.stage
        token = stage.new_token() if token is None else token
        activity = Activity(token=token, target=event.target, verb=event.verb, arguments=event.arguments, origin=origin, cause=cause,
                            told=told, planned_ns=stage.now_ns if planned_ns is None else planned_ns, fired_ns=stage.now_ns)
        stage.state.activities[token] = activity
        kind = stage.kinds.get(event.target)
        if kind is None:
            stage.say("fired", activity)
            self._vanished(activity)
            return token
        if self._has_an_end(activity):
            stage.say("fired", activity)
        self._tell[kind](activity)
        return token

    def finish(self) -> list[tuple[int, Outcome]]:
        """Look at the news until there is none. Returns what ended."""
        ended = []
        while self.stage.news:
            whom, token, outcome = self.stage.news.popleft()
            if whom is not None:
                self._child_ended(whom, token, outcome)
            elif (activity := self.stage.state.activities.pop(token, None)) is not None:
                ended.append((token, outcome))
                self._end(activity, outcome)
        return ended

    def due(self, token: int) -> None:
        """A timeline's next entry."""
        if (activity := self.stage.state.activities.get(token)) is None:
            return
        entries = self.stage.timelines.get(activity.target, ())
        if not entries:
            self._vanished(activity)
        if activity.step < len(entries):
            entry, at_ns = entries[activity.step], self._at_ns(activity)
            activity.step += 1
            child = self.fire(entry, origin=f"timeline {activity.target}", planned_ns=at_ns, cause=token, told=token)
            if activity.step == len(entries):
                activity.last = child
        if activity.step < len(entries):
            self.stage.alarm(self._at_ns(activity), "timeline", str(token), activity.order)

    def swapout(self) -> int:
        """Everything the spec has `on: swapout`, at once; the activity of the token returned completes when all of it has."""
        stage, token = self.stage, self.stage.new_token()
        events = [event for event in stage.spec.events if event.on == "swapout"]
        activity = Activity(token=token, target="", verb="swapout", arguments=Event(target="", verb="").arguments, origin="swapout",
                            planned_ns=stage.now_ns, fired_ns=stage.now_ns, swapout=True, open=len(events))
        stage.state.activities[token] = activity
        stage.say("fired", activity)
        for event in events:
            self.fire(event, origin="swapout", cause=token, told=token)
        if not events:
            stage.complete(token)
        return token

    def cancel_all(self) -> None:
        """What is in progress is no longer waited for; programs that run are the run's matter."""
        for activity in list(self.stage.state.activities.values()):
            self.stage.say("cancelled", activity)
            self.stage.outputs.append(Settled(token=activity.token, outcome=Outcome(code=CANCELLED, error="its run was stopped")))
        self.stage.state.activities.clear()
        self.stage.state.busy.clear()
        self.stage.news.clear()

    def _has_an_end(self, activity: Activity) -> bool:
        """Whether completion is worth a line of its own."""
        if activity.swapout or self.stage.kinds.get(activity.target) in (TargetKind.SEQUENCE, TargetKind.TIMELINE):
            return True
        return self.stage.completes(activity.target, activity.verb)

    def _end(self, activity: Activity, outcome: Outcome) -> None:
        stage = self.stage
        if stage.state.busy.get(activity.target) == activity.token:
            del stage.state.busy[activity.target]
        if self._has_an_end(activity) or activity.target not in stage.kinds:
            stage.say("completed", activity, outcome=outcome)
        else:
            stage.say("fired", activity, outcome=outcome, actual_ns=activity.fired_ns)
        stage.outputs.append(Settled(token=activity.token, outcome=outcome))
        if activity.told is not None:
            self._child_ended(activity.told, activity.token, outcome)
        elif not outcome.ok and not activity.swapout:
            stage.note_failure(activity.token, activity.target, activity.verb, outcome)

    def _child_ended(self, whom: int, token: int, outcome: Outcome) -> None:
        parent = self.stage.state.activities.get(whom)
        if parent is None:
            return
        kind = self.stage.kinds.get(parent.target)
        if parent.swapout or kind is TargetKind.GROUP:
            parent.open -= 1
            parent.worst = worst(parent.worst, outcome)
            if not parent.open:
                self.stage.complete(whom, parent.worst)
        elif kind is TargetKind.SEQUENCE:
            self._step_ended(parent, outcome)
        elif kind is TargetKind.TIMELINE:
            parent.worst = worst(parent.worst, outcome)
            if token == parent.last:
                self.stage.complete(whom, parent.worst)
        else:
            self._vanished(parent)

    def _vanished(self, activity: Activity) -> None:
        """The template was changed while this was in progress."""
        self.stage.complete(activity.token, Outcome(code=NOT_STARTED, error=f"'{activity.target}' is no longer in the template"))

    def _take(self, activity: Activity) -> bool:
        """Claim the target for an activity with an end; False (and it ends as busy) if another is in progress there."""
        other = self.stage.state.busy.setdefault(activity.target, activity.token)
        if other != activity.token:
            self.stage.complete(activity.token, Outcome(code=BUSY, error=f"'{activity.target}' is busy: event {other} is in progress"))
        return other == activity.token

    def _begin(self, activity: Activity) -> bool:
        """Of sequences and timelines; after `start`, nobody waits for them."""
        if not self._take(activity):
            return False
        if activity.verb == "start":
            self.stage.go_on(activity.told, activity.token)
            activity.told = None
        return True

    def _group(self, activity: Activity) -> None:
        """Only what completes makes a group busy: it can be stopped while it runs."""
        members = self.stage.groups[activity.target].members
        if self.stage.completes(activity.target, activity.verb) and not self._take(activity):
            return
        activity.open = len(members)
        for member in members:
            self.fire(Event(target=member, verb=activity.verb, arguments=activity.arguments), origin=f"group {activity.target}",
                      planned_ns=activity.planned_ns, cause=activity.token, told=activity.token)
        if not members:
            self.stage.warn(f"the group '{activity.target}' is empty", activity)
            self.stage.complete(activity.token)

    def _sequence(self, activity: Activity) -> None:
        if not self._begin(activity):
            return
        if not self.stage.sequences[activity.target].steps:
            self.stage.warn(f"the sequence '{activity.target}' is empty", activity)
        self._next_step(activity)

    def _next_step(self, activity: Activity) -> None:
        steps = self.stage.sequences[activity.target].steps
        if activity.step >= len(steps):
            self.stage.complete(activity.token)
            return
        activity.step += 1
        self.fire(steps[activity.step - 1], origin=f"sequence {activity.target}", cause=activity.token, told=activity.token)

    def _step_ended(self, activity: Activity, outcome: Outcome) -> None:
        remedy = self.stage.sequences[activity.target].on_error
        if activity.recovering:
            self.stage.complete(activity.token, outcome)
        elif outcome.ok:
            self._next_step(activity)
        elif remedy is None:
            self.stage.complete(activity.token, outcome)
        else:
            activity.recovering = True
            self.fire(Event(target=remedy, verb="run"), origin=f"sequence {activity.target}", cause=activity.token, told=activity.token)

    def _timeline(self, activity: Activity) -> None:
        if not self._begin(activity):
            return
        activity.order = self.stage.new_alarm_order()
        if self.stage.timelines[activity.target]:
            self.stage.alarm(self._at_ns(activity), "timeline", str(activity.token), activity.order)
        else:
            self.stage.warn(f"the timeline '{activity.target}' is empty", activity)
            self.stage.complete(activity.token)

    def _at_ns(self, activity: Activity) -> int:
        return activity.fired_ns + round(self.stage.timelines[activity.target][activity.step].at_s * SECOND)

    def _lan(self, activity: Activity) -> None:
        self.stage.order(ChangeLan, token=activity.token, lan=activity.target, verb=activity.verb, arguments=activity.arguments)

    def _node(self, activity: Activity) -> None:
        if activity.verb == "snapshot":
            self.stage.warn(f"a node's disk cannot be made an image: there is no '{activity.arguments.text or activity.target}'", activity)
            self.stage.complete(activity.token)
        else:
            if activity.verb == "stop":
                self.stage.state.halted.add(activity.target)
            self.stage.order(ChangeNode, token=activity.token, node=activity.target, verb=activity.verb)

    def _instance(self, activity: Activity) -> None:
        stage, arguments = self.stage, activity.arguments
        content = {"token": activity.token, **arguments.model_dump(exclude_none=True)}
        if activity.verb == "clean-logs":
            stage.order(CleanLogs, token=activity.token)
            return
        if activity.verb == "snapshot":
            self._keep_logs(activity)
            return
        if activity.verb == "report":
            stage.say("report", activity, detail={"text": summary(stage.state, self._programs.running())})
        elif activity.verb == "log":
            stage.say("log", activity, detail={"text": arguments.text})
        elif activity.verb == "message":
            stage.say("message", activity, detail={"text": arguments.text})
            stage.ask("message", **content)
        else:
            stage.ask(activity.verb, **content)
        stage.complete(activity.token)

    def _keep_logs(self, activity: Activity) -> None:
        living = [node.name for node in self.stage.spec.nodes if node.name not in self.stage.state.dead]
        activity.open = len(living)
        for node in living:
            self.stage.order(KeepLogs, token=activity.token, node=node)
        if not living:
            self.stage.complete(activity.token)
