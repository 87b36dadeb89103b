"""Events and recordings from inside a node; traffic agents; traces."""

from __future__ import annotations

from collections.abc import Callable

from models.events import Arguments
from models.spec import ProgramAgent, Trace, TrafficAgent
from nodeops.conductor.client import ConductorClient
from tests.nodeops.conductor.test_live import lines, with_parts
from tests.nodeops.instances import lan_spec, run, wait_until

Conduct = Callable[..., ConductorClient]


def test_events_are_sent_from_inside_a_node(conduct: Conduct):
    client = conduct(with_parts(lan_spec("h1", "h2"), agents=(
        ProgramAgent(name="p", node="h2", command="echo $GREETING; exit 4"), ProgramAgent(
            name="caller", node="h1", command="swapbed-event p run environment.GREETING=hi --wait || exit 9", user="nobody"))))
    caller = client.send_event("caller", "run", wait=True, timeout_s=10)
    assert caller.outcome and caller.outcome.code == 9
    assert (client.layout.node("h2").logs / "p/1.out").read_text() == "hi\n"
    assert "exit code 4" in (client.layout.node("h1").logs / "caller/1.err").read_text()
    fired = lines(client, "fired", "p")[0]
    assert fired.origin == "node h1"


def test_from_inside_it_can_be_delayed_and_is_checked(conduct: Conduct):
    client = conduct(lan_spec("h1", "h2"))
    assert run(client.layout, "h1", "swapbed-event net modify delay=50ms bandwidth=1Mbps --at +0.2s").code == 0
    wait_until(lambda: bool(lines(client, "fired", "net")))
    fired = lines(client, "fired", "net")[0]
    assert fired.arguments == {"delay_s": 0.05, "bandwidth_bps": 1_000_000}
    for wrong, message in (("nobody start", b"unknown target"), ("net modify delay=-1", b"delay_s"),
                           ("net modify colour=red", b"no argument"), ("net up --at soon", b"not a time")):
        done = run(client.layout, "h1", f"swapbed-event {wrong}")
        assert done.code == 1 and message in done.stderr, done


MISCHIEF = """
import socket, struct, sys
def ask(*items):
    s = socket.socket(socket.AF_UNIX); s.connect('/swapbed/run/init.sock')
    m = b''.join(i + b'\\0' for i in (b'op=petition', b'request=1', *items)); s.sendall(struct.pack('<I', len(m)) + m)
    sys.stdout.write('error' if b'error=' in s.recv(4096) else 'fine')
ask(b'what=event', b'target=n\\xff', b'verb=up')
ask(b'what=event', b'target=instance', b'verb=log', b'argument=text=\\xff\\xfe')
ask(b'what=record', b'command=x', b'start_ns=soon')
ask(b'what=record', b'command=x')
ask(b'what=recording', b'action=dance')
ask(b'what=recording', b'action=start', b'name=' + b'x' * 60000)
ask(b'what=nonsense', b'event=exit', b'petition=-1', b'at_ns=x')
ask()
ask(b'what=event', b'target=net', b'verb=modify', b'argument=delay=1e999s')
ask(b'what=event', b'target=net', b'verb=up', b'at=-5s')
"""


def test_nothing_said_from_inside_harms_the_conductor(conduct: Conduct):
    client = conduct(lan_spec("h1", "h2"))
    done = run(client.layout, "h1", "exec python3 -S -", stdin=MISCHIEF.encode())
    assert done.stdout == b"error" + b"fine" + 8 * b"error", done
    assert client.hello().restarts == 0


def test_a_run_can_be_asked_for_from_inside_while_none_goes_on(conduct: Conduct):
    client = conduct(lan_spec("h1", "h2"))
    client.stop_run()
    assert run(client.layout, "h1", "swapbed-event instance start-run delay=5ms flows=3").code == 0
    asked = client.outbox()[-1]
    assert (asked.kind, asked.content["parameters"]) == ("start-run", {"delay": "5ms", "flows": "3"})


def test_commands_are_recorded_while_someone_works_by_hand(conduct: Conduct):
    client = conduct(lan_spec("h1", "h2"))
    failed = run(client.layout, "h1", "template_record true")
    assert failed.code == 0 and b"nothing is being recorded" in failed.stderr
    client.control_recording("start", "by-hand")
    by_hand = "cd /tmp; template_record 'echo a >file'; template_record false; template_record test -f file -a \"it's\""
    assert run(client.layout, "h1", by_hand).code == 0
    client.send_event("net", "down", wait=True, timeout_s=5)
    assert run(client.layout, "h2", "record-events pause").code == 0
    assert run(client.layout, "h2", "record-events pause").code == 1
    (recording,) = client.control_recording("stop")
    assert [(event.target, event.verb, event.node) for event in recording.events] == [
        ("recorded-h1", "run", "h1"), ("recorded-h1", "run", "h1"), ("net", "down", None)]
    assert [event.arguments.command for event in recording.events[:2]] == ["echo a >file", r"test -f file -a 'it'\''s'"]
    assert recording.events[0].arguments.directory == "/tmp"
    assert recording.events[0].offset_ns <= recording.events[1].offset_ns <= recording.events[2].offset_ns


def results(text: str) -> dict[str, float]:
    return {name: float(value) for word, name, value in map(str.split, text.splitlines()) if word == "RESULT"}


def _datagrams(client: ConductorClient, node: str) -> int:
    """UDP datagrams that programs of this node have read, of either version of IP (a v6 socket counts what comes by v4 as v4)."""
    version_4, version_6 = "awk '/^Udp:/ && $2 ~ /[0-9]/ {print $2}' /proc/net/snmp", "awk '/^Udp6InDatagrams/ {print $2}' /proc/net/snmp6"
    return sum(map(int, run(client.layout, node, f"{version_4}; {version_6}").stdout.split()))


def test_traffic_flows_at_the_rate_asked_for(conduct: Conduct):
    client = conduct(with_parts(lan_spec("h1", "h2"), agents=(
        TrafficAgent(name="src", node="h1", role="source", protocol="udp", peer="snk", packet_size_bytes=500, rate_bps=800_000),
        TrafficAgent(name="snk", node="h2", role="sink", protocol="udp", peer="src"))))
    wait_until(lambda: run(client.layout, "h2", "grep -q :1389 /proc/net/udp6").code == 0)
    client.send_event("src", "start", wait=True, timeout_s=5)
    client.send_event("src", "modify", Arguments(interval_s=0.05), in_s=0.5)
    client.send_event("src", "stop", in_s=1.0)
    client.wait("idle", 10)
    source_log = client.layout.node("h1").upper / "swapbed/logs/src/1.out"
    wait_until(lambda: _datagrams(client, "h2") >= results(source_log.read_text())["sent_packets"])  # the last may still be on its way
    info = client.stop_run()
    assert info.failed == 0
    sent, received = (results((client.layout.node(node).upper / f"swapbed/runs/1/logs/{agent}/1.out").read_text())
                      for node, agent in (("h1", "src"), ("h2", "snk")))
    assert 80 < sent["sent_packets"] < 125  # 100 in the first half second, 10 in the second
    assert received["received_packets"] == sent["sent_packets"] and received["lost_packets"] == 0


def test_a_traced_link_has_its_frames_in_a_file(conduct: Conduct):
    base = lan_spec("h1", "h2")
    traced = base.lans[0].model_copy(update={"trace": Trace(what="packet", filter="icmp")})
    client = conduct(with_parts(base, lans=(traced,), agents=(ProgramAgent(name="ping", node="h1", command="ping -c 3 -i .05 10.1.1.3"),)))
    assert client.send_event("ping", "run", wait=True, timeout_s=10).outcome == lines(client, "completed", "ping")[0].outcome
    client.send_event("net", "trace-snapshot", wait=True, timeout_s=10)
    client.stop_run()
    first, second = sorted((client.layout.root / "traces/1").iterdir())
    assert (first.name, second.name) == ("net.1.pcapng", "net.2.pcapng")
    assert first.stat().st_size > 6 * 98
    assert second.stat().st_size < first.stat().st_size


def test_clean_logs_empties_them_also_under_a_program_that_runs(conduct: Conduct):
    client = conduct(with_parts(lan_spec("h1", "h2"), agents=(
        ProgramAgent(name="p", node="h1", command="echo before; read x <>/tmp/gate; echo after"),)))
    run(client.layout, "h1", "mkfifo /tmp/gate")
    client.send_event("p", "start", wait=True, timeout_s=5)
    log = client.layout.node("h1").logs / "p/1.out"
    wait_until(lambda: log.exists() and log.read_text() == "before\n")
    client.send_event("instance", "clean-logs", wait=True, timeout_s=5)
    wait_until(lambda: log.read_text() == "")
    run(client.layout, "h1", "echo go >/tmp/gate")
    client.wait("idle", 10)
    assert log.read_text() == "after\n"
