"""Records as people use them: from Python and the command line, with a controller that commits them, and replayed."""

from __future__ import annotations

import json
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

import swapbed
from models.errors import Conflict, NotFound
from models.recorded import dropped_by
from models.spec import Rules
from swapbed import record_verbs, replaying
from swapbed.instance import Instance, deploy

EXPERIMENT = """
parameters:
  COUNT: {default: 2, type: integer}
nodes: {a: {}, b: {}}
links:
  - {name: wire, endpoints: [a, b], delay: 2ms}
agents:
  pinger: {node: a, command: "ping -c $COUNT -i 0.1 b; echo RESULT count $COUNT"}
timeline:
  0.1s: pinger run
"""


@pytest.fixture
def net(installation: Path, tmp_path: Path) -> Iterator[Instance]:
    source = tmp_path / "echoes.yml"
    source.write_text(EXPERIMENT)
    with deploy(source) as instance:
        instance.wait("idle", timeout_s=60)
        yield instance


def _cli(*words: str) -> str:
    from swapbed.cli.tree import app

    done = CliRunner().invoke(app, [*words], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.output


def test_two_runs_and_their_records(net: Instance, tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="stop"):
        record_verbs.find(net.name)
    with pytest.raises(Conflict):
        record_verbs.of_run(net.runs[-1].id)
    first = net.stop()
    net.start(COUNT=3)
    record_verbs.of_run(first.id)  # committed while the next run goes
    assert net.runs[-1].state == "running"
    net.wait("idle", timeout_s=60)
    record_verbs.of_run(net.stop().id)
    one, two = swapbed.records(net.name)
    assert (one.parameters, two.parameters) == ({"COUNT": "2"}, {"COUNT": "3"}) and two.results == {"count": "3"}
    assert b"3 received" in two.files["nodes/a/logs/pinger/1.out"] and b"2 received" in one.files["nodes/a/logs/pinger/1.out"]
    assert one.links[0]["in_frames"] > 0 and one.agents.agents[0].code == 0
    changed = {change.name: (change.before, change.after) for change in one.diff(two).facts}
    assert changed == {"parameter COUNT": ("2", "3")}
    assert swapbed.records(net.name).rows()[1]["count"] == 3 and "COUNT" in swapbed.records(net.name)._repr_html_()
    _exports(two, tmp_path)
    _command_line(net.name, one, two)
    _amended(two, tmp_path)
    again = net.run(COUNT=1, timeout_s=60)
    assert (again.number, again.outcome, swapbed.record(f"{net.name}/3").results) == (3, "ok", {"count": "1"})


def _exports(record: swapbed.Record, tmp_path: Path) -> None:
    archives = [record.export(tmp_path / name).read_bytes() for name in ("x.tar.gz", "y.tar.gz")]
    assert archives[0] == archives[1]
    with tarfile.open(tmp_path / "x.tar.gz") as archive:
        member = archive.extractfile("nodes/a/logs/pinger/1.out")
        assert member is not None and b"3 received" in member.read()
    assert (record.export(tmp_path / "directory") / "record.json").is_file()


def _command_line(instance: str, one: swapbed.Record, two: swapbed.Record) -> None:
    assert [row["id"] for row in json.loads(_cli("record", "ls", instance, "--format", "json"))] == [one.id, two.id]
    assert one.id in _cli("record", "ls") and "result count" in _cli("record", "show", f"{instance}/2")
    assert "RESULT count 2" in _cli("record", "cat", f"{instance}/1", "nodes/a/logs/pinger/1.out")
    assert "parameter COUNT" in _cli("record", "diff", one.id, two.id)


def test_a_replay_is_told_the_same_and_the_same_happens(net: Instance) -> None:
    record = swapbed.Record(record_verbs.of_run(net.stop().id))
    again = swapbed.Record(replaying.replay(record.id))
    assert again.said.replay_of == record.known.row.root and again.parameters == record.parameters
    assert again.known.instance.ended_at is not None and again.known.run.origin == "replay"
    found = record.diff(again)
    assert not found.events and not found.results and {change.name for change in found.facts} <= {"placement"}
    assert any(file.path == "nodes/a/logs/pinger/1.out" for file in found.files)  # round trips differ


def _amended(record: swapbed.Record, tmp_path: Path) -> None:
    note = tmp_path / "note.txt"
    note.write_text("a remark")
    revision = record.add(note)
    assert revision.id != record.id and revision.files["added/note.txt"] == b"a remark" and "added/note.txt" not in record.files
    assert revision.known.row.revision == 2 and swapbed.record(record.known.name).id == revision.id
    assert "added/note.txt" not in revision.remove("added/note.txt").files
    with pytest.raises(NotFound):
        record.remove("no/such/file")


def test_what_rules_let_go() -> None:
    sizes = {"record.json": 10**9, "nodes/a/logs/x/1.out": 10, "nodes/a/archive/big": 100, "nodes/a/archive/keep/big": 100, "traces/l": 5}
    assert dropped_by(Rules(), sizes) == []
    assert dropped_by(Rules(max_file_bytes=50), sizes) == ["nodes/a/archive/big", "nodes/a/archive/keep/big"]
    assert dropped_by(Rules(max_file_bytes=50, keep=("nodes/*/archive/keep",)), sizes) == ["nodes/a/archive/big"]
    assert dropped_by(Rules(drop=("*",), keep=("traces",)), sizes) == [path for path in sorted(sizes) if path.startswith("nodes")]
