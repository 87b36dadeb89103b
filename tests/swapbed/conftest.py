"""A living instance that many tests look at, and the command as its users call it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from models.database import engine
from models.settings import settings

EXAMPLES = Path(__file__).parent.parent.parent / "examples"
COMMAND = Path(sys.executable).with_name("swapbed")
Swapbed = Callable[..., subprocess.CompletedProcess[str]]


def call(*words: str, stdin: str | None = None, timeout_s: float = 120) -> subprocess.CompletedProcess[str]:
    """The command in a process of its own, as a user calls it."""
    return subprocess.run([COMMAND, *words], capture_output=True, text=True, input=stdin, timeout=timeout_s, check=False)


def parsed(*words: str) -> Any:
    """What it prints with --format json; it must succeed."""
    said = call(*words, "--format", "json")
    assert said.returncode == 0, said.stderr
    return json.loads(said.stdout)


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
        said = parsed("deploy", str(EXAMPLES / "dumbbell"), "--name", "face", "-S", "DURATION=2")
    yield said
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
