"""What is hidden comes back, what is deleted leaves a tombstone, what is expunged is nowhere; and what remains is whole."""

import json
from pathlib import Path
from typing import Any

import pytest
from sqlmodel import select
from typer.testing import CliRunner

from models.database import engine, reading, writing
from models.errors import Conflict, NotFound
from models.instances import define_instance, define_run
from models.spec import Node, Spec
from models.states import InstanceState, RecordState, RunState
from models.tables import Instance, Record, Run, Template
from models.tables.columns import now
from models.templates import find_template, project_named
from storage.roots import RootKind
from storage.store import Store
from swapbed import deletion, metadata, templates
from swapbed.cli.tree import app
from swapbed.searching.runs import search

SECRET = "the-password-that-slipped-in"


def command(*words: str) -> Any:
    said = CliRunner().invoke(app, [*words, "--format", "json"], catch_exceptions=False)
    assert said.exit_code == 0, said.output
    return json.loads(said.stdout)


@pytest.fixture
def study(tmp_path: Path, state_dir: Path) -> Path:
    """study@1 ─ study@2 (with the secret in source, files, notes and a record) ─ study@3; net/1 is a run of study@2, over."""
    (tmp_path / "s" / "datastore").mkdir(parents=True)
    (tmp_path / "s" / "study.yml").write_text("nodes: {a: }\n")
    (tmp_path / "s" / "datastore" / "kept").write_text("in all of them")
    templates.create(tmp_path / "s" / "study.yml")
    place, _ = templates.checkout("study", tmp_path / "work")
    (place / "study.yml").write_text(f"nodes: {{a: }}\ndescription: {SECRET}\n")
    (place / "datastore" / "key").write_text(SECRET)
    second = templates.commit(place).template
    (place / "study.yml").write_text("nodes: {a: }\n")
    (place / "datastore" / "key").unlink()
    (place / "datastore" / "more").write_text("x")
    templates.commit(place)
    with writing() as session:
        project = project_named(session, "default")
        spec = Spec(nodes=(Node(name="a"),), description=SECRET)
        instance = define_instance(session, project, session.get_one(Template, second.id), spec, created_by="root", name="net")
        run = define_run(session, instance, created_by="root")
    (tmp_path / "left").mkdir()
    (tmp_path / "left" / "log").write_text(SECRET)
    store = Store.of()
    stored = store.store_tree(tmp_path / "left")
    with writing() as session:
        row = Record(project_id=project.id, run_id=run.id, root=stored.hash, state=RecordState.FINAL, created_by="root",
                     summary={"experiment": SECRET})
        session.add(row)
    store.pin(RootKind.RECORD, row.id, stored.manifest)
    metadata.annotate("template:study@2", why=SECRET)
    return tmp_path


def end() -> None:
    with writing() as session:
        project = project_named(session, "default")
        instance = session.exec(select(Instance).where(Instance.project_id == project.id)).one()
        instance.state, instance.ended_at = InstanceState.DESTROYED, now()
        for run in session.exec(select(Run).where(Run.instance_id == instance.id)):
            run.state = RunState.OVER


def labels(**options: bool) -> list[tuple[str, str | None]]:
    return [(entry.label, entry.tombstone) for entry in templates.log(**options)]


def test_what_came_of_a_template_goes_with_it_though_its_instance_has_become_another(study: Path) -> None:
    end()
    with writing() as session:
        session.exec(select(Instance)).one().template_id = find_template(session, project_named(session, "default"), "study@1").id
    told = command("delete", "template:study@2", "--subtree", "--yes")
    assert (told["template"], told["instance"], told["run"], told["record"]) == (2, 0, 1, 1)
    with reading() as session:
        assert session.exec(select(Record)).one().root is None and session.exec(select(Instance)).one().expunged_at is None


def test_a_hidden_ancestor_is_a_tombstone_and_comes_back(study: Path) -> None:
    command("hide", "template:study@2")
    assert labels() == [("study@1", None), ("study@2", "hidden"), ("study@3", None)]
    command("hide", "template:study@3")
    assert labels() == [("study@1", None)] and len(labels(hidden=True)) == 3
    end()
    assert len(search("instance = net")) == 1
    told = command("hide", "template:study@2", "--subtree")
    assert (told["template"], told["instance"], told["run"], told["record"]) == (2, 1, 1, 1)
    assert search("instance = net") == [] and len(search("instance = net", hidden=True)) == 1
    command("unhide", "template:study@2", "--subtree")
    assert labels() == [("study@1", None), ("study@2", None), ("study@3", None)] and len(search("instance = net")) == 1


def test_lists_show_the_place_of_what_is_hidden_where_something_hangs_on_it(study: Path) -> None:
    end()
    command("hide", "run:net/1")
    text = CliRunner().invoke(app, ["run", "ls", "net"]).stdout
    assert "(hidden)" in text and "over" not in text
    assert "over, hidden" in CliRunner().invoke(app, ["run", "ls", "net", "--all"]).stdout
    assert [one["run_tombstone"] for one in command("record", "ls")] == ["hidden"]
    command("hide", "record:net/1", "instance:net")
    assert command("record", "ls") == [] and command("run", "ls", "net") == []
    (shown,) = command("record", "ls", "--all")
    assert shown["hidden"] and shown["instance_tombstone"] == "hidden" and "net (hidden)" in CliRunner().invoke(
        app, ["record", "ls", "-a"]).stdout
    command("unhide", "record:net/1")
    assert [one["instance_tombstone"] for one in command("record", "ls")] == ["hidden"], "never a hole"
    command("delete", "run:net/1", "--yes")
    assert "(expunged)" in CliRunner().invoke(app, ["run", "ls", "net"]).stdout


def test_what_is_used_is_refused(study: Path) -> None:
    for name in ("template:study@2", "instance:net", "run:net/1"):
        with pytest.raises(Conflict):
            deletion.delete_(name)
    assert labels()[1] == ("study@2", None)
    refused = CliRunner().invoke(app, ["expunge", "template:study@1"], input="n\n")
    assert refused.exit_code == 1 and labels()[0] == ("study@1", None), "it asks first"


def test_what_is_expunged_is_nowhere_and_the_rest_is_whole(study: Path, state_dir: Path) -> None:
    end()
    assert _holding(state_dir, SECRET), "else this test proves nothing"
    told = command("expunge", "template:study@2", "instance:net", "run:net/1", "record:net/1", "--yes")
    assert told["done"] == "expunged" and told["record"] == 1
    assert labels() == [("study@1", None), ("study@2", "expunged"), ("study@3", None)]
    assert search("instance = net") == []
    with pytest.raises(NotFound, match="expunged"):
        templates.checkout("study@2", study / "again")
    templates.checkout("study@3", study / "third")
    assert (study / "third" / "datastore" / "kept").read_text() == "in all of them"
    command("expunge", "template:study@2", "--yes")
    engine().dispose()
    assert _holding(state_dir, SECRET) == []


def test_what_was_deleted_can_be_made_again(study: Path) -> None:
    end()
    place, _ = templates.checkout("study@3", study / "back")
    command("delete", "template:study@3", "--yes")
    assert labels() == [("study@1", None), ("study@2", None)]
    (place / "note").write_text("beside the datastore, and so no part of it")
    with reading() as session:
        gone = find_template(session, project_named(session, "default"), "study@3")
    assert gone.source is None and gone.datastore is None
    second, _ = templates.checkout("study@2", study / "second")
    for name in ("study.yml", "datastore/more"):
        (second / name).write_text((place / name).read_text())
    (second / "datastore" / "key").unlink()
    assert templates.commit(second).template.number == 3 and labels()[2] == ("study@3", None)
    assert Store.of().list_tree(templates.find("study@3").datastore or "")


def _holding(directory: Path, text: str) -> list[str]:
    return [str(path) for path in directory.rglob("*") if path.is_file() and text.encode() in path.read_bytes()]
