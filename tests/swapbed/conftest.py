"""A living instance that many tests look at, and the command as its users call it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from models.database import engine
from models.settings import settings
from swapbed.cli import main, options
from swapbed.present.output import Format

EXAMPLES = Path(__file__).parent.parent.parent / "examples"
COMMAND = Path(sys.executable).with_name("swapbed")


@dataclass
class Said:
    returncode: int
    stdout: str
    stderr: str


    @property
    def parsed(self) -> Any:
        """What it said with --format json; it must have succeeded."""
        assert self.returncode == 0, self.stderr
        return json.loads(self.stdout)


Cli = Callable[..., Said]


def call(*words: str, stdin: str | None = None, timeout_s: float = 120) -> subprocess.CompletedProcess[str]:
    """The command in a process of its own, as a user calls it."""
    return subprocess.run([COMMAND, *words], capture_output=True, text=True, input=stdin, timeout=timeout_s, check=False)


@pytest.fixture
def cli(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Cli:
    """swapbed with these words, in an empty directory; in this process, which is quicker. Needs `state_dir` or `installation`."""
    monkeypatch.chdir(tmp_path)

    def run(*words: str) -> Said:
        monkeypatch.setattr(sys, "argv", ["swapbed", *words])
        monkeypatch.setattr(options, "chosen", Format.TABLE)
        with pytest.raises(SystemExit) as ended:
            main()
        return Said(int(ended.value.code or 0), *capsys.readouterr())

    return run


def offered(line: str) -> list[str]:
    """By completion in bash, of the last word."""
    environment = {"_SWAPBED_COMPLETE": "complete_bash", "COMP_WORDS": f"swapbed {line}", "COMP_CWORD": str(len(line.split()))}
    return subprocess.run([COMMAND], capture_output=True, text=True, timeout=30, env=os.environ | environment).stdout.split()


@pytest.fixture(scope="module")
def face(prefect_server: str, _session_directory: Path) -> Iterator[dict[str, Any]]:
    """What `deploy` said of an instance of the dumbbell that lives through a file of tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SWAPBED_STATE_DIR", str(_session_directory))
        settings.cache_clear()
        engine.cache_clear()
        said = call("deploy", str(EXAMPLES / "dumbbell"), "--name", "face", "-S", "DURATION=2", "--format", "json")
        assert said.returncode == 0, said.stderr
    yield json.loads(said.stdout)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SWAPBED_STATE_DIR", str(_session_directory))
        assert call("destroy", "face").returncode == 0


@pytest.fixture
def net(face: dict[str, Any], installation: Path) -> Iterator[Any]:
    """The same instance from Python."""
    import swapbed

    assert os.environ["SWAPBED_STATE_DIR"] == str(installation)
    attached = swapbed.attach("face")
    yield attached
    attached._access.close()
