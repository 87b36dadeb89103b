"""The machine: happenings in, outputs out, nothing else. Same state and same happenings, same outputs, whenever and wherever."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from models.protocol.conductor import Outcome, RunInfo
from models.spec import Spec
from nodeops.conductor import happenings as h
from nodeops.conductor.deaths import Deaths
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
        self.deaths = Deaths(self.stage, self.firing, self.programs, self.runs)
        self.recorder = Recorder(self.stage)
        self._handlers: dict[str, Callable[[Any], None]] = {
            "tick": lambda _: None, "send": self.runs.send, "done": self._done, "started": self.programs.started,
            "exited": self.programs.exited, "gone": self.programs.gone, "node-died": self.deaths.node_died,
            "node-back": self.deaths.node_back, "wires-died": self.deaths.wires_died, "wires-back": self.deaths.wires_back,
            "begin-run": self._begin_run, "end-run": self.runs.end,
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
            elif what == "procedure":
                self.deaths.due(key)
            elif what == "patience":
                self.runs.patience_over(int(key))
            else:
                self.runs.abandon(int(key))
            self._settle()

    def _settle(self) -> None:
        while ended := self.firing.finish():
            for token, outcome in ended:
                self.runs.ended(token, outcome)
                self.deaths.ended(token, outcome)

    def _begin_run(self, told: h.BeginRun) -> None:
        self.runs.begin(told.run)
        self.deaths.of_run_begun()

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

    def _noted(self, told: h.Noted) -> None:
        self.stage.say(told.about, detail=dict(told.detail))

