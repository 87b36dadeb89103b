"""The machine against an independent reading of what sequences, groups and timelines mean, on random experiments."""

from __future__ import annotations

from itertools import count

from hypothesis import given, settings
from hypothesis import strategies as st
from world import Event, Group, ProgramAgent, Sequence, Spec, TimedEvent, Timeline, TimelineEntry, World, make_spec

from nodeops.conductor import happenings as h

# A plan is ("program", seconds, code), ("log",), ("group", plans of programs), ("sequence", plans), ("timeline", (at, plan) pairs)
PROGRAM = st.tuples(st.just("program"), st.integers(0, 4), st.sampled_from([0, 0, 0, 0, 1, 7]))
LEAF = st.one_of(PROGRAM, st.just(("log",)), st.tuples(st.just("group"), st.lists(PROGRAM, min_size=1, max_size=3)))
PLAN = st.recursive(LEAF, lambda inner: st.one_of(
    st.tuples(st.just("sequence"), st.lists(inner, max_size=4)),
    st.tuples(st.just("timeline"), st.lists(st.tuples(st.integers(0, 5), inner), max_size=4))), max_leaves=12)

PLANS = st.lists(st.tuples(st.integers(0, 5), PLAN), min_size=1, max_size=4)


class Builder:
    """Makes a spec of plans: every program, group, sequence and timeline is used once, so nothing is ever busy."""

    def __init__(self) -> None:
        self.numbers = count()
        self.parts: dict[str, list] = {"agents": [], "groups": [], "sequences": [], "timelines": []}

    def event(self, plan: tuple) -> Event:
        kind, name = plan[0], f"{plan[0]}{next(self.numbers)}"
        if kind == "log":
            return Event(target="instance", verb="log", arguments={"text": name})
        if kind == "program":
            self.parts["agents"].append(ProgramAgent(name=name, node="n", command=f"{plan[1]} {plan[2]}"))
        elif kind == "group":
            self.parts["groups"].append(Group(name=name, members=tuple(self.event(member).target for member in plan[1])))
        elif kind == "sequence":
            self.parts["sequences"].append(Sequence(name=name, steps=tuple(self.event(step) for step in plan[1])))
        else:
            entries = [(at, self.event(entry)) for at, entry in plan[1]]
            self.parts["timelines"].append(Timeline(name=name, entries=tuple(
                TimelineEntry(at_s=at, target=event.target, verb=event.verb, arguments=event.arguments) for at, event in entries)))
        return Event(target=name, verb="run")

    def spec(self, **more) -> Spec:
        return make_spec(**{name: tuple(values) for name, values in self.parts.items()}, **more)


def expected(spec: Spec, event: Event, at: float, fired: list[tuple[float, str]]) -> tuple[float, int]:
    """When and how it ends, if it is fired at that time; adds everything fired because of it."""
    fired.append((at, event.target))
    agents, groups = {a.name: a for a in spec.agents}, {g.name: g for g in spec.groups}
    sequences, timelines = {s.name: s for s in spec.sequences}, {t.name: t for t in spec.timelines}
    if event.target in agents:
        seconds, code = agents[event.target].command.split()
        return at + float(seconds), int(code)
    if event.target in groups:
        ends = [expected(spec, Event(target=member, verb="run"), at, fired) for member in groups[event.target].members]
        return max(end for end, _ in ends), max(code for _, code in ends)
    if event.target in sequences:
        code = 0
        for step in sequences[event.target].steps:
            at, code = expected(spec, step, at, fired)
            if code:
                break
        return at, code
    if event.target in timelines:
        entries = sorted(timelines[event.target].entries, key=lambda entry: entry.at_s)
        ends = [expected(spec, entry, at + entry.at_s, fired) for entry in entries]
        if not ends:
            return at, 0
        end, _ = ends[-1]
        return end, max([code for other, code in ends[:-1] if other < end] + [ends[-1][1]])
    return at, 0


def ties(spec: Spec) -> bool:
    """Whether a timeline's error, and with it what a sequence does next, hangs on which of two things at one instant came first: then
    both answers are right."""
    for timeline in spec.timelines:
        entries = sorted(timeline.entries, key=lambda entry: entry.at_s)
        ends = [expected(spec, entry, entry.at_s, []) for entry in entries]
        if any(end == ends[-1][0] and code for end, code in ends[:-1]):
            return True
    return False


@settings(max_examples=200, deadline=None)
@given(PLANS)
def test_everything_is_fired_and_ends_when_it_should(plans):
    builder = Builder()
    timed = [(at, builder.event(plan)) for at, plan in plans]
    spec = builder.spec(events=tuple(TimedEvent(at_s=at, **dict(event)) for at, event in timed))
    world = World(spec)
    world.begin()
    world.run(1000)
    fired: list[tuple[float, str]] = []
    ends = {event.target: expected(spec, event, at, fired) for at, event in timed}
    if not ties(spec):
        assert sorted((at, target) for at, target, _ in world.fired()) == sorted(fired)
        for target, end in ends.items():
            if target != "instance":
                assert world.ended(target) == [end]
    info = world.machine.info()
    assert info and not info.pending and not info.waiting and not info.running
    assert world.asked()[-2:] == ["quiet", "idle"]


@settings(max_examples=80, deadline=None)
@given(PLANS, st.sampled_from([0, 1, 300_000_000]), st.integers(0, 12), st.data())
def test_saved_and_restored_at_any_instant_it_goes_on_the_same(plans, latency_ns: int, stop_after_s: int, data):
    """One world runs undisturbed; in the other, the machine is replaced by what its saved state makes, before every single step."""
    builder = Builder()
    timed = [(at, builder.event(plan)) for at, plan in plans]
    spec = builder.spec(events=tuple(TimedEvent(at_s=at, **dict(event)) for at, event in timed))
    agents = [agent.name for agent in spec.agents]
    sends = st.tuples(st.integers(0, 5), st.sampled_from([*agents, "none"]), st.sampled_from(["stop", "start"]))
    interference = data.draw(st.lists(sends, max_size=3))
    undisturbed, replaced = World(spec, latency_ns=latency_ns), World(spec, latency_ns=latency_ns, reload_at=None)
    for world in (undisturbed, replaced):
        world.begin()
        for in_s, target, verb in interference:
            if target != "none":
                world.send(target, verb, in_s=in_s)
        world.run(stop_after_s)
        world.tell(h.EndRun, reason="test", patience_ns=0)
        world.run(100)
    assert replaced.outputs == undisturbed.outputs
    assert replaced.machine.state == undisturbed.machine.state
    assert undisturbed.machine.info().phase == "over"
    assert not undisturbed.machine.state.invocations and not undisturbed.machine.state.activities and not undisturbed.machine.state.alarms


@settings(max_examples=40, deadline=None)
@given(PLANS, st.integers(0, 20))
def test_lines_are_numbered_without_gaps_and_every_event_ends_once(plans, seconds: int):
    builder = Builder()
    timed = [(at, builder.event(plan)) for at, plan in plans]
    world = World(builder.spec(events=tuple(TimedEvent(at_s=at, **dict(event)) for at, event in timed)), latency_ns=1000)
    world.begin()
    world.run(seconds)
    world.tell(h.EndRun, reason="", patience_ns=0)
    world.run(100)
    assert [line.number for line in world.lines] == list(range(len(world.lines)))
    settled = [output.token for output in world.outputs if isinstance(output, h.Settled)]
    assert len(settled) == len(set(settled))
    orders = [output.number for output in world.outputs if isinstance(output, h.Order)]
    assert orders == sorted(set(orders))
