"""An agent forked from a process that has it imported, against the one that is started anew."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from models.errors import HostLost
from models.protocol.control import Nothing
from models.protocol.host import Instances
from nodeops.forked_agent import ForkedAgent
from nodeops.session import HostSession


def test_it_answers_as_any_other_and_may_die(state_dir: Path) -> None:
    with HostSession() as anew, HostSession(agent=ForkedAgent()) as forked:
        assert forked.do("instances", Nothing(), Instances) == anew.do("instances", Nothing(), Instances)
        forked.kill()
        with pytest.raises(HostLost):
            forked.call("instances")


def test_it_ends_with_its_requests(state_dir: Path) -> None:
    agent = ForkedAgent()
    assert agent.stdin and agent.stdout and agent.stderr
    with agent.stdin, agent.stdout, agent.stderr:
        agent.stdin.write(b"{}\n")
        agent.stdin.flush()
        assert b"malformed request" in agent.stdout.readline()
        with pytest.raises(subprocess.TimeoutExpired):
            agent.wait(0.01)
        agent.stdin.close()
        assert agent.wait(10) == agent.wait() == 0
        assert agent.stderr.read() == b""


OPEN = """
import os, socket
from nodeops.forked_agent import ForkedAgent
ours, theirs = socket.socketpair()
agent = ForkedAgent()
print(sorted(map(int, os.listdir(f"/proc/{agent.pid}/fd"))), os.getsid(agent.pid) == agent.pid, flush=True)
theirs.close()
print(ours.recv(1))
agent.stdin.close()
print(agent.wait(10))
"""


def test_nothing_of_the_process_it_came_from_stays_open(state_dir: Path) -> None:
    """A command waits for the end of its connection with a flow; an agent that outlives the flow must not keep it."""
    said = subprocess.run([sys.executable, "-c", OPEN], check=True, capture_output=True, text=True, cwd=Path(__file__).parents[2],
                          env={**os.environ, "SWAPBED_STATE_DIR": str(state_dir)})
    assert said.stdout.splitlines()[1:] == ["b''", "0"]
