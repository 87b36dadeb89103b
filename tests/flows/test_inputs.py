"""A record's files as input of another run, of its replay, and what cannot be had."""

from __future__ import annotations

from pathlib import Path

import pytest

from models.errors import InvalidInput, NotFound
from swapbed import deploy, record_verbs, replaying
from swapbed.deletion import expunge
from swapbed.instance import Instance as Net
from tasks.record_trees import recorded

MAKES = """
nodes: {a: , b: }
agents:
  makes: {node: a, command: "mkdir -p $ARCHIVE/deep; echo made > $ARCHIVE/deep/thing; echo RESULT x 1"}
  uses: {node: b, command: "cat /swapbed/inputs/thing > $ARCHIVE/copy; cat /root/all/thing"}
collect: {b: [/swapbed/inputs/*]}
"""


def _run(net: Net, agent: str) -> str:
    net.event(agent, "run")
    run = net.stop()
    assert run.outcome == "ok", run.reason
    return record_verbs.of_run(run.id).row.id


def test_a_run_finds_files_of_another_runs_record_and_so_does_its_replay(installation: Path, tmp_path: Path) -> None:
    (tmp_path / "makes.yml").write_text(MAKES)
    with deploy(tmp_path / "makes.yml") as net:
        made = _run(net, "makes")
        run = net.start(inputs=[f"{made}:nodes/a/archive/deep/thing=b", f"{net.name}/1:nodes/a/archive/deep=b:/root/all"])
        assert net["b"].read("/root/all/thing") == b"made\n"
        used = record_verbs.find(_run(net, "uses"))
        said = recorded(used.row)
        root = record_verbs.find(made).row.root
        assert [given["record"] for given in said.inputs] == [root, root] and run.inputs == list(said.inputs)
        for wrong in (f"{made}:nodes/a/archive/none=b", f"{made}:nodes/a/archive=zz", "nowhere/1:x=b", "nonsense",
                      f"{made}:nodes/a/archive=b:relative"):
            with pytest.raises((NotFound, InvalidInput)):
                net.start(inputs=[wrong])
        assert len(net.runs) == 2, "nothing is begun for what is wrong"
    again = replaying.replay(used.row.id)
    files = {file.path for file in record_verbs.files(again.row)}
    assert "nodes/b/files/swapbed/inputs/thing" in files and recorded(again.row).inputs == said.inputs


def test_nothing_is_given_of_a_record_that_was_expunged(installation: Path, tmp_path: Path) -> None:
    (tmp_path / "makes.yml").write_text(MAKES)
    with deploy(tmp_path / "makes.yml") as net:
        made = _run(net, "makes")
    expunge(f"record:{made}")
    with deploy(tmp_path / "makes.yml", start_run=False) as net:
        with pytest.raises(NotFound, match="expunged"):
            net.start(inputs=[f"{made}:nodes/a/archive/deep/thing=b"])
        assert net.runs == []
