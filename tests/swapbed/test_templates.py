"""Templates as a researcher handles them: create, check out, edit, commit, look at the tree, compare."""

import json
import os
import socket
import threading
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select
from typer.testing import CliRunner

import swapbed
from models.database import reading
from models.errors import Conflict, InvalidInput, NotFound
from models.manifest import FileKind
from models.states import TransferState
from models.tables import SCHEMA, Template
from models.templates import find_template, project_named
from storage.roots import RootKind
from storage.store import Store
from swapbed import templates
from swapbed.cli.tree import app
from swapbed.sources.checkout import MARKER
from tasks import datastores
from tests.swapbed.conftest import call

SOURCE = """\
datastore: files
parameters: {DELAY: {default: 10ms, type: duration}}
nodes: {a: , b: }
links: [{endpoints: [a, b], delay: "${DELAY}"}]
"""


def parsed(*words: str) -> Any:
    """What the command prints with --format json; in this process, which is quicker than one for each."""
    said = CliRunner().invoke(app, [*words, "--format", "json"], catch_exceptions=False)
    assert said.exit_code == 0, said.output
    return json.loads(said.stdout)


@pytest.fixture
def study(tmp_path: Path, state_dir: Path) -> Path:
    """A directory with a source and a datastore."""
    home = tmp_path / "study"
    (home / "files" / "sub").mkdir(parents=True)
    (home / "study.yml").write_text(SOURCE)
    (home / "files" / "run.sh").write_text("#!/bin/sh\n")
    (home / "files" / "run.sh").chmod(0o750)
    (home / "files" / "sub" / "data").write_bytes(bytes(range(256)) * 1000)
    return home


def test_from_create_to_diff_on_the_command_line(study: Path, tmp_path: Path) -> None:
    made = parsed("template", "create", str(study))
    assert (made["template"], made["new"]) == ("study@1", True)
    assert not parsed("template", "create", str(study))["new"]
    work = tmp_path / "work"
    assert parsed("template", "checkout", "study", str(work))["template"] == "study@1"
    assert (work / "study.yml").read_text() == SOURCE and os.access(work / "files/run.sh", os.X_OK)
    assert not parsed("template", "commit", str(work))["new"], "an unchanged tree makes no new template"
    (work / "study.yml").write_text(SOURCE.replace("10ms", "20ms"))
    (work / "files/sub/data").write_bytes(b"other")
    (work / "files/new").write_text("x")
    child = parsed("template", "commit", str(work / "files" / "sub"))
    assert child["template"] == "study@2" and child["parent_id"] == made["id"]
    found = parsed("template", "diff", "study@1", "study@2")
    assert [(p["name"], p["before"]["default"], p["after"]["default"]) for p in found["parameters"]] == [("DELAY", "10ms", "20ms")]
    assert {(one["path"], one["change"]) for one in found["files"]} == {("sub/data", "changed"), ("new", "added")}
    assert "+parameters: {DELAY: {default: 20ms, type: duration}}" in found["source"]
    shown = parsed("template", "show", "study@2")
    assert shown["parent"] == made["digest"] and "sub/data" in [file["path"] for file in shown["files"]]
    assert [(one["number"], one["depth"]) for one in parsed("template", "log")] == [(1, 0), (2, 1)]
    for words in (("log",), ("show", "study"), ("diff", "study@1", "study@2")):
        assert "study" in CliRunner().invoke(app, ["template", *words, "--format", "table"], catch_exceptions=False).stdout


def test_a_commit_outside_a_checkout_says_what_to_do(tmp_path: Path, state_dir: Path) -> None:
    said = call("template", "commit", str(tmp_path), "--format", "json")
    error = json.loads(said.stdout or said.stderr)
    assert (said.returncode, error["where"]) == (3, str(tmp_path)) and "checkout" in error["next"]


def test_two_commits_of_one_parent_at_once_both_live(study: Path, tmp_path: Path) -> None:
    root = swapbed.templates.create(study).template
    made: list[templates.Committed] = []
    places = [templates.checkout("study", tmp_path / side)[0] for side in ("left", "right")]
    for place in places:
        (place / "files" / "who").write_text(place.name)
    threads = [threading.Thread(target=lambda place=place: made.append(templates.commit(place))) for place in places]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(one.template.number for one in made) == [2, 3] and {one.template.parent_id for one in made} == {root.id}
    assert templates.log().text().count("├─") == 1 and templates.log("study@2")._repr_html_().startswith("<pre")


def test_a_name_is_one_tree_and_a_checkout_needs_room(study: Path, tmp_path: Path) -> None:
    templates.create(study)
    (study / "study.yml").write_text(SOURCE + "# changed\n")
    with pytest.raises(Conflict, match="checkout study"):
        templates.create(study)
    assert templates.create(study, name="another").template.number == 1
    with pytest.raises(Conflict, match="empty"):
        templates.checkout("study", study)
    with pytest.raises(NotFound):
        templates.checkout("nobody", tmp_path / "x")


def test_a_checkout_of_another_project_or_a_broken_one_is_refused(study: Path, tmp_path: Path) -> None:
    templates.create(study)
    place, _ = templates.checkout("study", tmp_path / "work")
    marker = place / MARKER
    kept = marker.read_text()
    marker.write_text(kept.replace('"default"', '"theirs"'))
    with pytest.raises(InvalidInput, match="theirs"):
        templates.commit(place)
    marker.write_text("{")
    with pytest.raises(InvalidInput, match="cannot be read"):
        templates.commit(place)


def test_files_of_odd_kinds(study: Path) -> None:
    """Names that are not UTF-8, sparse files, hard links, links that lead outside: kept. Sockets, FIFOs, devices: refused by name."""
    files = study / "files"
    os.link(files / "run.sh", files / "again")
    os.symlink("/etc/passwd", files / "outside")
    os.symlink("nowhere", files / "dangling")
    (files / "sparse").touch()
    os.truncate(files / "sparse", 1 << 30)
    strange = os.fsdecode(b"na\xefve")
    (files / strange).write_text("x")
    row = templates.create(study).template
    place, _ = templates.checkout("study", study.parent / "out")
    listed = {file.path: file for file in templates.show("study").files}
    assert listed["outside"].kind == FileKind.SYMLINK and os.readlink(place / "files/outside") == "/etc/passwd"
    assert (place / "files" / strange).read_text() == "x" and (place / "files/again").stat().st_nlink == 1
    assert (place / "files/sparse").stat().st_blocks < 100
    assert "na\\xefve" in listed
    assert templates.commit(place).template.id == row.id
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(files / "socket"))
    with pytest.raises(InvalidInput, match="a socket cannot be kept") as refused:
        templates.create(study, name="odd")
    assert str(refused.value.where).endswith("socket")
    (files / "socket").unlink()
    os.mknod(files / "device", 0o600 | 0o020000, os.makedev(1, 3))
    with pytest.raises(InvalidInput, match="a character"):
        templates.create(study, name="odd")


def test_a_datastore_is_restored_once_and_shared(study: Path) -> None:
    row = templates.create(study).template
    assert row.datastore and Store.of().root(RootKind.TEMPLATE, row.datastore).manifest.files == 2
    first = datastores.directory_of("default", row.datastore)
    inode = (first / "sub/data").stat().st_ino
    assert (datastores.directory_of("default", row.datastore) / "sub/data").stat().st_ino == inode
    datastores.forget("default", row.datastore)
    assert not first.exists()


def test_deploy_by_name_takes_the_files_from_the_store(installation: Path, tmp_path: Path) -> None:
    home = tmp_path / "kept"
    (home / "files").mkdir(parents=True)
    (home / "kept.yml").write_text(SOURCE)
    (home / "files" / "greeting").write_text("hello")
    templates.create(home)
    (home / "files" / "greeting").write_text("changed since")
    with swapbed.deploy("kept@1", name="kept", start_run=False) as net:
        assert net["a"].run("cat $DATASTORE/greeting").stdout == "hello"
        assert net["a"].run("echo mine > $DATASTORE/greeting; cat $DATASTORE/greeting").stdout == "mine\n"
        assert net["b"].run("cat $DATASTORE/greeting").stdout == "hello"
    with swapbed.deploy(home, name="kept", start_run=False) as net:
        assert net["a"].run("cat $DATASTORE/greeting").stdout == "changed since"
    log: Any = templates.log("kept")
    assert [one.label for one in log] == ["kept@1", "kept@2"]
    with reading() as session:
        newest = find_template(session, project_named(session, "default"), "kept")
    assert isinstance(newest, Template) and newest.number == 2


def test_a_datastore_that_is_stored_again_leaves_no_transfer_open(study: Path) -> None:
    """An open one keeps a collection from freeing anything, and whoever expunges waits for it."""
    assert templates.create(study).template.digest == templates.create(study).template.digest
    transfers = SCHEMA.tables["transfer"]
    with reading() as session:
        assert not session.connection().execute(select(transfers.c.id).where(transfers.c.state == TransferState.OPEN)).all()
