"""Checkpoints as people use them: from the command line and from Python, asked for wrongly, too."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import swapbed
from models.errors import Conflict, InvalidInput, NotFound
from swapbed.instance import Instance, deploy
from tests.swapbed.conftest import Cli

EXPERIMENT = """
parameters:
  COLOUR: {default: red}
nodes: {a: {}, b: {}}
links:
  - {name: wire, endpoints: [a, b], delay: 2ms}
agents:
  sleeper: {node: a, command: "sleep 1000"}
  teller: {node: b, command: "echo $COLOUR > /colour"}
timeline:
  0s: sleeper start
"""


@pytest.fixture
def net(installation: Path, tmp_path: Path) -> Iterator[Instance]:
    source = tmp_path / "saved.yml"
    source.write_text(EXPERIMENT)
    with deploy(source, name="saved") as instance:
        yield instance


@pytest.mark.timeout(180)
def test_saved_shown_compared_and_forked(net: Instance, cli: Cli) -> None:
    first = net.checkpoint()
    net["a"].run("seq 100 > /numbers", check=True)
    made = cli("checkpoint", "create", "saved", "--format", "json").parsed
    assert (made["name"], made["state"], made["parent"]) == ("saved/2", "durable", first.row.id)
    assert made["stored_bytes"] < first.row.stored_bytes and made["costs"]["stood_ns"] > 0
    assert [one.name for one in swapbed.checkpoints("saved")] == ["saved/1", "saved/2"]
    assert "a memory" in cli("checkpoint", "show", "saved").stdout and "stood still" in cli("checkpoint", "show", made["id"]).stdout
    listed = cli("checkpoint", "ls", "saved").stdout
    assert "saved/1" in listed and first.row.id in listed
    found = cli("checkpoint", "diff", "saved/1", "saved/2", "--format", "json").parsed
    assert any(file["path"] == "nodes/a/upper/numbers" and file["change"] == "added" for file in found["files"])
    assert found["virtual_s"] > 0 and {"a memory", "a files"} <= {part["part"] for part in found["parts"]}
    assert "numbers" in cli("checkpoint", "diff", "saved/1", "saved/2").stdout

    with swapbed.fork(first, name="branch", COLOUR="blue") as branch:
        assert branch.state == "up" and branch["a"].run("test -e /numbers").exit_code == 1
        assert branch["a"].addresses == net["a"].addresses
        branch.event("teller", "run", timeout_s=20)
        assert branch["b"].read("/colour") == b"blue\n"
        for wrong, kind, words in (({"COLOR": "x"}, InvalidInput, "no parameter 'COLOR'"), ({"name": "branch"}, Conflict, "exists")):
            with pytest.raises(kind, match=words):
                swapbed.fork(first, **wrong)
    with pytest.raises(NotFound, match="no such checkpoint"):
        swapbed.fork("saved/9")
    assert cli("checkpoint", "show", "saved/x").returncode == 4
    net.swapout()
    refused = cli("swapin", "saved", "--checkpoint", "nothing")
    assert refused.returncode == 4 and "no such checkpoint" in refused.stderr
    net.swapin("saved/1")
    assert net["a"].run("test -e /numbers").exit_code == 1 and net["a"].run("ping -c 1 -W 2 b").exit_code == 0
