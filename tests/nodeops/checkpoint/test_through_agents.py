"""Checkpoints as flows ask for them: through host agents, which may be killed at any point."""

from __future__ import annotations

import os
import shlex
import subprocess
import time
from pathlib import Path

import pytest

from models.errors import HostLost
from models.protocol.checkpoint import Captured, Life
from models.protocol.control import Nothing, Progress
from models.protocol.host import Capture, ChangeInstance, CheckpointRestored, Create, OfCheckpoint, RestoreCheckpoint
from models.settings import settings
from nodeops.checkpoint import spooled
from nodeops.checkpoint.criu import BEGUN, IDENTITY
from nodeops.checkpoint.gate import Gate
from nodeops.checkpoint.introduction import introduced
from nodeops.checkpoint.spooled import spool_of
from nodeops.instance import read_spec
from nodeops.session import Here, HostSession
from tests.nodeops.checkpoint.test_swap import assert_flows_on, flow
from tests.nodeops.instances import Make, lan_spec, wait_until


@pytest.mark.timeout(90)
@pytest.mark.parametrize("said", ["standing still", "dumped"])
def test_agents_killed_while_they_capture_and_restore(make: Make, session: HostSession, said: str) -> None:
    """Given up, the instance goes on; asked for again, the checkpoint is made, and comes back."""
    layout = make(lan_spec("a", "b"), daemons=("wires", "conductor"))
    flow(layout)
    wanted = Capture(instance=layout.root.name, fence=1, checkpoint="c-1", life=Life(incarnation="test", epoch=0))
    with HostSession(Here()) as doomed, pytest.raises(HostLost):
        doomed.do("capture", wanted, Captured, lambda progress: _kill_at(doomed, progress, said))
    session.do("give_up_capture", wanted, Nothing)
    assert not spool_of("c-1").root.exists()
    assert_flows_on(layout)
    spec = read_spec(layout)
    assert session.do("capture", wanted, Captured).manifest == session.do("capture", wanted, Captured).manifest
    session.do("destroy", ChangeInstance(instance=layout.root.name, fence=1), Nothing)
    back = RestoreCheckpoint(checkpoint="c-1", create=Create(instance=layout.root.name, name="test", fence=2, spec=spec))
    with HostSession(Here()) as doomed, pytest.raises(HostLost):
        doomed.do("restore_checkpoint", back, CheckpointRestored, lambda progress: _kill_at(doomed, progress, "restored"))
    session.do("restore_checkpoint", back, CheckpointRestored)
    assert session.do("restore_checkpoint", back, CheckpointRestored).attempts == 0
    session.do("forget_checkpoint", OfCheckpoint(checkpoint="c-1"), Nothing)
    assert not list((settings().state_dir / "spool" / "checkpoints").iterdir())
    assert_flows_on(layout)


def test_who_waits_at_a_gate_that_nobody_opens_any_more_is_sent_away(state_dir: Path) -> None:
    """A CRIU that had not come to it yet when its agent died, of an instance that is not to go on."""
    spool = spool_of("c-1")
    work = spool.node("a").work
    work.mkdir(parents=True)
    gate = Gate(work, {BEGUN: ":"})
    late = f"until [ -e {shlex.quote(str(work))}/closed ]; do :; done"
    held = subprocess.Popen(introduced([gate.script], work / IDENTITY, late), env=os.environ | {"CRTOOLS_SCRIPT_ACTION": BEGUN})
    wait_until((work / IDENTITY).exists)
    gate.close()
    (work / "closed").touch()
    spooled.forget("c-1")
    assert held.wait(10) != 0 and not spool.root.exists()


def _kill_at(doomed: HostSession, progress: Progress, said: str) -> None:
    if progress.text == said:
        if said == "standing still":
            time.sleep(0.07)  # in the midst of the dump; what follows the other steps is shorter than that
        doomed.kill()
