"""Who starts the next run the moment the last is over need not know who is still at work on its end."""

from __future__ import annotations

from pathlib import Path

import pytest

from models.errors import Busy
from models.leases import acquire, release
from models.protocol.conductor import RunInfo, Wait
from models.states import Subject
from swapbed import deploy
from swapbed.serving import launch

ENDS = """
nodes: {a: }
agents:
  worker: {node: a, command: "true"}
sequences:
  all:
    - worker run
    - instance stop-run
timeline:
  0.1s: all run
"""


def test_runs_begin_right_after_the_end_of_the_one_before(installation: Path, tmp_path: Path) -> None:
    (tmp_path / "ends.yml").write_text(ENDS)
    with deploy(tmp_path / "ends.yml") as net:
        for number in (2, 3, 4):
            net._access.conductor("wait", Wait(until="over", timeout_s=20), RunInfo)
            assert net.start().number == number
        assert net.wait().outcome == "ok"
        assert [run.outcome for run in net.runs] == ["ok"] * 4


def test_patience_has_an_end_and_says_who_is_at_work(installation: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "ends.yml").write_text(ENDS)
    with deploy(tmp_path / "ends.yml", start_run=False) as net:
        lease = acquire(Subject.INSTANCE, net.id, holder="somebody pid 1", purpose="test")
        said: list[str] = []
        monkeypatch.setattr(launch, "PATIENCE_S", 0.5)
        try:
            with pytest.raises(Busy, match="somebody pid 1 works on it"):
                launch.launch("mend", lambda progress: said.append(progress.text), instance_id=net.id)
        finally:
            release(lease)
        assert "waiting: somebody works on it" in said
