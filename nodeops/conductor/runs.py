"""Runs: how one begins, when it has nothing more to do, and how it ends."""

from __future__ import annotations

from itertools import islice

from models.protocol.conductor import CANCELLED, TIMED_OUT, Outcome, RunInfo, StartRun
from models.spec import Event
from nodeops.conductor.firing import SECOND, Firing
from nodeops.conductor.happenings import Accepted, ChangeLan, EndRun, FireSwapout, RotateFiles, Send, Settled
from nodeops.conductor.programs import GRACE_NS, Programs
from nodeops.conductor.stage import Stage
from nodeops.conductor.state import Coming, Run

KILL_PATIENCE_NS = GRACE_NS + 10 * SECOND  # for what was killed to be gone
ROTATE_PATIENCE_NS = 120 * SECOND          # for files to be put away
WAITING_SHOWN = 100


class Runs:
    def __init__(self, stage: Stage, firing: Firing, programs: Programs):
        self.stage, self.firing, self.programs = stage, firing, programs

    def begin(self, wanted: StartRun) -> None:
        """Nothing of the run before may be left: the caller has seen its `run-ended`."""
        stage = self.stage
        stage.state.agents.clear()
        run = stage.state.run = Run(number=wanted.number, phase="starting", parameters=wanted.parameters, environment=wanted.environment,
                                    environment_of_run=wanted.environment_of_run or stage.spec.environment_of_runs, began_ns=stage.now_ns,
                                    began_at=stage.wall)
        stage.say("run-began", detail={"parameters": run.parameters, "environment_of_run": run.environment_of_run})
        for lan in stage.spec.lans:
            if lan.trace is not None:
                stage.order(ChangeLan, lan=lan.name, verb="trace-start", arguments={})
        self.programs.start_sinks()
        if stage.spec.on_start is None:
            self._begin_timeline(run)
        else:
            run.hook = self.firing.fire(Event(target=stage.spec.on_start, verb="run"), origin="hook on_start")

    def ended(self, token: int, outcome: Outcome) -> None:
        """Something completed: perhaps a hook."""
        run = self.stage.state.run
        if run is None or run.hook != token:
            return
        run.hook = None
        if run.phase == "stopping":
            self._end_programs(run)
        elif outcome.ok:
            self._begin_timeline(run)
        else:
            run.phase = "running"
            self.stage.warn("on_start failed, so the run's events are not fired")

    def due(self) -> None:
        """The next event of the run's own timeline."""
        run, events = self.stage.state.run, self.stage.events
        if run is None or run.zero_ns is None or run.step >= len(events):
            return
        event, at_ns = events[run.step], self._at_ns(run)
        run.step += 1
        self.firing.fire(Event(target=event.target, verb=event.verb, arguments=event.arguments), origin="timeline", planned_ns=at_ns)
        if run.step < len(events):
            self.stage.alarm(self._at_ns(run), "run", order=0)

    def send(self, told: Send) -> None:
        stage = self.stage
        if told.petition is not None:
            stage.state.petitions[told.petition.node] = told.petition.number
        token = stage.new_token()
        stage.outputs.append(Accepted(token=token))
        stage.state.coming[token] = Coming(event=told.event, origin=told.origin, due_ns=told.due_ns)
        stage.alarm(told.due_ns, "send", str(token))

    def swapout(self, _: FireSwapout) -> None:
        self.stage.outputs.append(Accepted(token=self.firing.swapout()))

    def end(self, told: EndRun) -> None:
        """What is pending never happens, what is in progress is no longer waited for; then on_stop, then every program ends."""
        run, stage = self.stage.state.run, self.stage
        if run is None or run.phase not in ("starting", "running"):
            return
        run.phase, run.reason, run.never_fired, run.hook = "stopping", told.reason, self._pending(run), None
        run.procedures.clear()
        stage.drop_alarms("timeline", "run", "send", "procedure")
        self.firing.cancel_all()
        for token, coming in stage.state.coming.items():
            stage.say("cancelled", token=token, target=coming.event.target, verb=coming.event.verb, planned_ns=coming.due_ns)
            stage.outputs.append(Settled(token=token, outcome=Outcome(code=CANCELLED, error="its run was stopped")))
        stage.state.coming.clear()
        if stage.spec.on_stop is None:
            self._end_programs(run)
        else:
            run.hook = self.firing.fire(Event(target=stage.spec.on_stop, verb="run"), origin="hook on_stop")
            stage.alarm(stage.now_ns + told.patience_ns, "patience", str(run.number))

    def patience_over(self, number: int) -> None:
        run = self.stage.state.run
        if run is not None and run.number == number and run.phase == "stopping":
            late = Outcome(code=TIMED_OUT, error="on_stop took too long")
            self.stage.note_failure(run.hook or 0, self.stage.spec.on_stop or "", "run", late)
            run.hook = None
            self.firing.cancel_all()
            self._end_programs(run)

    def rotated(self, order: RotateFiles, outcome: Outcome) -> None:
        run = self.stage.state.run
        if run is not None and run.rotating is not None:
            run.rotating -= 1
            if not outcome.ok:
                self.stage.note_failure(0, order.node, "rotate", outcome)

    def abandon(self, number: int) -> None:
        """Something cannot be killed: a process in the kernel's D state, or a node that does not answer."""
        run = self.stage.state.run
        if run is None or run.number != number or run.phase != "ending":
            return
        if run.rotating is not None:
            late = Outcome(code=TIMED_OUT, error=f"{run.rotating} nodes have not put their files away")
            self.stage.note_failure(0, "instance", "rotate", late)
            self._close(run)
            return
        for one in self.stage.state.invocations.values():
            self.stage.note_failure(one.token, one.agent, "stop", Outcome(code=TIMED_OUT, error="it could not be ended"))
        self.stage.state.invocations.clear()
        self.stage.state.agents.clear()

    def look(self) -> None:
        """After every happening: has the run nothing more to do, or is all of it gone?"""
        run, state = self.stage.state.run, self.stage.state
        if run is None:
            return
        if run.phase == "ending" and run.rotating is None and not state.invocations:
            self._rotate(run)
        if run.phase == "ending" and run.rotating == 0:
            self._close(run)
        if run.phase != "running":
            return
        quiet = not state.activities and not self._pending(run)
        idle = quiet and next(self.programs.running(), None) is None
        if quiet and not run.quiet:
            self.stage.ask("quiet", running=list(islice(self.programs.running(), WAITING_SHOWN)), failed=run.failed)
        if idle and not run.idle:
            self.stage.ask("idle", failed=run.failed)
        run.quiet, run.idle = quiet, idle

    def info(self) -> RunInfo | None:
        run, state = self.stage.state.run, self.stage.state
        if run is None:
            return None
        fields = {name: getattr(run, name) for name in RunInfo.model_fields if hasattr(run, name)}
        return RunInfo(**fields, pending=self._pending(run), waiting=tuple(sorted(state.activities)[:WAITING_SHOWN]),
                       running=tuple(self.programs.running()))

    def _begin_timeline(self, run: Run) -> None:
        run.phase, run.zero_ns = "running", self.stage.now_ns
        self.stage.say("timeline-began")
        if self.stage.events:
            self.stage.alarm(self._at_ns(run), "run", order=0)

    def _at_ns(self, run: Run) -> int:
        return (run.zero_ns or 0) + round(self.stage.events[run.step].at_s * SECOND)

    def _pending(self, run: Run) -> int:
        """Events of the run's timeline, of timelines in progress, and sent ones, that are still to come."""
        fires = run.phase == "starting" or (run.phase == "running" and run.zero_ns is not None)
        timelines = [one for one in self.stage.state.activities.values() if one.target in self.stage.timelines]
        others = sum(len(self.stage.timelines[one.target]) - one.step for one in timelines)
        return (len(self.stage.events) - run.step if fires else 0) + others + len(self.stage.state.coming)

    def _end_programs(self, run: Run) -> None:
        run.phase = "ending"
        for lan in self.stage.spec.lans:
            if lan.trace is not None:
                self.stage.order(ChangeLan, lan=lan.name, verb="trace-stop", arguments={})
        self.programs.stop_all()
        self.stage.alarm(self.stage.now_ns + KILL_PATIENCE_NS, "abandon", str(run.number))

    def _rotate(self, run: Run) -> None:
        """A dead node's files stay where they are; nothing writes to them."""
        nodes = [node for node in self.stage.nodes if node not in self.stage.state.dead]
        run.rotating = len(nodes)
        for node in nodes:
            self.stage.order(RotateFiles, node=node, run=run.number)
        self.stage.drop_alarms("abandon")
        self.stage.alarm(self.stage.now_ns + ROTATE_PATIENCE_NS, "abandon", str(run.number))

    def _close(self, run: Run) -> None:
        stage = self.stage
        run.ended_ns, run.ended_at = stage.now_ns, stage.wall
        stage.drop_alarms("timeout", "kill", "patience", "abandon")
        stage.state.invocations.clear()
        stage.state.agents.clear()
        outcome = Outcome() if not run.failed else run.failures[0].outcome
        stage.say("run-ended", outcome=outcome, detail={"reason": run.reason, "failed": run.failed, "never_fired": run.never_fired})
        stage.ask("run-ended", reason=run.reason, failed=run.failed)
        run.phase = "over"
