"""The conductor with real nodes, wires and programs."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from models.errors import Conflict, InvalidInput, NotFound
from models.events import Arguments
from models.protocol.conductor import ActivityLine, StartRun
from models.spec import Event, Group, ProgramAgent, Sequence, Spec, TimedEvent
from nodeops.conductor.client import ConductorClient
from tests.nodeops.instances import lan_spec, run, wait_until

Conduct = Callable[..., ConductorClient]


def with_parts(base: Spec, **parts) -> Spec:
    return Spec(**{**{name: getattr(base, name) for name in Spec.model_fields}, **parts})


def lines(client: ConductorClient, kind: str, target: str | None = None) -> list[ActivityLine]:
    return [line for line in client.events() if line.kind == kind and target in (None, line.target)]


def test_a_program_runs_with_its_environment_and_is_accounted_for(conduct: Conduct):
    spec = with_parts(lan_spec("h1", "h2"), environment={"FROM_SPEC": "spec"}, agents=(ProgramAgent(
        name="p", node="h1", command='echo "$X $FROM_SPEC $NODE $RUN $LOGDIR $ARCHIVE $DATASTORE $PWD"; echo oops >&2; exit 3',
        environment={"X": "agent"}),))
    client = conduct(spec, begin=False)
    client.start_run(StartRun(number=4, parameters={"X": "parameter", "Y": "1"}))
    sent = client.send_event("p", "run", Arguments(tag="try"), wait=True, timeout_s=10)
    assert sent.outcome and sent.outcome.code == 3
    node = client.layout.node("h1")
    assert (node.logs / "p/try.out").read_text() == "agent spec h1 4 /swapbed/logs/p /swapbed/archive /swapbed/datastore /swapbed/logs/p\n"
    assert (node.logs / "p/try.err").read_text() == "oops\n"
    exited = lines(client, "exited", "p")[0]
    assert exited.detail["code"] == 3 and exited.detail["tag"] == "try" and 0 < exited.detail["max_rss_kib"] < 1 << 20
    wait_until(lambda: (node.logs / "p/try.status").exists())
    assert '"code": 3' in (node.logs / "p/try.status").read_text()


def test_events_are_fired_on_time(conduct: Conduct):
    events = tuple(TimedEvent(at_s=0.1 * i, target="p", verb="start") for i in range(1, 8))
    client = conduct(with_parts(lan_spec("h1", "h2"), agents=(ProgramAgent(name="p", node="h2", command="true"),), events=events))
    client.wait("idle", 10)
    late_ms = [(line.actual_ns - line.planned_ns) / 1e6 for line in lines(client, "fired", "p") if line.planned_ns is not None]
    assert len(late_ms) == 7
    assert min(late_ms) >= 0 and sorted(late_ms)[3] < 5
    pairs = zip(lines(client, "fired", "p"), lines(client, "started"), strict=True)
    delay_ms = [(started.actual_ns - fired.actual_ns) / 1e6 for fired, started in pairs]
    assert min(delay_ms) > -1 and sorted(delay_ms)[3] < 100


def test_link_events_reach_the_wires(conduct: Conduct):
    ping = "ping -c 1 -W 0.3 10.1.1.3 >/dev/null"
    spec = with_parts(lan_spec("h1", "h2"), agents=(
        ProgramAgent(name="ok", node="h1", command=ping), ProgramAgent(name="dead", node="h1", command=f"! {ping}"),
        ProgramAgent(name="slow", node="h1", command="ping -c 1 -W 2 10.1.1.3 | grep -q 'time=2[0-9][0-9]'")),
        sequences=(Sequence(name="s", steps=(
            Event(target="ok", verb="run"), Event(target="net", verb="down"), Event(target="dead", verb="run"),
            Event(target="net", verb="up"), Event(target="ok", verb="run"),
            Event(target="net", verb="modify", arguments=Arguments(delay_s=0.1)), Event(target="slow", verb="run"),
            Event(target="net", verb="reset"), Event(target="ok", verb="run"))),))
    client = conduct(spec)
    sent = client.send_event("s", "run", wait=True, timeout_s=20)
    assert sent.outcome and sent.outcome.ok, sent.outcome


def test_stopping_a_run_ends_what_runs_and_says_so(conduct: Conduct):
    daemon = "sleep 4741 & setsid sleep 4741 & wait"
    client = conduct(with_parts(lan_spec("h1", "h2"), agents=(
        ProgramAgent(name="a", node="h1", command=daemon), ProgramAgent(name="b", node="h2", command=f"trap '' TERM; {daemon}")),
        groups=(Group(name="g", members=("a", "b")),)))
    client.send_event("g", "start", wait=True, timeout_s=5)
    wait_until(lambda: len(lines(client, "started")) == 2)
    info = client.stop_run(reason="test")
    assert (info.phase, info.reason, info.failed) == ("over", "test", 0)
    assert {line.detail["stopped"] for line in lines(client, "exited")} == {True}
    for node in ("h1", "h2"):
        assert run(client.layout, node, "ps ax | grep -c '[s]leep 4741'").stdout == b"0\n"
    client.start_run(StartRun(number=2))
    assert client.run().number == 2


def test_a_thousand_programs_at_one_instant(conduct: Conduct):
    agents = tuple(ProgramAgent(name=f"p{i}", node=f"h{1 + i % 2}", command="exit 0", expected_exit_code=0) for i in range(1000))
    client = conduct(with_parts(lan_spec("h1", "h2"), agents=agents, events=tuple(
        TimedEvent(at_s=0.2, target=agent.name, verb="start") for agent in agents)))
    info = client.wait("idle", 60)
    assert info.failed == 0
    assert len(lines(client, "exited")) == 1000


def test_events_that_the_template_does_not_know_are_refused(conduct: Conduct):
    client = conduct(with_parts(lan_spec("h1", "h2"), agents=(ProgramAgent(name="p", node="h1", command="true"),)))
    for target, verb, arguments, message in (("nobody", "start", {}, "unknown target"), ("p", "dance", {}, "does not know"),
                                             ("net", "modify", {"command": "x"}, "does not take")):
        with pytest.raises(InvalidInput, match=message):
            client.send_event(target, verb, Arguments(**arguments))
    client.stop_run()
    with pytest.raises(Conflict, match="no run goes on"):
        client.send_event("p", "start")
    with pytest.raises(NotFound):
        client.stop_run(7)


def test_a_run_leaves_its_files_where_the_next_one_does_not_touch_them(conduct: Conduct):
    """Also if somebody who is no program of the run goes on writing."""
    client = conduct(with_parts(lan_spec("h1", "h2"), agents=(
        ProgramAgent(name="p", node="h1", command="echo of run $RUN; echo $RUN >>$ARCHIVE/kept; chmod 777 $LOGDIR"),)))
    daemon = "while :; do echo tick; sleep .02; done"
    run(client.layout, "h1", f"trap '' HUP; mkdir -p /swapbed/logs/foreign; (setsid sh -c '{daemon}' >>/swapbed/logs/foreign/log 2>&1) &")
    for number in (1, 2):
        sent = client.send_event("p", "run", wait=True, timeout_s=10)
        assert sent.outcome and sent.outcome.ok
        client.stop_run(number)
        client.start_run(StartRun(number=number + 1))
    runs = client.layout.node("h1").upper / "swapbed/runs"
    assert [(runs / f"{number}/logs/p/1.out").read_text() for number in (1, 2)] == ["of run 1\n", "of run 2\n"]
    assert [(runs / f"{number}/archive/kept").read_text() for number in (1, 2)] == ["1\n", "1\n2\n"]
    before = (runs / "1/logs/foreign/log").read_text()
    live = client.layout.node("h1").logs / "foreign/log"
    size = live.stat().st_size
    wait_until(lambda: live.stat().st_size > size)
    assert (runs / "1/logs/foreign/log").read_text() == before
    assert (runs / "1/logs/foreign/log").stat().st_ino != live.stat().st_ino
    assert not (client.layout.node("h2").upper / "swapbed/runs").exists()
