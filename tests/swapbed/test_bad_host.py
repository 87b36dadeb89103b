"""A host that cannot hold an experiment, or lacks a tool: told in words that say what to do, and nothing is made."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from swapbed.serving import server
from tests.swapbed.conftest import Said, call

PAIR = """
nodes: {a: {}, b: {}}
links: [{name: wire, endpoints: [a, b]}]
"""


@pytest.fixture
def place(tmp_path: Path, prefect_server: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A mount point with a state directory to be made in it, and the session's Prefect server for what must be told to one."""
    mounted = tmp_path / "mounted"
    mounted.mkdir()
    (tmp_path / "pair.yml").write_text(PAIR)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SWAPBED_STATE_DIR", str(mounted / "state"))
    monkeypatch.setenv("SWAPBED_PREFECT_API_URL", prefect_server)
    yield mounted
    call("down")
    deadline = time.monotonic() + 20  # a flow that has told its outcome still tells Prefect what it did, and then goes
    while subprocess.run(["umount", mounted], capture_output=True).returncode:
        assert time.monotonic() < deadline, "still in use"
        time.sleep(0.05)


def _refused(*words: str) -> Said:
    said = call("deploy", "pair.yml")
    assert said.returncode == 6 and "Traceback" not in said.stderr
    for word in words:
        assert word in said.stderr
    return said


def _nothing_is_left(place: Path) -> None:
    assert not list(place.glob("state/instances/*"))
    assert call("instance", "ls", "--format", "json").stdout.split() == ["[]"]


def test_a_file_system_that_cannot_hold_what_nodes_change(place: Path, tmp_path: Path) -> None:
    """An overlay cannot be another overlay's upper layer."""
    for name in ("lower", "upper", "work"):
        (tmp_path / name).mkdir()
    options = ",".join(f"{name}dir={tmp_path / name}" for name in ("lower", "upper", "work"))
    subprocess.run(["mount", "-t", "overlay", "overlay", "-o", options, place], check=True)
    _refused("cannot hold the nodes' changes", str(place / "state"), "Set state_dir")
    _nothing_is_left(place)


def test_a_disk_that_is_nearly_full(place: Path) -> None:
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64M", "tmpfs", place], check=True)
    _refused("MiB of disk are free", "512 are wanted", "Make room")
    _nothing_is_left(place)


def test_a_disk_that_fills_while_nodes_are_made(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was made is taken back, and once there is room the same words work."""
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64M", "tmpfs", place], check=True)
    monkeypatch.setenv("SWAPBED_FREE_SPACE_BYTES", "0")
    assert call("instance", "ls").returncode == 0  # the database and the controller are there
    _fill(place / "ballast")
    said = call("deploy", "pair.yml")
    assert said.returncode != 0 and "Traceback" not in said.stderr and "space" in said.stderr.lower()
    (place / "ballast").unlink()
    _nothing_is_left(place)
    assert call("deploy", "pair.yml", "--name", "again").returncode == 0
    assert call("destroy", "again").returncode == 0


def _fill(ballast: Path) -> None:
    with ballast.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(b"\0" * 4096)
        except OSError:
            return


def test_a_tool_that_is_missing(tmp_path: Path, installation: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """CRIU is only needed for a swapout: the instance stays up without it."""
    (tmp_path / "pair.yml").write_text(PAIR)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SWAPBED_CRIU", str(tmp_path / "criu"))
    try:
        assert call("deploy", "pair.yml", "--name", "toolless").returncode == 0
        said = call("swapout", "toolless")
        assert said.returncode == 6 and "CRIU" in said.stderr and str(tmp_path / "criu") in said.stderr
        assert call("exec", "toolless", "a", "true").returncode == 0
    finally:
        assert call("destroy", "toolless").returncode == 0
    monkeypatch.delenv("SWAPBED_CRIU")
    server.ensure()


def test_graphviz_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """matplotlib draws instead."""
    (tmp_path / "pair.yml").write_text(PAIR)
    (tmp_path / "bin").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    assert shutil.which("dot") is None and os.environ["PATH"]
    assert call("graph", "pair.yml", "-w", "pair.svg").returncode == 0
    assert b"<svg" in (tmp_path / "pair.svg").read_bytes()
