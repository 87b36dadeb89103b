"""Lists of what there is much of: the newest, a line that says how to see more, and no more of the database read than is shown."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks import workbench
from models.database import writing
from models.states import RecordState
from models.tables import Record
from swapbed import record_verbs, templates
from tests.swapbed.conftest import Cli

TEMPLATES, RUNS = 150, 400


@pytest.fixture
def much(state_dir: Path) -> None:
    workbench.fill(TEMPLATES, RUNS)


def test_records_are_the_newest_and_the_rest_is_counted(much: None, cli: Cli) -> None:
    said = cli("record", "ls", "-n", "10", "--format", "json")
    assert [one["run"] for one in said.parsed] == list(range(91, 101)) and {one["instance"] for one in said.parsed} == {"net3"}
    assert f"the newest 10 of {RUNS} records" in said.stderr and f"-n {RUNS}" in said.stderr
    whole = cli("record", "ls", "net1", "--format", "json")
    assert len(whole.parsed) == 100 and whole.stderr == ""
    assert len(json.loads(cli("record", "ls", "-n", "1000", "--format", "json").stdout)) == RUNS == record_verbs.count_of()


def test_what_is_found_beyond_what_is_shown_is_told(much: None, cli: Cli) -> None:
    said = cli("search", "throughput >= 0", "-n", "10", "--format", "json")
    assert [one["run"] for one in said.parsed] == list(range(100, 90, -1)) and "the newest 10 of more" in said.stderr
    assert cli("search", "throughput >= 0", "-n", str(RUNS)).stderr == ""
    assert "the newest 1 of more" in cli("search", "by = root", "-n", "1", "--kind", "template").stderr


def test_of_revisions_the_newest_is_listed(much: None) -> None:
    with writing() as session:
        first = session.get_one(Record, "rec-0000000399")
        again: dict[str, Any] = first.model_dump(exclude={"id"}) | {"revision": 2, "amends_id": first.id}
        session.add(Record(id="rec-amended000", **again))
    assert [known.row.id for known in record_verbs.all_of(limit=1)] == ["rec-amended000"]
    assert record_verbs.count_of() == RUNS and record_verbs.count_of(revisions=True) == RUNS + 1
    assert {known.row.revision for known in record_verbs.all_of("net3", revisions=True)} == {1, 2}
    assert all(known.row.state is RecordState.FINAL for known in record_verbs.all_of("net3"))


def test_a_long_log_is_cut_and_says_so(much: None, cli: Cli) -> None:
    said = cli("template", "log", "-n", "20")
    assert len(said.stdout.splitlines()) == 20 and f"{TEMPLATES - 20} more of {TEMPLATES} templates" in said.stderr
    assert len(templates.log().text().splitlines()) == TEMPLATES
