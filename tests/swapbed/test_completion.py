"""What the shell is offered; for names of what lives here see test_instance."""

from pathlib import Path

from tests.swapbed.conftest import offered


def test_commands_and_options(state_dir: Path) -> None:
    assert offered("dep") == ["deploy"]
    assert "--name" in offered("deploy --n")
    assert offered("destroy x") == [], "nothing lives here"
