"""Programs, daemons, traffic and requests from inside nodes go on after a swap: nodes through CRIU, the conductor standing still."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest

from models.protocol.conductor import StartRun
from models.protocol.host import ChangeDaemon, DaemonStatus
from models.routes import Routing
from models.spec import ProgramAgent, TimedEvent, TrafficAgent
from nodeops import cgroups, node_network
from nodeops.conductor.client import ConductorClient
from nodeops.init.client import InitClient
from nodeops.instance import read_spec
from nodeops.reach import init_socket
from nodeops.session import HostSession
from tests.nodeops.conductor.test_inside import results
from tests.nodeops.conductor.test_live import lines, with_parts
from tests.nodeops.instances import Make, lan_spec, run, wait_until
from tests.nodeops.test_criu_ready import dump, restore

DAEMON = ("python3 -S -c \"import os\nif os.fork(): os._exit(0)\nos.setsid()\nif os.fork(): os._exit(0)\n"
          "os.execv('/usr/bin/sleep', ['sleep', '4751'])\" </dev/null >/dev/null 2>&1")


@pytest.mark.timeout(90)
def test_everything_that_ran_goes_on(make: Make, session: HostSession, tmp_path: Path):
    source = TrafficAgent(name="src", node="a", role="source", protocol="udp", peer="snk", packet_size_bytes=200, interval_s=0.01)
    agents = (ProgramAgent(name="daemon", node="a", command=DAEMON),
              ProgramAgent(name="asker", node="a", command="swapbed-event job run --wait"),
              ProgramAgent(name="job", node="b", command="sleep 1; sleep 1; sleep 1; exit 5"), source,
              TrafficAgent(name="snk", node="b", role="sink", protocol="udp", peer="src"))
    events = tuple(TimedEvent(at_s=at, target=target, verb=verb) for at, target, verb in (
        (0, "src", "start"), (0, "daemon", "start"), (0.2, "asker", "start"), (4, "src", "stop")))
    layout = make(with_parts(lan_spec("a", "b"), agents=agents, events=events), daemons=("wires", "conductor"))
    wires = ChangeDaemon(instance=layout.root.name, daemon="wires", fence=1)
    client = ConductorClient(layout, timeout_s=40)
    zero_ns = client.start_run(StartRun(number=1)).zero_ns or 0
    wait_until(lambda: bool(lines(client, "started", "job")))
    time.sleep(0.3)

    client.suspend()
    session.do("stop_daemon", wires, DaemonStatus)
    for node in ("a", "b"):
        with init_socket(layout.node(node)) as path:
            InitClient(path).quiesce()
        cgroups.freeze(cgroups.node_cgroup(layout.root.name, node), True)
    for node in ("a", "b"):
        dump(layout, node, tmp_path / node)
        cgroups.freeze(cgroups.node_cgroup(layout.root.name, node), False)
    networks = node_network.build(node_network.plan(read_spec(layout), ["a", "b"], Routing(read_spec(layout))))
    for node in ("a", "b"):
        restore(layout, node, networks[node], tmp_path / node)
        os.close(networks[node])
    session.do("start_daemon", wires, DaemonStatus)
    client.resume()

    wait_until(lambda: bool(lines(client, "exited", "asker")), 30)
    assert lines(client, "exited", "job")[0].detail["code"] == 5
    assert lines(client, "exited", "asker")[0].detail["code"] == 1
    assert "exit code 5" in (layout.node("a").logs / "asker/1.err").read_text()
    wait_until(lambda: bool(lines(client, "exited", "src")), 30)
    assert 0 <= (lines(client, "fired", "src")[1].actual_ns - zero_ns) / 1e9 - 4 < 0.1
    assert b"sleep 4751" in run(layout, "a", "ps ax").stdout
    info = client.stop_run()
    assert b"sleep 4751" not in run(layout, "a", "ps ax").stdout
    assert [failure.target for failure in info.failures] == ["job"]
    sent, received = (results((layout.node(node).upper / f"swapbed/runs/1/logs/{agent}/1.out").read_text())
                      for node, agent in (("a", "src"), ("b", "snk")))
    assert sent["sent_packets"] > 200
    before_the_cut = 50  # what is sent until the wires, here started after the nodes, are up again is lost
    assert received["received_packets"] > before_the_cut
    assert signal.SIGKILL not in [line.detail.get("signal") for line in lines(client, "exited")]
    client.close()
