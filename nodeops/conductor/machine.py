"""The machine: happenings in, outputs out, nothing else. Same state and same happenings, same outputs, whenever and wherever."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from models.protocol.conductor import UNDELIVERED, Outcome, RunInfo
from models.spec import Event, Spec
from nodeops.conductor import happenings as h
from nodeops.conductor.firing import Firing
from nodeops.conductor.programs import Programs
from nodeops.conductor.recorder import Recorder
from nodeops.conductor.runs import Runs
from nodeops.conductor.stage import Stage
from nodeops.conductor.state import State


class Machine:
    """`feed` it what happens, carry out what it gives back; `next_due_ns` says when to feed it a Tick if nothing else happens before."""

    def __init__(self, spec: Spec, state: State | None = None):
        self.stage = Stage(spec, state or State())
        self.programs = Programs(self.stage)
        self.firing = Firing(self.stage, self.programs)
        self.runs = Runs(self.stage, self.firing, self.programs)
        self.recorder = Recorder(self.stage)
        self._handlers: dict[str, Callable[[Any], None]] = {
            "tick": lambda _: None, "send": self.runs.send, "done": self._done, "started": self.programs.started,
            "exited": self.programs.exited, "gone": self.programs.gone, "node-died": self._node_died, "node-back": self._node_back,
            "begin-run": lambda told: self.runs.begin(told.run), "end-run": self.runs.end,
            "completed": lambda told: self.stage.complete(told.token, told.outcome), "fire-swapout": self.runs.swapout,
            "record-command": self.recorder.command, "change-recording": self.recorder.change, "noted": self._noted}

    @property
    def state(self) -> State:
        return self.stage.state

    def next_due_ns(self) -> int | None:
        return self.state.alarms[0][0] if self.state.alarms else None

    def info(self) -> RunInfo | None:
        return self.runs.info()

    def take(self, spec: Spec) -> None:
        """A changed template. Sequences in progress go on at the step they had come to; what vanished fails when it is its turn."""
        self.stage.take(spec)

    def feed(self, told: h.Happening) -> list[h.Output]:
        """What follows from it, and from the time it brings: all that was due before is done first, at once and in order."""
        stage = self.stage
        stage.now_ns, stage.wall, stage.outputs = told.now_ns, told.wall, []
        self._alarms()
        self._handlers[told.what](told)
        self._settle()
        self._alarms()
        self.runs.look()
        return stage.outputs

    def _alarms(self) -> None:
        while (alarm := self.stage.next_alarm()) is not None:
            _, _, what, key = alarm
            if what == "run":
                self.runs.due()
            elif what == "timeline":
                self.firing.due(int(key))
            elif what == "send":
                self._sent(int(key))
            elif what == "timeout":
                self.programs.timeout(key)
            elif what == "kill":
                self.programs.kill(key)
            elif what == "patience":
                self.runs.patience_over(int(key))
            else:
                self.runs.abandon(int(key))
            self._settle()

    def _settle(self) -> None:
        while ended := self.firing.finish():
            for token, outcome in ended:
                self.runs.ended(token, outcome)

    def _sent(self, token: int) -> None:
        coming = self.state.coming.pop(token, None)
        if coming is None:
            return
        self.recorder.note(coming.event)
        self.firing.fire(coming.event, origin=coming.origin, planned_ns=coming.due_ns, token=token)

    def _done(self, told: h.Done) -> None:
        order = self.state.outstanding.pop(told.order, None)
        if order is not None:
            self._ended(order, told.outcome)

    def _ended(self, order: h.Order, outcome: Outcome) -> None:
        if isinstance(order, h.RotateFiles):
            self.runs.rotated(order, outcome)
        else:
            self.programs.done(order, outcome)

    def _node_died(self, told: h.NodeDied) -> None:
        """Whether it was told to or not, nothing of it is left; what the template says of that is the controller's, or a sequence's."""
        stage, node = self.stage, self.stage.nodes.get(told.node)
        if told.node in self.state.dead:
            return
        expected = told.node in self.state.halted
        self.state.dead.add(told.node)
        stage.say("node-died", target=told.node, detail={"reason": told.reason, "expected": expected})
        self._drop_orders(told.node, "the node died")
        self.programs.forget(told.node, "the node was stopped" if expected else "the node died")
        if expected or node is None:
            return
        stage.ask("node-died", node=told.node, reason=told.reason, failure=node.failure, on_failure=node.on_failure)
        if self.state.run is not None and self.state.run.phase != "over":
            stage.note_failure(0, told.node, "", Outcome(code=UNDELIVERED, error=f"the node died: {told.reason}"))
            if node.on_failure is not None:
                self.firing.fire(Event(target=node.on_failure, verb="run"), origin=f"hook {told.node}")

    def _node_back(self, told: h.NodeBack) -> None:
        was_dead = told.node in self.state.dead
        fresh = self.state.incarnations.setdefault(told.node, told.incarnation) != told.incarnation
        self.state.incarnations[told.node] = told.incarnation
        self.state.dead.discard(told.node)
        self.state.halted.discard(told.node)
        self.state.next_order = max(self.state.next_order, told.last_order + 1)
        if fresh:
            self.state.petitions.pop(told.node, None)
            self._drop_orders(told.node, "the node was started anew")
            self.programs.forget(told.node, "the node was started anew")
        else:
            ordered = [order.invocation for order in self.state.outstanding.values() if isinstance(order, h.StartProgram | h.StartTraffic)]
            self.programs.forget(told.node, "it ended while nobody watched", {*told.running, *ordered})
        if was_dead:
            self.stage.say("node-back", target=told.node)

    def _drop_orders(self, node: str, error: str) -> None:
        """Of a dead node; one that was to kill it has succeeded."""
        for order in [one for one in self.state.outstanding.values() if getattr(one, "node", None) == node]:
            del self.state.outstanding[order.number]
            self._ended(order, Outcome() if isinstance(order, h.ChangeNode) else Outcome(code=UNDELIVERED, error=error))

    def _noted(self, told: h.Noted) -> None:
        self.stage.say(told.about, detail=dict(told.detail))

