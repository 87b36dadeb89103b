"""Whose a process is, whatever it did to shake its family off."""

from __future__ import annotations

import signal

import pytest
from throwaway import Driver, ThrowawayNode, wait_until

from models.protocol.init import Exit, Gone

DAEMON = """
import os, sys, time
if os.fork(): os._exit(0)      # as daemons do: fork, a session of its own, fork again
os.setsid()
if os.fork(): os._exit(0)
os.closerange(0, 256); os.chdir('/')
{extra}
os.execve('/usr/bin/sleep', ['sleep', '4731'], {{}})
"""


@pytest.mark.parametrize("extra", ["", "os.setgid(65534); os.setuid(65534)", "os.fork(); os.fork()"])
def test_a_daemon_of_the_old_school_belongs_to_its_program(node: ThrowawayNode, extra: str):
    with Driver(node) as driver:
        driver.spawn("other", "sleep 4732")
        driver.spawn("daemon", ["python3", "-S", "-c", DAEMON.format(extra=extra)])
        assert driver.wait("daemon", Exit).code == 0
        wait_until(lambda: any("4731" in line for line in node.processes().values()))
        assert driver.signal("daemon", signal.SIGKILL) >= 1
        driver.wait("daemon", Gone)
        left = " ".join(node.processes().values())
        assert "sleep 4732" in left and "4731" not in left


def test_a_daemon_is_a_child_of_init_as_on_any_machine(node: ThrowawayNode):
    with Driver(node) as driver:
        driver.spawn("daemon", ["python3", "-S", "-c", DAEMON.format(extra="")])
        driver.wait("daemon", Exit)
        wait_until(lambda: any("4731" in line for line in node.processes().values()))
        assert driver.run("ps -o ppid= -C sleep").stdout.split() == [b"1"]


def test_what_daemons_used_is_counted_when_they_are_gone(node: ThrowawayNode):
    with Driver(node) as driver:
        driver.spawn("daemon", "(python3 -S -c 'for i in range(3000000): pass' &) ; exit 0")
        exit = driver.wait("daemon", Exit)
        gone = driver.wait("daemon", Gone)
        assert gone.user_us > exit.user_us + 20_000
        assert gone.at_ns > exit.end_ns


def test_a_signal_reaches_program_and_daemons_alike(node: ThrowawayNode):
    wait = "trap 'echo {0} >>/swapbed/heard; exit' USR1; echo >/swapbed/ready.{0}; while :; do sleep .02; done"
    script = f"({wait.format('daemon')}) & {wait.format('program')}"
    with Driver(node) as driver:
        driver.spawn("p", script)
        wait_until(lambda: all((node.root / f"swapbed/ready.{name}").exists() for name in ("daemon", "program")))
        driver.signal("p", signal.SIGUSR1)
        driver.wait("p", Gone)
    assert sorted((node.root / "swapbed/heard").read_text().split()) == ["daemon", "program"]
