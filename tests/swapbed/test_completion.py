"""What the shell is offered; for names of what lives here see test_instance."""

import os
import subprocess
from pathlib import Path

from tests.swapbed.conftest import COMMAND


def offered(line: str) -> list[str]:
    environment = {"_SWAPBED_COMPLETE": "complete_bash", "COMP_WORDS": f"swapbed {line}", "COMP_CWORD": str(len(line.split()))}
    return subprocess.run([COMMAND], capture_output=True, text=True, timeout=30, env=os.environ | environment).stdout.split()


def test_commands_and_options(state_dir: Path) -> None:
    assert offered("dep") == ["deploy"]
    assert "--name" in offered("deploy --n")
    assert offered("destroy x") == [], "nothing lives here"
