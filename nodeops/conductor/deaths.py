"""What dies and comes back: nodes and wires, and what that does to a run.

A node says by `failure` what its death does. fatal: the run ends, failed, after the node's own procedure (`on_failure`) if it has one.
nonfatal: the run goes on without it. restart: the run goes on, and the controller has the node made anew. Wires are as fatal as the
strictest of the nodes that hang on them, and are always started again.
"""

from __future__ import annotations

from collections.abc import Iterable

from models.protocol.conductor import TIMED_OUT, UNDELIVERED, Outcome
from models.spec import Event, Node
from nodeops.conductor import happenings as h
from nodeops.conductor.firing import SECOND, Firing
from nodeops.conductor.programs import Programs
from nodeops.conductor.runs import Runs
from nodeops.conductor.stage import Stage

PATIENCE_NS = 60 * SECOND  # of virtual time, for a procedure and then for `on_stop`
WIRES, AT_ONCE = "wires", "at once"
STRICTEST = ("fatal", "restart", "nonfatal")


class Deaths:
    def __init__(self, stage: Stage, firing: Firing, programs: Programs, runs: Runs):
        self.stage, self.firing, self.programs, self.runs = stage, firing, programs, runs

    def node_died(self, told: h.NodeDied) -> None:
        """Nothing of it is left. One that was told to stop has done what it was told."""
        stage, state, node = self.stage, self.stage.state, self.stage.nodes.get(told.node)
        if told.node in state.dead:
            return
        expected = told.node in state.halted
        failure = node.failure if node is not None else "nonfatal"
        state.dead.add(told.node)
        stage.say("node-died", target=told.node, detail={"reason": told.reason, "expected": expected, "failure": failure})
        self._drop_orders(told.node, "the node died")
        self.programs.forget(told.node, "the node was stopped" if expected else "the node died", counts=expected)
        if expected or node is None:
            return
        stage.ask("node-died", node=told.node, reason=told.reason, failure=failure)
        self._bear(told.node, failure, f"the node died: {told.reason}", [node])

    def node_back(self, told: h.NodeBack) -> None:
        state = self.stage.state
        was_dead = told.node in state.dead
        fresh = state.incarnations.setdefault(told.node, told.incarnation) != told.incarnation
        state.incarnations[told.node] = told.incarnation
        state.dead.discard(told.node)
        state.halted.discard(told.node)
        state.next_order = max(state.next_order, told.last_order + 1)
        if fresh:
            state.petitions.pop(told.node, None)
            self._drop_orders(told.node, "the node was started anew")
            self.programs.forget(told.node, "the node was started anew")
        else:
            ordered = [order.invocation for order in state.outstanding.values() if isinstance(order, h.StartProgram | h.StartTraffic)]
            self.programs.forget(told.node, "it ended while nobody watched", {*told.running, *ordered})
        if was_dead:
            self.stage.say("node-back", target=told.node, detail={"anew": fresh})
            if state.run is not None and state.run.phase in ("starting", "running"):
                self.programs.start_sinks(told.node)

    def wires_died(self, told: h.WiresDied) -> None:
        stage = self.stage
        if stage.state.wires_dead:
            return
        stage.state.wires_dead = True
        hanging = [node for node in stage.nodes.values() if next(stage.spec.memberships(node.name), None) is not None]
        failure = strictest(hanging)
        stage.say("wires-died", detail={"reason": told.reason, "failure": failure})
        stage.ask("wires-died", reason=told.reason, failure=failure)
        self._bear(WIRES, failure, f"the wires died: {told.reason}", hanging)

    def wires_back(self, _: h.WiresBack) -> None:
        if self.stage.state.wires_dead:
            self.stage.state.wires_dead = False
            self.stage.say("wires-back")

    def of_run_begun(self) -> None:
        """What died before the run began is part of what happened in it."""
        state = self.stage.state
        for name in sorted(state.dead - state.halted):
            node = self.stage.nodes.get(name)
            if node is not None:
                reason = "it was dead when the run began"
                self.stage.say("node-died", target=name, detail={"reason": reason, "expected": False, "failure": node.failure})
                self._bear(name, node.failure, f"the node died: {reason}", [node])

    def ended(self, token: int, outcome: Outcome) -> None:
        """Something completed: perhaps the last procedure that the end of the run waits for."""
        run = self.stage.state.run
        if run is not None and token in run.procedures:
            run.procedures.remove(token)
            if not run.procedures:
                self._end()

    def due(self, key: str) -> None:
        """The run ends: there is no procedure to wait for, or there was, and it has had time enough."""
        run = self.stage.state.run
        if run is None or not run.verdict or (key == AT_ONCE and run.procedures):
            return
        if run.phase in ("starting", "running"):
            for token in run.procedures:
                late = Outcome(code=TIMED_OUT, error="the procedure of a failure took too long")
                self.stage.note_failure(token, "", "run", late)
            run.procedures.clear()
            self._end()

    def _bear(self, name: str, failure: str, what: str, nodes: Iterable[Node]) -> None:
        """What a death does to the run that goes on, if one does."""
        stage, run = self.stage, self.stage.state.run
        if run is None or run.phase == "over":
            return
        if failure == "fatal":
            stage.note_failure(0, name, "failure", Outcome(code=UNDELIVERED, error=what))
        if run.phase not in ("starting", "running"):
            return
        hooks = dict.fromkeys(node.on_failure for node in nodes if node.on_failure is not None)
        tokens = [self.firing.fire(Event(target=hook, verb="run"), origin=f"hook {name}") for hook in hooks]
        if failure != "fatal":
            return
        run.verdict = run.verdict or f"{name}: {what}"
        run.procedures += tokens
        if tokens:
            stage.alarm(stage.now_ns + PATIENCE_NS, "procedure")
        else:
            stage.alarm(stage.now_ns, "procedure", AT_ONCE)  # when what the death brought to its end has been told

    def _end(self) -> None:
        run, stage = self.stage.state.run, self.stage
        assert run is not None
        self.runs.end(h.EndRun(now_ns=stage.now_ns, wall=stage.wall, reason=run.verdict, patience_ns=PATIENCE_NS))

    def _drop_orders(self, node: str, error: str) -> None:
        """Of a dead node; one that was to kill it has succeeded."""
        state = self.stage.state
        for order in [one for one in state.outstanding.values() if getattr(one, "node", None) == node]:
            del state.outstanding[order.number]
            outcome = Outcome() if isinstance(order, h.ChangeNode) else Outcome(code=UNDELIVERED, error=error)
            if isinstance(order, h.RotateFiles):
                self.runs.rotated(order, outcome)
            else:
                self.programs.done(order, outcome)


def strictest(nodes: Iterable[Node]) -> str:
    return min((node.failure for node in nodes), key=STRICTEST.index, default="nonfatal")
