"""Whoever works on a checkpoint is killed, at every step that it tells of: the experiment goes on, or comes back, as it was."""

from __future__ import annotations

import os
import signal
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from models.errors import HostProblem, SwapbedError
from models.protocol.checkpoint import Captured, Life
from models.protocol.control import Nothing, Progress
from models.protocol.host import (
    DAEMONS,
    Capture,
    ChangeDaemon,
    ChangeInstance,
    ChangeNodes,
    CheckpointRestored,
    Create,
    DaemonStatus,
    InstanceStatus,
    OfCheckpoint,
    RestoreCheckpoint,
)
from nodeops import cgroups, daemons
from nodeops.checkpoint.capture import capture
from nodeops.checkpoint.criu import Criu
from nodeops.checkpoint.preflight import processes
from nodeops.checkpoint.spool import Spool
from nodeops.checkpoint.spooled import spool_of
from nodeops.instance import holding, read_spec
from nodeops.layout import InstanceLayout
from nodeops.reach import read_inits
from nodeops.session import Here, HostSession
from tests.nodeops.checkpoint.test_swap import assert_flows_on, flow, quiet, start, swap_in, swap_out
from tests.nodeops.instances import Make, assert_nothing_left, lan_spec, run, wait_until

CAPTURING, RESTORING = ("standing still", "dumped"), ("restored",)
NAMELESS = """
import os, time
open('/link_remap.7', 'w').close(); kept = []
for place in ('', '/dev/shm'):
    kept.append(open(f'{place}/lost', 'w')); os.link(f'{place}/lost', f'{place}/other'); os.unlink(f'{place}/lost')
open('/unlinked', 'w').close(); time.sleep(1000)
"""
Victim = Callable[[HostSession, InstanceLayout], bool]
"""Whether there was anything to kill."""


def agent(session: HostSession, layout: InstanceLayout) -> bool:
    session.kill()
    return True


def wires(session: HostSession, layout: InstanceLayout) -> bool:
    if (pid := daemons.status(layout, "wires").pid) is not None:
        os.kill(pid, signal.SIGKILL)
    return pid is not None


def conductor(session: HostSession, layout: InstanceLayout) -> bool:
    if (pid := daemons.status(layout, "conductor").pid) is not None:
        os.kill(pid, signal.SIGKILL)
    return pid is not None


def init_of_c(session: HostSession, layout: InstanceLayout) -> bool:
    return read_inits(layout)["c"].signal(signal.SIGKILL)


def sleep_in_c(session: HostSession, layout: InstanceLayout) -> bool:
    found = [one.pid for one in processes(layout, "c") if one.name == "sleep"]
    for pid in found:
        os.kill(pid, signal.SIGKILL)
    return bool(found)


@dataclass
class Killing:
    """Listens to progress, and kills when the step is told of."""

    session: HostSession
    layout: InstanceLayout
    victim: Victim
    step: str
    done: bool = False

    def __call__(self, progress: Progress) -> None:
        if progress.text != self.step or self.done:
            return
        if self.step == "standing still":
            time.sleep(0.07)  # in the midst of the dump
        self.done = self.victim(self.session, self.layout)


@pytest.mark.timeout(120)
@pytest.mark.parametrize("victim", [agent, wires, conductor], ids=lambda victim: victim.__name__)
def test_killed_at_every_step(make: Make, session: HostSession, victim: Victim) -> None:
    layout = make(lan_spec("a", "b"), daemons=("wires", "conductor"))
    name, spec = layout.root.name, read_spec(layout)
    flow(layout)
    wanted = Capture(instance=name, fence=1, checkpoint="c-1", life=Life(incarnation="test", epoch=0))
    for step in CAPTURING:
        with HostSession(Here()) as doomed, suppress(SwapbedError):
            killing = Killing(doomed, layout, victim, step)
            doomed.do("capture", wanted, Captured, killing)
        assert killing.done
        session.do("give_up_capture", wanted, Nothing)
        for daemon in DAEMONS:
            session.do("start_daemon", ChangeDaemon(instance=name, fence=1, daemon=daemon), DaemonStatus)
        assert not spool_of("c-1").root.exists()
        assert_flows_on(layout)
    session.do("capture", wanted, Captured)
    session.do("destroy", ChangeInstance(instance=name, fence=1), Nothing)
    back = RestoreCheckpoint(checkpoint="c-1", create=Create(instance=name, name="test", fence=2, spec=spec))
    for step in RESTORING:
        with HostSession(Here()) as doomed, suppress(SwapbedError):
            doomed.do("restore_checkpoint", back, CheckpointRestored, Killing(doomed, layout, victim, step))
        session.do("destroy", ChangeInstance(instance=name, fence=3), Nothing)
        wait_until(lambda: not layout.root.exists())
        assert_nothing_left(layout)
    session.do("restore_checkpoint", RestoreCheckpoint(checkpoint="c-1", create=back.create.model_copy(update={"fence": 4})),
               CheckpointRestored)
    assert_flows_on(layout)


@pytest.mark.timeout(60)
def test_criu_killed_while_it_restores(make: Make, state_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """At its last step: all is there, and nobody has been let go."""
    layout, spool = make(lan_spec("a", "b"), daemons=("wires", "conductor")), Spool(state_dir / "spool" / "c-1")
    flow(layout)
    swap_out(layout, spool)
    with monkeypatch.context() as patch:
        patch.setattr(Criu, "proceed", lambda self: self.process.kill())
        with pytest.raises(HostProblem, match="CRIU failed"):
            swap_in(layout, spool)
    assert_nothing_left(layout)
    swap_in(layout, spool)
    assert_flows_on(layout)


@pytest.mark.timeout(60)
@pytest.mark.parametrize("gate", [1, 2], ids=["before it dumps", "once it has dumped"])
def test_criu_killed_while_all_stand_still(make: Make, state_dir: Path, monkeypatch: pytest.MonkeyPatch, gate: int) -> None:
    """A file that lost its name is what it gives one to. One that is killed while it dumps may do harm (docs/checkpoints.md)."""
    layout, spool = make(lan_spec("a", "b"), daemons=("wires", "conductor")), Spool(state_dir / "spool" / "c-1")
    flow(layout)
    for node in ("a", "b"):
        start(layout, node, NAMELESS)
    wait_until(lambda: all((layout.node(node).upper / "unlinked").exists() for node in ("a", "b")))
    left = Counter[Criu]()

    def proceed(criu: Criu) -> None:
        left[criu] += 1
        if left[criu] == gate:
            assert (cgroups.node_cgroup(layout.root.name, criu.node) / "cgroup.freeze").read_text() == "1\n", "CRIU alone holds the node"
            criu.process.kill()
        else:
            criu.gate.open()

    with monkeypatch.context() as patch, holding(layout, 1):
        patch.setattr(Criu, "proceed", proceed)
        with pytest.raises(HostProblem, match="CRIU failed"):
            capture(layout, spool, Life(incarnation="test", epoch=0), quiet)
    assert not spool.root.exists()
    for node in ("a", "b"):
        assert run(layout, node, "ls -d /link_remap.* /dev/shm/*").stdout.split() == [b"/dev/shm/other", b"/link_remap.7"]
    assert_flows_on(layout)
    swap_out(layout, spool)
    swap_in(layout, spool)
    assert_flows_on(layout)


@pytest.mark.timeout(90)
def test_a_node_and_a_program_killed_while_they_are_captured(make: Make, session: HostSession) -> None:
    """By hand, after it was looked at whether they can be dumped: with SIGKILL, which ends frozen processes, too. A program that ends in
    the middle of its dump spoils that; then all goes on, and can be captured."""
    layout = make(lan_spec("a", "b", "c"), daemons=("wires", "conductor"))
    name, spec = layout.root.name, read_spec(layout)
    flow(layout)
    wanted = Capture(instance=name, fence=1, checkpoint="c-1", life=Life(incarnation="test", epoch=0))
    for step in CAPTURING:
        with suppress(SwapbedError):
            session.do("capture", wanted, Captured, Killing(session, layout, init_of_c, step))
        session.do("give_up_capture", wanted, Nothing)
        assert_flows_on(layout)
        session.do("restart_nodes", ChangeNodes(instance=name, fence=1, nodes=("c",)), InstanceStatus)
    for step in CAPTURING:
        run(layout, "c", "trap '' HUP; sleep 1000 < /dev/null > /dev/null 2>&1 &")
        killing = Killing(session, layout, sleep_in_c, step)
        try:
            session.do("capture", wanted, Captured, killing)
        except HostProblem:  # it was just being dumped; where CRIU was about to let go of the node's init, that is lost, too
            assert_flows_on(layout)
            if not read_inits(layout)["c"].alive():
                session.do("restart_nodes", ChangeNodes(instance=name, fence=1, nodes=("c",)), InstanceStatus)
            session.do("capture", wanted, Captured)
        assert killing.done
        session.do("destroy", ChangeInstance(instance=name, fence=1), Nothing)
        session.do("restore_checkpoint", RestoreCheckpoint(checkpoint="c-1", create=Create(instance=name, name="test", fence=1, spec=spec)),
                   CheckpointRestored)
        session.do("forget_checkpoint", OfCheckpoint(checkpoint="c-1"), Nothing)
        assert_flows_on(layout)
