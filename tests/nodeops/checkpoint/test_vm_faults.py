"""A VM and a container: whoever works on their checkpoint is killed, or the disk is full, at every step; they go on, or come back."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from models.errors import SwapbedError
from models.protocol.checkpoint import Captured, Life
from models.protocol.control import Nothing
from models.protocol.host import (
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
from models.settings import settings
from nodeops import cgroups
from nodeops.checkpoint.spooled import spool_of
from nodeops.instance import read_spec
from nodeops.layout import InstanceLayout
from nodeops.linux import mount
from nodeops.reach import read_inits
from nodeops.session import Here, HostSession
from tests.nodeops.checkpoint.test_faults import Killing, Victim, agent, wires
from tests.nodeops.checkpoint.test_vm_swap import assert_flows, flowing, send  # noqa: F401
from tests.nodeops.instances import assert_nothing_left, run


@pytest.fixture
def small_disk(state_dir: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The state directory, on a file system that `fill` can fill; how much is free is not asked beforehand."""
    mount("tmpfs", state_dir, "tmpfs", options="size=400m")
    monkeypatch.setenv("SWAPBED_FREE_SPACE_BYTES", str(-1 << 40))
    settings.cache_clear()
    yield state_dir
    subprocess.run(["umount", state_dir], check=True)


def fill(disk: Path, leaving: int) -> None:
    space = os.statvfs(disk)
    with (disk / "filler").open("wb") as filler:
        os.posix_fallocate(filler.fileno(), 0, space.f_bavail * space.f_frsize - leaving)


def machine(_session: HostSession, layout: InstanceLayout) -> bool:
    return read_inits(layout)["v"].signal(signal.SIGKILL)


def container(_session: HostSession, layout: InstanceLayout) -> bool:
    """Its init, whether it has been let go or not: process 1 of the node."""
    for pid in (cgroups.node_cgroup(layout.root.name, "b") / "cgroup.procs").read_text().split():
        if any(line.startswith("NSpid:") and line.split()[-1] == "1" for line in Path(f"/proc/{pid}/status").read_text().splitlines()):
            os.kill(int(pid), signal.SIGKILL)
            return True
    return False


@pytest.mark.timeout(200)
def test_killed_at_every_step(flowing: InstanceLayout, session: HostSession) -> None:  # noqa: F811
    """One experiment all along: a machine takes long to boot."""
    name, spec = flowing.root.name, read_spec(flowing)
    wanted = Capture(instance=name, fence=1, checkpoint="c-1", life=Life(incarnation="test", epoch=0))
    for victim, step in ((agent, "standing still"), (agent, "saving machines"), (wires, "saving machines")):
        _dies_capturing(session, flowing, wanted, victim, step)
        assert_flows(flowing)
    session.do("capture", wanted, Captured)
    session.do("destroy", ChangeInstance(instance=name, fence=1), Nothing)
    back = RestoreCheckpoint(checkpoint="c-1", create=Create(instance=name, name="test", fence=1, spec=spec))
    for victim in (agent, wires, machine, container):
        while not _dies_restoring(session, flowing, back, victim):  # all was over before the news of the step came here
            session.do("destroy", ChangeInstance(instance=name, fence=1), Nothing)
        assert_nothing_left(flowing)
    session.do("restore_checkpoint", back, CheckpointRestored)
    session.do("forget_checkpoint", OfCheckpoint(checkpoint="c-1"), Nothing)
    assert_flows(flowing)
    _dies_capturing(session, flowing, wanted, machine, "dumped")
    assert run(flowing, "b", "true").code == 0, "the other node goes on"
    session.do("restart_nodes", ChangeNodes(instance=name, fence=1, nodes=("v",)), InstanceStatus)
    send(flowing)
    assert_flows(flowing)


def _dies_capturing(session: HostSession, layout: InstanceLayout, wanted: Capture, victim: Victim, step: str) -> None:
    """What a flow does then is done, too."""
    with HostSession(Here()) as doomed, pytest.raises(SwapbedError):
        killing = Killing(doomed, layout, victim, step)
        doomed.do("capture", wanted, Captured, killing)
    session.do("give_up_capture", wanted, Nothing)
    assert not spool_of(wanted.checkpoint).root.exists()
    session.do("start_daemon", ChangeDaemon(instance=wanted.instance, fence=1, daemon="wires"), DaemonStatus)


def _dies_restoring(session: HostSession, layout: InstanceLayout, back: RestoreCheckpoint, victim: Victim) -> bool:
    """Whether it failed; then nothing may be left."""
    with HostSession(Here()) as doomed:
        try:
            doomed.do("restore_checkpoint", back, CheckpointRestored, Killing(doomed, layout, victim, "restored"))
        except SwapbedError:
            if victim is agent:
                session.do("destroy", ChangeInstance(instance=layout.root.name, fence=1), Nothing)
            return True
    return False


@pytest.mark.timeout(200)
def test_the_disk_is_full_at_every_step(small_disk: Path, flowing: InstanceLayout, session: HostSession) -> None:  # noqa: F811
    """At once, while the container is dumped, while the machine is saved; and it stays full until all is over."""
    assert_flows(flowing)
    name, spec, filler = flowing.root.name, read_spec(flowing), small_disk / "filler"
    wanted = Capture(instance=name, fence=1, checkpoint="c-1", life=Life(incarnation="test", epoch=0))
    for leaving in (0, 2 << 20, 30 << 20):
        fill(small_disk, leaving)
        with pytest.raises(SwapbedError):
            session.do("capture", wanted, Captured)
        assert not spool_of("c-1").root.exists()
        session.do("give_up_capture", wanted, Nothing)
        assert_flows(flowing)
        filler.unlink()
        session.do("start_daemon", ChangeDaemon(instance=name, fence=1, daemon="conductor"), DaemonStatus)  # it had to note what it does
    session.do("capture", wanted, Captured)
    session.do("destroy", ChangeInstance(instance=name, fence=1), Nothing)
    back = RestoreCheckpoint(checkpoint="c-1", create=Create(instance=name, name="test", fence=1, spec=spec))
    for leaving in (0, 100 << 10):
        fill(small_disk, leaving)
        with pytest.raises(SwapbedError):
            session.do("restore_checkpoint", back, CheckpointRestored)
        assert_nothing_left(flowing)
        filler.unlink()
    session.do("restore_checkpoint", back, CheckpointRestored)
    assert_flows(flowing)
