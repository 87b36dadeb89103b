"""A template goes to another installation with its history, and its hash comes with it."""

import json
import os
import tarfile
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from models.database import engine
from models.errors import Conflict, Corrupt, InvalidInput
from models.settings import settings
from swapbed import deletion, templates
from swapbed.cli.tree import app
from swapbed.exchange import template_archive
from swapbed.exchange.added import already_here
from swapbed.metadata import annotate, history, notes


@pytest.fixture
def exported(tmp_path: Path, state_dir: Path) -> Path:
    (tmp_path / "s" / "datastore").mkdir(parents=True)
    (tmp_path / "s" / "study.yml").write_text("nodes: {a: }\n")
    (tmp_path / "s" / "datastore" / "kept").write_text("of both")
    os.symlink("/etc/passwd", tmp_path / "s" / "datastore" / "outside")
    (tmp_path / "s" / "datastore" / os.fsdecode(b"na\xefve")).write_text("x")
    templates.create(tmp_path / "s" / "study.yml")
    place, _ = templates.checkout("study", tmp_path / "work")
    (place / "study.yml").write_text("nodes: {a: , b: }\n")
    templates.commit(place)
    return template_archive.export("study", tmp_path / "study.tar")


def elsewhere(monkeypatch: pytest.MonkeyPatch, state_dir: Path) -> None:
    monkeypatch.setenv("SWAPBED_STATE_DIR", str(state_dir / "elsewhere"))
    settings.cache_clear()
    engine.cache_clear()


def test_to_another_installation_and_back(exported: Path, tmp_path: Path, state_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    digest = templates.find("study").digest
    assert template_archive.export("study", tmp_path / "again.tar").read_bytes() == exported.read_bytes()
    with pytest.raises(Conflict):
        template_archive.export("study", exported)
    assert template_archive.import_(exported).template.number == 2, "here, it changes nothing"
    elsewhere(monkeypatch, state_dir)
    said = CliRunner().invoke(app, ["template", "import", str(exported)], catch_exceptions=False)
    assert said.exit_code == 0 and said.stdout.startswith("study@2") and said.stderr == ""
    row = templates.find("study")
    assert row.digest == digest and row.imported_from and [entry.label for entry in templates.log()] == ["study@1", "study@2"]
    place, _ = templates.checkout("study", tmp_path / "there")
    assert (place / "datastore" / os.fsdecode(b"na\xefve")).read_text() == "x"
    assert (place / "datastore" / "outside").readlink() == Path("/etc/passwd")
    assert template_archive.export("study", tmp_path / "back.tar").read_bytes() == exported.read_bytes()


def test_what_is_here_already_is_not_told_as_if_it_had_come(exported: Path, tmp_path: Path, state_dir: Path,
                                                             monkeypatch: pytest.MonkeyPatch) -> None:
    root = template_archive.export("study@1", tmp_path / "root.tar")
    annotate("template:study@1", quality="good")
    annotate("template:study@2", quality="better", purpose="thesis")
    noted = template_archive.export("study", tmp_path / "noted.tar")

    def told(archive: Path) -> tuple[Any, str]:
        in_json, in_words = (CliRunner().invoke(app, ["template", "import", str(archive), *more], catch_exceptions=False)
                             for more in (("--format", "json"), ()))
        assert (in_json.exit_code, in_words.exit_code) == (0, 0) and in_words.stdout.startswith("study@")
        return json.loads(in_json.stdout), in_words.stderr.strip()

    nothing = {"records": 0, "templates": 0, "checkpoints": 0, "notes": 0}
    said, words = told(noted)
    assert (said["new"], said["added"], words) == (False, nothing, "nothing changed: this template was here already")
    elsewhere(monkeypatch, state_dir)
    said, words = told(root)
    assert (said["new"], said["added"], words) == (True, {**nothing, "templates": 1}, "nothing changed: this template was here already")
    assert template_archive.import_(exported).new and not template_archive.import_(exported).new
    assert template_archive.import_(noted).added.notes == 3
    deletion.delete_("template:study@1")
    done = template_archive.import_(exported)
    assert not done.new and already_here("template", done.added, "template:study@2", hidden=False).endswith("already; added: 1 template")
    deletion.hide("template:study@2")
    assert told(exported)[1].endswith("It is hidden: `swapbed unhide template:study@2` shows it")


def test_what_was_tampered_with_is_refused(exported: Path, tmp_path: Path, state_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    elsewhere(monkeypatch, state_dir)
    for before, after in ((b"of both", b"of none"), (b"nodes: {a: , b: }", b"nodes: {a: , c: }")):
        changed = tmp_path / "changed.tar"
        assert before in exported.read_bytes()
        changed.write_bytes(exported.read_bytes().replace(before, after))
        with pytest.raises(Corrupt, match="does not match its hash"):
            template_archive.import_(changed)
    (tmp_path / "none").write_text("no tar")
    with tarfile.open(tmp_path / "foreign.tar", "w") as tar:
        tar.add(tmp_path / "none", "other")
    for name in ("none", "foreign.tar", "missing"):
        with pytest.raises(InvalidInput):
            template_archive.import_(tmp_path / name)
    assert list(templates.log()) == []


def test_a_name_that_is_taken_needs_another(exported: Path, tmp_path: Path, state_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    elsewhere(monkeypatch, state_dir)
    (tmp_path / "study.yml").write_text("nodes: {z: }\n")
    templates.create(tmp_path / "study.yml")
    with pytest.raises(Conflict, match="--name"):
        template_archive.import_(exported)
    assert template_archive.import_(exported, name="theirs").template.number == 2


def test_notes_go_along_with_their_history_and_theirs_stay(exported: Path, tmp_path: Path, state_dir: Path,
                                                           monkeypatch: pytest.MonkeyPatch) -> None:
    annotate("template:study@1", description="the first", quality="poor")
    annotate("template:study@1", quality=None)
    annotate("template:study@2", description="the second")
    noted = template_archive.export("study", tmp_path / "noted.tar")
    elsewhere(monkeypatch, state_dir)
    template_archive.import_(exported)
    annotate("template:study@2", description="ours")
    template_archive.import_(noted)
    assert notes("template:study@1") == {"description": "the first"} and notes("template:study@2") == {"description": "ours"}
    assert [(one.key, one.after) for one in history("template:study@1")] == [
        ("description", "the first"), ("quality", "poor"), ("quality", None)]
