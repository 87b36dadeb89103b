"""A handoff as people ask for it: from the command line and from Python, asked for wrongly, too."""

from __future__ import annotations

from pathlib import Path

import pytest

import swapbed
from swapbed.instance import deploy
from tests.swapbed.conftest import Cli

EXPERIMENT = """
nodes: {a: {}, b: {}}
links:
  - {name: wire, endpoints: [a, b], delay: 2ms}
"""


@pytest.mark.timeout(300)
def test_handed_off_there_and_back(installation: Path, tmp_path: Path, cli: Cli) -> None:
    source = tmp_path / "turns.yml"
    source.write_text(EXPERIMENT)
    with deploy(source, name="first") as first, deploy(source, name="second") as second:
        second.swapout()
        done = cli("handoff", "first", "second", "--format", "json").parsed
        assert (done["left"]["name"], done["left"]["state"]) == ("first", "swapped_out")
        assert (done["came"]["name"], done["came"]["state"]) == ("second", "up") and done["idle_s"] > 0
        back = swapbed.handoff(second, "first")
        assert (back.left, back.came.name, second.state, first.state) == ("second", "first", "swapped_out", "up") and back.idle_s > 0
        assert back.came["a"].run("ping -c 1 -W 2 b").exit_code == 0
        for wrong, code, words in ((("first", "first"), 3, "cannot take its own place"), (("second", "first"), 5, "has to be up"),
                                   (("first", "third"), 4, "third")):
            refused = cli("handoff", *wrong)
            assert refused.returncode == code and words in refused.stderr
        told = cli("handoff", "first", "second").stdout
        assert "second (turns@1) is up" in told and "first is swapped out; their host was without either for" in told
