"""A secret that a real run has used in every way: where it is before it is expunged, and that it is nowhere after."""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
import time
from pathlib import Path
from uuid import uuid4

import pytest

import swapbed
from models.errors import Conflict
from models.settings import settings
from nodeops import run_files
from swapbed import deletion, record_verbs
from swapbed.instance import deploy
from swapbed.serving import prefect_history, server
from tests.swapbed.conftest import Cli

SOURCE = """
parameters:
  PASSWORD: {default: none}
nodes: {a: {}}
agents:
  user: {node: a, command: "echo using $PASSWORD; echo $PASSWORD > $ARCHIVE/used; echo $PASSWORD > /root/kept; echo RESULT said $PASSWORD"}
timeline:
  0.1s: user run
"""


def test_a_secret_of_a_run_is_nowhere_afterwards(installation: Path, cli: Cli, tmp_path: Path) -> None:
    secret = f"xyzzy-{os.urandom(8).hex()}"
    (tmp_path / "secret").write_text(secret)
    (tmp_path / "login.yml").write_text(SOURCE + f"# not {secret}\n")
    (tmp_path / "datastore").mkdir()
    (tmp_path / "datastore" / "key").write_text("noise " * 3000 + secret)
    with deploy(tmp_path / "login.yml", PASSWORD=secret) as net:
        net.wait("idle", timeout_s=60)
        while_it_lives = swapbed.store.seek(secret.encode())
        assert any("/upper/" in place for place in while_it_lives.found), "the node's own files"
        assert f"memory of the living instance {net.name}" in while_it_lives.not_looked_at
        record = record_verbs.of_run(net.stop().id)
        name, run = net.name, f"{net.name}/1"
        with pytest.raises(Conflict, match="instance lives.*swapbed destroy"):
            deletion.expunge(f"record:{record.row.id}")
    spool = run_files.content_of(record.run.id)
    deadline = time.monotonic() + 30
    while spool.exists():  # the controller tidies up after the commit
        assert time.monotonic() < deadline
        time.sleep(0.05)
    spool.mkdir(parents=True)
    (spool / "left").write_text(secret)  # as if the controller had died before it could tidy up
    while "prefect.db" not in (found := cli("store", "seek", str(tmp_path / "secret"))).stdout:
        assert time.monotonic() < deadline  # the record's table is drawn after the commit
    assert found.returncode == 5
    assert all(word in found.stdout for word in ("FOUND", "chunk ", "swapbed.db", "/spool/runs/", "/datastores/"))
    assert cli("expunge", "template:login", f"instance:{name}", f"run:{run}", f"record:{record.row.id}", "--yes").returncode == 0
    after = cli("store", "seek", str(tmp_path / "secret"), "--format", "json").parsed
    assert after["found"] == []
    assert any(place.endswith("prefect in it") or "prefect" in place for place in after["looked_at"])
    assert not any("Prefect" in place for place in after["not_looked_at"]), "this server's database is ours"
    assert not list((settings().state_dir / "spool").rglob("left"))


def test_a_secret_that_was_swept_over_is_nowhere_afterwards(installation: Path, cli: Cli, tmp_path: Path) -> None:
    """The other points stay."""
    secret = f"plugh-{os.urandom(8).hex()}"
    (tmp_path / "secret").write_text(secret)
    (tmp_path / "swept.yml").write_text(SOURCE)
    done = swapbed.sweep(tmp_path / "swept.yml", {"PASSWORD": ["harmless", secret]})
    assert [point.outcome for point in done.points] == ["ok", "ok"] and done.rows()[1]["said"] == secret
    other, first = done.points
    known = record_verbs.find(first.record_id or "")
    assert cli("expunge", f"run:{first.run_id}", f"instance:{known.instance.id}", str(first.record_id), "--yes").returncode == 0
    assert cli("store", "seek", str(tmp_path / "secret"), "--format", "json").parsed["found"] == []
    again = swapbed.sweep(tmp_path / "swept.yml", {"PASSWORD": ["harmless", secret]}, resume=True)
    assert [(point.run_id, point.parameters) for point in again.points] == [
        (other.run_id, {"PASSWORD": "harmless"}), (first.run_id, {})], "its tombstone is no reason to run it again"


def test_what_cannot_be_looked_at_is_said(state_dir: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PREFECT_API_URL", "http://prefect.example/api")
    (tmp_path / "secret").write_text("a secret string")
    said = cli("store", "seek", str(tmp_path / "secret"))
    assert said.returncode == 0 and "Prefect's database behind http://prefect.example/api" in said.stdout and "nowhere" in said.stdout
    (tmp_path / "short").write_text("abc\n")
    assert cli("store", "seek", str(tmp_path / "short")).returncode == 3
    assert cli("store", "seek", str(tmp_path / "missing")).returncode == 2


def test_what_an_earlier_server_left_is_looked_through_but_not_waited_for(prefect_server: str, state_dir: Path,
                                                                            monkeypatch: pytest.MonkeyPatch) -> None:
    """Another server is used by now, which writes nothing down here."""
    monkeypatch.setenv("PREFECT_API_URL", prefect_server)
    database = server.home() / "prefect.db"
    database.parent.mkdir()
    with contextlib.closing(sqlite3.connect(database, isolation_level=None)) as earlier:
        for table in ("flow_run (id, parameters)", "events (id, related, resource)", "log (flow_run_id, message)",
                      "artifact (flow_run_id)", "artifact_collection (flow_run_id)"):
            earlier.execute(f"CREATE TABLE {table}")
        run = str(uuid4())
        earlier.execute("INSERT INTO flow_run VALUES (?, ?)", (run, json.dumps({"instance_id": "i-gone"})))
        earlier.execute("INSERT INTO log VALUES (?, 'xyzzy')", (run,))
        prefect_history.forget(["gone-1"], ["i-gone"])
        assert earlier.execute("SELECT * FROM log").fetchall() == []
