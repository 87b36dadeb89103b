"""Files added to records and removed from them by command: nothing leads out of the record, whatever a program of the run left in it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from sqlmodel import func, select

from models.database import reading, writing
from models.instances import define_instance, define_run
from models.spec import Node, Spec
from models.states import InstanceState, RecordState, RunState, TransferState
from models.tables import Record, Run, Template
from models.tables.catalog import Transfer
from models.tables.columns import now
from models.templates import project_named
from storage.roots import RootKind
from storage.store import Store
from swapbed import record_verbs, templates
from swapbed.controller.committing import records_to_finalize
from tests.swapbed.conftest import Cli

ARCHIVE = "nodes/a/archive"


@pytest.fixture
def record(tmp_path: Path, state_dir: Path) -> Path:
    """net/1, a final record with a file, and with a link to a directory of the host, which is returned."""
    host = tmp_path / "host"
    host.mkdir()
    (host / "passwd").write_text("the host's own")
    (tmp_path / "left" / ARCHIVE).mkdir(parents=True)
    (tmp_path / "left" / ARCHIVE / "out").write_text("kept")
    (tmp_path / "left" / ARCHIVE / "outside").symlink_to(host)
    (tmp_path / "study.yml").write_text("nodes: {a: }\n")
    template = templates.create(tmp_path / "study.yml").template
    with writing() as session:
        project = project_named(session, "default")
        instance = define_instance(session, project, session.get_one(Template, template.id), Spec(nodes=(Node(name="a"),)),
                                   created_by="root", name="net")
        run = define_run(session, instance, created_by="root")
        run.state, instance.state, instance.ended_at = RunState.OVER, InstanceState.DESTROYED, now()
    with Store.of() as store:
        stored = store.store_tree(tmp_path / "left")
        with writing() as session:
            row = Record(project_id=project.id, run_id=run.id, root=stored.hash, state=RecordState.FINAL, created_by="root")
            session.add(row)
        store.pin(RootKind.RECORD, row.id, stored.manifest)
    return host


def paths(name: str) -> set[str]:
    return {file.path for file in record_verbs.files(record_verbs.find(name).row)}


def test_a_link_in_a_record_leads_to_nothing_of_the_host(record: Path, cli: Cli, tmp_path: Path) -> None:
    said = cli("record", "rm", "net/1", f"{ARCHIVE}/outside/passwd")
    assert said.returncode == 4 and "no such file" in said.stderr
    (tmp_path / "dir").mkdir()
    (tmp_path / "dir" / "sub").symlink_to(record)
    assert cli("record", "add", "net/1", str(tmp_path / "dir")).returncode == 0
    (tmp_path / "dir" / "sub").unlink()
    (tmp_path / "dir" / "sub").mkdir()
    (tmp_path / "dir" / "sub" / "passwd").write_text("mine")
    said = cli("record", "add", "net/1", str(tmp_path / "dir" / "sub" / "passwd"), "--as", "dir/sub/passwd")
    assert said.returncode == 3 and "symbolic link is in the way" in said.stderr
    assert cli("record", "add", "net/1", str(tmp_path / "dir")).returncode == 0, "the directory takes the link's place"
    assert "added/dir/sub/passwd" in paths("net/1")
    assert cli("record", "rm", "net/1", f"{ARCHIVE}/outside").returncode == 0 and f"{ARCHIVE}/outside" not in paths("net/1")
    assert (record / "passwd").read_text() == "the host's own" and [path.name for path in record.iterdir()] == ["passwd"]


def test_what_cannot_be_added_is_refused_by_name(record: Path, cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "note").write_text("a remark")
    assert cli("record", "add", "net/1", str(tmp_path / "note"), "--as", "notes/one").returncode == 0
    before = paths("net/1")
    (tmp_path / "odd").mkdir()
    os.mkfifo(tmp_path / "odd" / "pipe")
    for words, code, said in ((("note", "--as", "notes"), 3, "a directory of that name"),
                              (("note", "--as", "notes/one/two"), 3, "in the way"), (("note", "--as", "../out"), 3, "no path within"),
                              (("note", "--as", "x" * 300), 6, "name too long"), (("odd",), 3, "odd/pipe"),
                              (("none",), 4, "no such file")):
        found = cli("record", "add", "net/1", str(tmp_path / words[0]), *words[1:])
        assert found.returncode == code and said in found.stderr.lower(), (words, found)
    assert paths("net/1") == before


def test_nothing_waits_for_what_was_not_needed(record: Path, cli: Cli, tmp_path: Path) -> None:
    """Adding what is there already makes no revision; expunging does not wait an hour for it."""
    (tmp_path / "note").write_text("a remark")
    for _ in range(2):
        assert cli("record", "add", "net/1", str(tmp_path / "note")).returncode == 0
    with reading() as session:
        assert session.exec(select(func.max(Record.revision))).one() == 2
        open_ones = select(func.count()).select_from(Transfer).where(Transfer.state == TransferState.OPEN)
        assert session.exec(open_ones).one() == 0


def test_a_record_named_by_its_run_is_all_its_revisions(record: Path, cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "note").write_text("a remark")
    assert cli("record", "add", "net/1", str(tmp_path / "note")).returncode == 0
    first, second = [known.row.id for known in record_verbs.all_of(revisions=True)]
    assert cli("hide", second).returncode == 0
    assert [known.row.id for known in record_verbs.all_of()] == [first], "by its id, that one alone"
    assert cli("hide", "record:net/1").returncode == 0 and record_verbs.all_of() == []
    assert cli("delete", "record:net/1", "--yes").returncode == 0
    with reading() as session:
        run = session.exec(select(Run)).one()
        assert [row.root for row in session.exec(select(Record).where(Record.run_id == run.id))] == [None, None]


def test_where_the_newest_revision_is_gone_the_one_before_it_is_found(record: Path, cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "note").write_text("a remark")
    assert cli("record", "add", "net/1", str(tmp_path / "note")).returncode == 0
    first, second = [known.row.id for known in record_verbs.all_of(revisions=True)]
    assert [known.row.id for known in record_verbs.all_of()] == [second] and record_verbs.find("net/1").row.id == second
    assert cli("delete", second, "--yes").returncode == 0
    assert [known.row.id for known in record_verbs.all_of()] == [first] and record_verbs.find("net/1").row.id == first
    assert cli("delete", first, "--yes").returncode == 0
    assert [known.row.id for known in record_verbs.all_of()] == [second] and record_verbs.count_of() == 1


def test_an_open_record_that_was_deleted_is_never_closed(record: Path, cli: Cli) -> None:
    """The controller would try for ever."""
    with writing() as session:
        row = session.exec(select(Record)).one()
        row.state, row.window_closes_at = RecordState.OPEN, now()
    assert records_to_finalize() == [row.id]
    assert cli("delete", "record:net/1", "--yes").returncode == 0
    assert records_to_finalize() == []
    assert cli("record", "show", "net/1", "--format", "json").parsed["state"] == "expunged"
    assert "expunged" in cli("record", "ls").stdout
    said = cli("replay", "net/1")
    assert said.returncode == 4 and "expunged" in said.stderr
