"""What the shell is offered: commands, options, and names of what lives here."""

import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.swapbed.conftest import COMMAND


def offered(line: str) -> list[str]:
    environment = {"_SWAPBED_COMPLETE": "complete_bash", "COMP_WORDS": f"swapbed {line}", "COMP_CWORD": str(len(line.split()))}
    return subprocess.run([COMMAND], capture_output=True, text=True, timeout=30, env=os.environ | environment).stdout.split()


def test_commands_and_options(state_dir: Path) -> None:
    assert offered("dep") == ["deploy"]
    assert "--name" in offered("deploy --n")
    assert offered("destroy x") == [], "nothing lives here"


@pytest.mark.usefixtures("installation")
def test_names(face: dict[str, Any]) -> None:
    assert offered("inspect fa") == ["face"]
    assert offered("exec face lef") == ["left1", "left2"]
    assert offered("link set face bott") == ["bottleneck"]
    assert offered("event send face flow") == ["flows", "flow1", "flow2"]
