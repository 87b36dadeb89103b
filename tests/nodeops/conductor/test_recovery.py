"""Conductors, wires and nodes that die; instances that are suspended."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from models.errors import Conflict
from models.events import Arguments
from models.protocol.host import ChangeDaemon, ChangeNodes, DaemonStatus, InstanceStatus
from models.spec import Event, Node, ProgramAgent, Sequence, TimedEvent
from nodeops.clock import ClockState
from nodeops.conductor.client import ConductorClient
from nodeops.daemons import identity_of
from nodeops.init.client import InitClient
from nodeops.reach import init_identity, init_socket
from nodeops.session import HostSession
from tests.nodeops.conductor.test_live import lines, with_parts
from tests.nodeops.instances import lan_spec, run, wait_until

Conduct = Callable[..., ConductorClient]


def kill(client: ConductorClient, daemon: str) -> None:
    identity = identity_of(client.layout, daemon)  # type: ignore[arg-type]
    assert identity is not None and identity.signal(signal.SIGKILL)
    wait_until(lambda: not identity.alive())


def restart(session: HostSession, client: ConductorClient, daemon: str = "conductor") -> ConductorClient:
    session.do("start_daemon", ChangeDaemon(instance=client.layout.root.name, fence=1, daemon=daemon), DaemonStatus)  # type: ignore[arg-type]
    return ConductorClient(client.layout, timeout_s=30)


def test_a_run_goes_on_after_its_conductor_was_killed(session: HostSession, conduct: Conduct):
    count = "echo x >>/swapbed/archive/count; sleep .3"
    steps = tuple(Event(target=f"p{i}", verb="run") for i in range(6))
    client = conduct(with_parts(lan_spec("h1", "h2"), agents=tuple(
        ProgramAgent(name=f"p{i}", node=f"h{1 + i % 2}", command=count) for i in range(6)),
        sequences=(Sequence(name="s", steps=steps),), events=(
            TimedEvent(at_s=0.1, target="s", verb="run"),
            TimedEvent(at_s=2.5, target="instance", verb="log", arguments=Arguments(text="late")))))
    for _ in range(3):
        time.sleep(0.4)
        kill(client, "conductor")
        client = restart(session, client)
    info = client.wait("idle", 20)
    assert info.failed == 0
    assert client.hello().restarts == 3
    assert [line.number for line in client.events()] == list(range(len(list(client.events()))))
    for node in ("h1", "h2"):
        assert run(client.layout, node, "wc -l </swapbed/archive/count").stdout.strip() == b"3"
    assert len(lines(client, "log")) == 1
    client.close()


def test_what_ended_meanwhile_is_told_with_its_true_times(session: HostSession, conduct: Conduct):
    client = conduct(with_parts(lan_spec("h1", "h2"), agents=(ProgramAgent(name="p", node="h1", command="sleep .2; exit 5"),)))
    client.send_event("p", "start", wait=True, timeout_s=5)
    wait_until(lambda: bool(lines(client, "started")))
    kill(client, "conductor")
    time.sleep(0.6)
    client = restart(session, client)
    wait_until(lambda: bool(lines(client, "exited")))
    exited = lines(client, "exited")[0]
    assert exited.detail["code"] == 5
    assert 0.15 < (exited.detail["end_ns"] - exited.detail["start_ns"]) / 1e9 < 0.45
    client.close()


def test_link_events_wait_for_wires_that_died(session: HostSession, conduct: Conduct):
    client = conduct(lan_spec("h1", "h2", nodes={name: Node(name=name, failure="nonfatal") for name in ("h1", "h2")}))
    client.send_event("net", "down", wait=True, timeout_s=5)
    kill(client, "wires")
    token = client.send_event("net", "up").token
    restart(session, client, "wires").close()
    wait_until(lambda: any(line.token == token and line.outcome and line.outcome.ok for line in client.events()))


def test_a_node_that_dies_is_noticed_and_its_procedure_runs(session: HostSession, conduct: Conduct):
    nodes = (Node(name="h1", failure="restart", on_failure="procedure"), Node(name="h2"))
    client = conduct(with_parts(lan_spec("h1", "h2"), nodes=nodes, agents=(
        ProgramAgent(name="a", node="h1", command="sleep 60"), ProgramAgent(name="b", node="h2", command="true")),
        sequences=(Sequence(name="procedure", steps=(Event(target="b", verb="run"),)),)))
    token = client.send_event("a", "run").token
    init_identity(client.layout.node("h1")).signal(signal.SIGKILL)
    wait_until(lambda: any(line.kind == "completed" and line.target == "procedure" for line in client.events()))
    assert next(line.outcome.code for line in client.events() if line.kind == "completed" and line.token == token and line.outcome) == 254
    died = next(line for line in client.outbox() if line.kind == "node-died")
    assert (died.content["node"], died.content["failure"]) == ("h1", "restart")
    session.do("restart_nodes", ChangeNodes(instance=client.layout.root.name, fence=2, nodes=("h1",)), InstanceStatus)
    assert client.connect("h1").absent == ()
    sent = client.send_event("a", "start", Arguments(command="true"), wait=True, timeout_s=5)
    assert sent.outcome and sent.outcome.ok


def test_reboot_completes_when_the_node_is_back(conduct: Conduct):
    client = conduct(with_parts(lan_spec("h1", "h2"), agents=(ProgramAgent(name="a", node="h1", command="sleep 60"),)))
    client.send_event("a", "start", wait=True, timeout_s=5)
    sent = client.send_event("h1", "reboot", wait=True, timeout_s=10)
    assert sent.outcome and sent.outcome.ok
    assert b"sleep 60" not in run(client.layout, "h1", "ps ax").stdout
    assert client.hello().absent == ()


def test_a_node_can_be_stopped(session: HostSession, conduct: Conduct):
    client = conduct(lan_spec("h1", "h2"))
    sent = client.send_event("h1", "stop", wait=True, timeout_s=10)
    assert sent.outcome and sent.outcome.ok
    wait_until(lambda: not init_identity(client.layout.node("h1")).alive())
    assert [line.kind for line in client.outbox()] == ["quiet", "idle", "quiet", "idle"]
    session.do("restart_nodes", ChangeNodes(instance=client.layout.root.name, fence=2, nodes=("h1",)), InstanceStatus)


def test_suspended_time_does_not_count(conduct: Conduct):
    client = conduct(with_parts(lan_spec("h1", "h2"), agents=(ProgramAgent(name="p", node="h1", command="true"),),
                                events=(TimedEvent(at_s=1, target="p", verb="start"),)))
    zero_ns = client.run().zero_ns or 0
    frozen_ns = client.suspend()
    for node in ("h1", "h2"):
        with init_socket(client.layout.node(node)) as path, InitClient(path) as agent:
            agent.quiesce()
    with pytest.raises(Conflict):
        client.stop_run()
    time.sleep(1.2)
    assert client.hello().virtual_ns == frozen_ns
    assert not lines(client, "fired")
    client.resume()
    client.wait("idle", 10)
    fired = lines(client, "fired")[0]
    assert 0 <= (fired.actual_ns - zero_ns) / 1e9 - 1 < 0.05
    assert [line.kind for line in client.events() if line.kind in ("suspended", "resumed")] == ["suspended", "resumed"]


def test_saved_and_restored_it_goes_on_from_there(session: HostSession, conduct: Conduct, tmp_path: Path):
    """As on another host: a conductor that knows nothing but what was saved."""
    client = conduct(with_parts(lan_spec("h1", "h2"), agents=(
        ProgramAgent(name="p", node="h1", command="sleep 1; exit 3"), ProgramAgent(name="q", node="h2", command="true")), events=(
            TimedEvent(at_s=0.1, target="p", verb="run"), TimedEvent(at_s=1.5, target="q", verb="start"))))
    wait_until(lambda: bool(lines(client, "started", "p")))
    zero_ns = client.run().zero_ns or 0
    frozen_ns = client.suspend()
    client.layout.clock.write_text(ClockState(origin_ns=0, frozen_ns=frozen_ns).model_dump_json())
    client.save(tmp_path)
    before, messages = list(client.events()), client.outbox()
    kill(client, "conductor")
    for path in (*client.layout.root.glob("conductor.*"), client.layout.events, client.layout.outbox):
        path.unlink()
    client = restart(session, client)
    client.restore(tmp_path, next_message=len(messages) + 3)
    assert list(client.events()) == before
    client.resume()
    info = client.wait("idle", 10)
    assert [failure.outcome.code for failure in info.failures] == [3]
    assert 0 <= (lines(client, "fired", "q")[0].actual_ns - zero_ns) / 1e9 - 1.5 < 0.05
    kinds = [line.kind for line in client.outbox()]
    assert kinds == [*[line.kind for line in messages], "void", "void", "void", "quiet", "idle"]
    client.close()


def test_events_on_swapout_complete_before_it(conduct: Conduct):
    client = conduct(with_parts(lan_spec("h1", "h2"), agents=(ProgramAgent(name="p", node="h1", command="sleep .3; exit 2"),),
                                events=(TimedEvent(on="swapout", target="p", verb="run"),)))
    outcome = client.swapout_events()
    assert outcome.code == 2
    assert len(lines(client, "exited", "p")) == 1
