"""Records are listed again after the database was lost or is older than the store: by what they tell of themselves."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from sqlmodel import select

import swapbed
from models.database import engine, reading, writing
from models.instances import define_instance, define_run
from models.states import InstanceState, RecordState, RunOutcome, RunState
from models.tables import Record, Run, Template
from models.tables.columns import now
from models.templates import project_named
from storage.roots import RootKind
from storage.store import Store
from swapbed import deletion, record_verbs, templates
from swapbed.sources.source import evaluated
from tasks.records import POLICY, write_content
from tests.swapbed.conftest import Cli

SOURCE = "parameters: {COUNT: {default: 1, type: integer}}\nnodes: {a: }\ndescription: version %d\n"


@pytest.fixture
def versions(tmp_path: Path, state_dir: Path) -> list[Template]:
    """study@1 to study@4, one after the other, each with another source; the last has another datastore, too."""
    place = tmp_path / "study"
    (place / "datastore").mkdir(parents=True)
    (place / "datastore" / "file").write_text("kept")
    (place / "study.yml").write_text(SOURCE % 1)
    made = [templates.create(place).template]
    work, _ = templates.checkout("study", tmp_path / "work")
    for version in (2, 3, 4):
        (work / "study.yml").write_text(SOURCE % version)
        if version == 4:
            (work / "datastore" / "more").write_text("more")
        made.append(templates.commit(work).template)
    return made


def recorded(template: Template, room: Path, *, runs: int = 1, commits: bool = True) -> list[str]:
    """Ids of records of the runs of an instance that has ended. commits: as committing does, else short of its last step."""
    with writing() as session:
        project = project_named(session, "default")
        spec = evaluated(template.source_name and _source(template, room))[1].spec
        instance = define_instance(session, project, template, spec, created_by="ann", name=f"net{template.number}")
        made = []
        for number in range(1, runs + 1):
            run = define_run(session, instance, created_by="ann", parameters={"COUNT": str(number)})
            run.state, run.outcome, run.began_at, run.ended_at, run.begin_ns, run.end_ns = RunState.OVER, RunOutcome.OK, now(), now(), 0, 5
            record = Record(project_id=project.id, run_id=run.id, created_by="ann", summary={"placement": {"a": "here"}, "left_out": []})
            session.add(record)
            session.flush()
            made.append(record)
        instance.state, instance.ended_at = InstanceState.DESTROYED, now()
    store = Store.of()
    for record in made:
        content = room / record.id
        content.mkdir(parents=True)
        write_content(record, content)
        stored = store.store_tree(content, POLICY)
        store.pin(RootKind.RECORD, record.id, stored.manifest)
        if commits:
            with writing() as session:
                row = session.get_one(Record, record.id)
                row.state, row.root, row.committed_at = RecordState.FINAL, stored.hash, now()
    return [record.id for record in made]


def _source(template: Template, room: Path) -> Path:
    room.mkdir(exist_ok=True)
    (room / template.source_name).write_text(template.source or "")
    return room / template.source_name


def lose(state_dir: Path, backup: Path | None = None) -> None:
    engine().dispose()
    engine.cache_clear()
    for path in state_dir.glob("swapbed.db*"):
        path.unlink()
    if backup is not None:
        shutil.copy(backup, state_dir / "swapbed.db")


def test_records_are_listed_again_with_runs_and_templates(versions: list[Template], state_dir: Path, tmp_path: Path, cli: Cli) -> None:
    first = recorded(versions[1], tmp_path / "1", runs=2)
    second = recorded(versions[3], tmp_path / "2")
    with reading() as session:
        roots = {row.id: row.root for row in session.exec(select(Record))}
    lose(state_dir)
    told = cli("store", "rebuild", "--yes", "--format", "json").parsed
    assert (told["records"], told["templates"], told["unlisted"]) == (3, 2, [])
    assert {one.id: one.known.row.root for one in swapbed.records()} == roots
    assert [(one.known.name, one.parameters["COUNT"], one.outcome) for one in swapbed.records()] == [
        ("net2/1", "1", "ok"), ("net2/2", "2", "ok"), ("net4/1", "1", "ok")]
    assert [(entry.label, entry.tombstone) for entry in templates.log(hidden=True) if entry.tombstone is None] == [
        ("study@2", None), ("study-2@2", None)], "of the others nothing is left but a hash"
    found = templates.find(versions[3].digest)
    assert (found.source, found.datastore, found.created_by) == (versions[3].source, versions[3].datastore, "ann")
    place, _ = templates.checkout(found.id, tmp_path / "again")
    assert (place / "datastore" / "more").read_text() == "more"
    assert cli("record", "export", "net2/2", "out.tar").returncode == 0 and cli("event", "ls", "net2").returncode == 0
    assert "net2/2" in cli("search", "COUNT = 2").stdout and cli("record", "show", first[0]).returncode == 0
    assert cli("store", "rebuild", "--yes", "--format", "json").parsed["records"] == 0, "a second time, it changes nothing"
    assert len(swapbed.records()) == 3 and second[0] in cli("record", "ls", "net4").stdout


def test_without_roots_too(versions: list[Template], state_dir: Path, tmp_path: Path, cli: Cli) -> None:
    recorded(versions[0], tmp_path / "1")
    lose(state_dir)
    shutil.rmtree(state_dir / "store" / "roots")
    told = cli("store", "rebuild", "--yes", "--format", "json").parsed
    assert told["recovered"] == 3 and (told["records"], told["templates"]) == (1, 1)
    (record,) = swapbed.records()
    assert record.known.row.files == len(record.files) and record.known.row.size_bytes > 500
    assert swapbed.store.usage("template:study@1").own_bytes and swapbed.store.check().whole
    assert {root.kind for root in Store.of().roots()} == {RootKind.RECORD, RootKind.TEMPLATE, RootKind.RECOVERED}


def test_a_database_that_is_older(versions: list[Template], state_dir: Path, tmp_path: Path, cli: Cli) -> None:
    """What it knows stays as it is; a record that it has uncommitted is the store's, as the run's files are gone."""
    kept = recorded(versions[0], tmp_path / "1")
    waiting = recorded(versions[1], tmp_path / "2", commits=False)
    deletion.delete_("template:study@4")
    swapbed.annotate("record:net1", quality="good")
    engine().dispose()
    shutil.copy(state_dir / "swapbed.db", tmp_path / "backup")
    later = recorded(versions[2], tmp_path / "3")
    lose(state_dir, tmp_path / "backup")
    told = cli("store", "rebuild", "--yes", "--format", "json").parsed
    assert (told["records"], told["templates"], told["unlisted"]) == (2, 0, [])
    assert [one.id for one in swapbed.records()] == [*kept, *waiting, *later]
    assert {one.state for one in swapbed.records()} == {"final"} and swapbed.notes("record:net1") == {"quality": "good"}
    assert record_verbs.find(later[0]).run.template_id == versions[2].id and templates.find("study@4").source is None


def test_a_record_that_tells_nothing_is_named(versions: list[Template], state_dir: Path, tmp_path: Path, cli: Cli) -> None:
    recorded(versions[0], tmp_path / "1")
    (tmp_path / "odd").mkdir()
    (tmp_path / "odd" / "record.json").write_text(json.dumps({"format": 1}))
    store = Store.of()
    store.pin(RootKind.RECORD, "rec-odd", store.store_tree(tmp_path / "odd").manifest)
    lose(state_dir)
    said = cli("store", "rebuild", "--yes")
    assert said.returncode == 8 and "rec-odd" in said.stdout and len(swapbed.records()) == 1
    with reading() as session:
        assert len(session.exec(select(Run)).all()) == 1
