"""Program and traffic agents: which of their programs run, and what their ends mean."""

from __future__ import annotations

from collections.abc import Iterator, Set

from models.events import Arguments
from models.protocol.conductor import BUSY, NOT_STARTED, TIMED_OUT, UNDELIVERED, Outcome
from models.spec import ProgramAgent, TrafficAgent
from nodeops.conductor.happenings import (
    KeepLogs,
    Order,
    PaceTraffic,
    ProgramExited,
    ProgramGone,
    ProgramStarted,
    SignalProgram,
    StartProgram,
    StartTraffic,
    WriteStatus,
)
from nodeops.conductor.stage import Stage
from nodeops.conductor.state import Activity, Agent, Invocation

SECOND = 1_000_000_000
GRACE_NS = 2 * SECOND        # between SIGTERM and SIGKILL
LINGERED_NS = SECOND // 100  # daemons that outlive their program by less are not worth a line


def of_program(agent: ProgramAgent) -> Arguments:
    """What the spec says of it, in the form of an event's arguments."""
    return Arguments(command=agent.command or None, directory=agent.directory, timeout_s=agent.timeout_s,
                     expected_exit_code=agent.expected_exit_code, environment=agent.environment)


def of_traffic(agent: TrafficAgent) -> Arguments:
    return Arguments(packet_size_bytes=agent.packet_size_bytes, rate_bps=agent.rate_bps, interval_s=agent.interval_s,
                     type_of_service=agent.type_of_service)


def merged(*layers: Arguments) -> Arguments:
    """Later ones win; environments are joined."""
    values: dict = {}
    for layer in layers:
        given = {name: getattr(layer, name) for name in layer.given()}
        if "environment" in given:
            given["environment"] = {**values.get("environment", {}), **given["environment"]}
        values |= given
    return Arguments(**values)


class Programs:
    def __init__(self, stage: Stage):
        self.stage = stage

    def tell(self, activity: Activity) -> None:
        """Any verb to a program or traffic agent."""
        spec = self.stage.agents[activity.target]
        if isinstance(spec, ProgramAgent):
            {"start": self._start_program, "run": self._start_program, "set": self._set}.get(activity.verb, self._end_or_signal)(activity)
        else:
            {"start": self._start_traffic, "modify": self._modify, "reset": self._reset}.get(activity.verb, self._end_or_signal)(activity)

    def start_sinks(self, node: str | None = None) -> None:
        """They are there before anything is sent; they end with the run. node: only those there."""
        for agent in self.stage.agents.values():
            if isinstance(agent, TrafficAgent) and agent.role == "sink" and node in (None, agent.node):
                self._launch_traffic(agent, token=self.stage.new_token(), told=None)

    def running(self) -> Iterator[str]:
        """Agents whose program runs; sinks always do."""
        return (one.agent for one in self.stage.state.invocations.values() if one.exited_ns is None and not self._is_sink(one.agent))

    def done(self, order: Order, outcome: Outcome) -> None:
        """An order of this module was carried out, or could not be."""
        if isinstance(order, KeepLogs):
            self._kept(order, outcome)
            return
        if isinstance(order, StartProgram | StartTraffic) and not outcome.ok:
            one = self._remove(order.invocation)
            if one is not None and one.waited:
                self.stage.complete(one.token, outcome)
        if order.token is not None:
            self.stage.complete(order.token, outcome)

    def _kept(self, order: KeepLogs, outcome: Outcome) -> None:
        """The snapshot is complete when every node has its copy, with the worst that happened."""
        activity = self.stage.state.activities.get(order.token or 0)
        if activity is None:
            return
        activity.open -= 1
        if outcome.code > activity.worst.code:
            activity.worst = outcome
        if not activity.open:
            self.stage.complete(activity.token, activity.worst)

    def started(self, told: ProgramStarted) -> None:
        one = self.stage.state.invocations.get(told.invocation)
        if one is not None and not one.traffic:
            self._say("started", one, told.start_ns, {"invocation": one.name, "pid": told.pid, "log": one.log})

    def exited(self, told: ProgramExited) -> None:
        one = self.stage.state.invocations.get(told.invocation)
        if one is None or one.exited_ns is not None:
            return
        one.exited_ns = told.end_ns
        outcome = self._outcome(one, told)
        status: dict = {"invocation": one.name, "tag": one.tag, "code": told.code, "signal": told.signal, "error": outcome.error,
                        "stopped": one.stopping, "timed_out": one.timed_out, "start_ns": told.start_ns, "end_ns": told.end_ns,
                        "user_s": told.user_us / 1e6, "system_s": told.system_us / 1e6, "max_rss_kib": told.max_rss_kib, "log": one.log}
        self._say("exited", one, told.end_ns, status, outcome)
        run = self.stage.state.run
        self.stage.outputs.append(WriteStatus(node=one.node, agent=one.agent, log=one.log,
                                              status={"run": run.number if run else None, "ended_at": told.wall.isoformat(), **status}))
        if one.waited:
            self.stage.complete(one.token, outcome)
        elif not outcome.ok:
            self.stage.note_failure(one.token, one.agent, "start", outcome)

    def gone(self, told: ProgramGone) -> None:
        one = self._remove(told.invocation)
        if one is not None and one.exited_ns is not None and told.end_ns - one.exited_ns > LINGERED_NS:
            self._say("gone", one, told.end_ns, {"invocation": one.name, "user_s": told.user_us / 1e6, "system_s": told.system_us / 1e6,
                                                 "max_rss_kib": told.max_rss_kib})

    def timeout(self, name: str) -> None:
        one = self.stage.state.invocations.get(name)
        if one is not None and one.exited_ns is None:
            one.timed_out = True
            self._end(one, None)

    def kill(self, name: str) -> None:
        """It had its grace."""
        one = self.stage.state.invocations.get(name)
        if one is not None:
            self.stage.order(SignalProgram, node=one.node, invocation=name, signal="KILL")

    def stop_all(self) -> None:
        for one in list(self.stage.state.invocations.values()):
            one.stopping = True
            self._end(one, None)

    def forget(self, node: str, error: str, survivors: Set[str] = frozenset(), *, counts: bool = True) -> None:
        """Nothing but survivors runs there any more. counts: that is a failure of the run also where no event waits."""
        state = self.stage.state
        for one in [one for one in state.invocations.values() if one.node == node and one.name not in survivors]:
            if one.exited_ns is None:
                outcome = Outcome(code=UNDELIVERED, error=error)
                detail = {"invocation": one.name, "tag": one.tag, "error": error, "log": one.log}
                self._say("exited", one, self.stage.now_ns, detail, outcome)
                if one.waited:
                    self.stage.complete(one.token, outcome)
                elif counts:
                    self.stage.note_failure(one.token, one.agent, "start", outcome)
            self._remove(one.name)

    def _outcome(self, one: Invocation, told: ProgramExited) -> Outcome:
        code = 128 + told.signal if told.signal is not None else told.code or 0
        how = f"ended by signal {told.signal}" if told.signal is not None else f"exit code {code}"
        if told.error is not None:
            return Outcome(code=NOT_STARTED, error=f"could not be started: {told.error}")
        if one.timed_out:
            return Outcome(code=TIMED_OUT, error="took longer than its timeout")
        if one.stopping or one.expected is None or one.expected == code:
            return Outcome()
        return Outcome(code=code or 1, error=f"{how} instead of {one.expected}")

    def _say(self, kind: str, one: Invocation, at_ns: int, detail: dict, outcome: Outcome | None = None) -> None:
        self.stage.say(kind, token=one.token, target=one.agent, verb="run" if one.waited else "start", actual_ns=at_ns, detail=detail,
                       outcome=outcome)

    def _agent(self, name: str) -> Agent:
        return self.stage.state.agents.setdefault(name, Agent())

    def _is_sink(self, name: str) -> bool:
        agent = self.stage.agents.get(name)
        return isinstance(agent, TrafficAgent) and agent.role == "sink"

    def _add(self, one: Invocation) -> None:
        self.stage.state.invocations[one.name] = one
        self._agent(one.agent).invocations.append(one.name)

    def _remove(self, name: str) -> Invocation | None:
        one = self.stage.state.invocations.pop(name, None)
        if one is not None:
            self._agent(one.agent).invocations.remove(name)
        return one

    def _invocations(self, agent: str) -> list[Invocation]:
        return [self.stage.state.invocations[name] for name in self._agent(agent).invocations]

    def _runs(self, agent: str) -> bool:
        return any(one.exited_ns is None for one in self._invocations(agent))

    def _start_program(self, activity: Activity) -> None:
        spec = self.stage.agents[activity.target]
        assert isinstance(spec, ProgramAgent)
        agent = self._agent(spec.name)
        arguments = merged(of_program(spec), agent.overrides, activity.arguments)
        if self._runs(spec.name):
            self.stage.complete(activity.token, Outcome(code=BUSY, error=f"'{spec.name}' is running already"))
            return
        if not arguments.command:
            self.stage.complete(activity.token, Outcome(code=NOT_STARTED, error=f"'{spec.name}' has no command"))
            return
        waited = activity.verb == "run"
        agent.count += 1
        one = Invocation(name=f"{spec.name}.{activity.token}", agent=spec.name, node=spec.node, token=activity.token, tag=arguments.tag,
                         log=arguments.tag or str(agent.count), waited=waited, expected=0 if waited else None)
        if arguments.expected_exit_code is not None:
            one.expected = arguments.expected_exit_code
        self._add(one)
        self.stage.order(StartProgram, token=None if waited else activity.token, node=one.node, invocation=one.name, agent=one.agent,
                         log=one.log, arguments=arguments)
        if arguments.timeout_s is not None:
            self.stage.alarm(self.stage.now_ns + round(arguments.timeout_s * SECOND), "timeout", one.name)

    def _set(self, activity: Activity) -> None:
        agent = self._agent(activity.target)
        agent.overrides = merged(agent.overrides, activity.arguments)
        self.stage.complete(activity.token)

    def _end_or_signal(self, activity: Activity) -> None:
        """stop and kill: whatever the agent's programs left behind is meant, too. One that does not run needs nothing."""
        found = self._invocations(activity.target)
        if not found:
            self.stage.warn(f"'{activity.target}' does not run", activity)
            self.stage.complete(activity.token)
        for one in found:
            token = activity.token if one is found[-1] else None
            if activity.verb == "stop":
                one.stopping = True
                self._end(one, token)
            else:
                self.stage.order(SignalProgram, token=token, node=one.node, invocation=one.name, signal=activity.arguments.signal or "TERM")

    def _end(self, one: Invocation, token: int | None) -> None:
        self.stage.order(SignalProgram, token=token, node=one.node, invocation=one.name, signal="TERM")
        self.stage.alarm(self.stage.now_ns + GRACE_NS, "kill", one.name)

    def _start_traffic(self, activity: Activity) -> None:
        spec = self.stage.agents[activity.target]
        assert isinstance(spec, TrafficAgent)
        if self._runs(spec.name):
            self.stage.complete(activity.token)
        else:
            self._launch_traffic(spec, activity.token, activity.token)

    def _launch_traffic(self, spec: TrafficAgent, token: int, told: int | None) -> None:
        agent = self._agent(spec.name)
        agent.count += 1
        one = Invocation(name=f"{spec.name}.{token}", agent=spec.name, node=spec.node, token=token, log=str(agent.count), expected=0,
                         traffic=True)
        self._add(one)
        self.stage.order(StartTraffic, token=told, node=one.node, invocation=one.name, agent=one.agent, log=one.log,
                         arguments=merged(of_traffic(spec), agent.overrides))

    def _modify(self, activity: Activity) -> None:
        """A rate overrules an interval that was set before it, as the interval overrules a rate."""
        agent, given = self._agent(activity.target), activity.arguments
        if given.rate_bps is not None and given.interval_s is None:
            given = merged(given, Arguments(interval_s=0))
        agent.overrides = merged(agent.overrides, given)
        self._pace(activity)

    def _reset(self, activity: Activity) -> None:
        self._agent(activity.target).overrides = Arguments()
        self._pace(activity)

    def _pace(self, activity: Activity) -> None:
        """Tell a source that runs how it shall send from now on."""
        spec = self.stage.agents[activity.target]
        assert isinstance(spec, TrafficAgent)
        running = [one for one in self._invocations(spec.name) if one.exited_ns is None and spec.role == "source"]
        for one in running:
            self.stage.order(PaceTraffic, token=activity.token, node=one.node, invocation=one.name, agent=spec.name,
                             arguments=merged(of_traffic(spec), self._agent(spec.name).overrides))
        if not running:
            self.stage.complete(activity.token)
