"""A process says who it is before it becomes a command, and becomes none if its parent has died or what it must do first fails."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from nodeops.checkpoint.introduction import introduced
from nodeops.identity import ProcessIdentity


def test_it_is_known_by_the_time_that_it_is_the_command(tmp_path: Path) -> None:
    identity = tmp_path / "a name with 'quotes' and spaces"
    process = subprocess.Popen(introduced(["cat"], identity), stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdin and process.stdout
    process.stdin.write(b"x")
    process.stdin.flush()
    assert process.stdout.read(1) == b"x"
    said = ProcessIdentity.model_validate_json(identity.read_text())
    assert said == ProcessIdentity.of(process.pid) and said.alive()
    process.communicate()
    assert not said.alive()


def test_arguments_stay_as_they_are(tmp_path: Path) -> None:
    said = subprocess.run(introduced(["printf", "%s|", "two words", "$HOME", "*", ""], tmp_path / "it"), capture_output=True, check=True)
    assert said.stdout == b"two words|$HOME|*||"


def test_it_does_first_what_it_is_told_and_else_nothing(tmp_path: Path) -> None:
    for before, there in (("echo 0 > mark", True), ("false", False), ("echo 0 > no/such/file", False)):
        (tmp_path / "done").unlink(missing_ok=True)
        done = subprocess.run(introduced(["touch", "done"], tmp_path / "it", before), cwd=tmp_path, capture_output=True)
        assert (done.returncode == 0, (tmp_path / "done").exists()) == (there, there), before


def test_an_orphan_becomes_nothing(tmp_path: Path) -> None:
    """Its parent dies while it waits to write its name."""
    os.mkfifo(tmp_path / "it")
    command = introduced(["touch", str(tmp_path / "done")], tmp_path / "it")
    starts = "import subprocess, sys, os; p = subprocess.Popen([*sys.argv[1:6], " \
             "str(os.getpid()), *sys.argv[7:]], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL); print(p.pid, flush=True)"
    parent = subprocess.run([sys.executable, "-c", starts, *map(str, command)], capture_output=True, check=True)
    orphan = ProcessIdentity.of(int(parent.stdout))
    said = ProcessIdentity.model_validate_json((tmp_path / "it").read_text())
    assert said == orphan
    while orphan.alive():
        pass
    assert not (tmp_path / "done").exists()
