"""Metadata with their history, and finding runs by them, by parameters, outcome and time."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Engine
from sqlmodel import col, select
from typer.testing import CliRunner

import swapbed
from models.database import writing
from models.errors import InvalidInput, NotFound
from models.instances import define_instance, define_run
from models.spec import Node, Parameter, Spec
from models.states import RunOutcome, RunState
from models.tables import Instance, Record, Run
from models.templates import add_template, project_named
from swapbed import metadata
from swapbed.cli.tree import app
from swapbed.searching.language import All, Any_, Condition, Not, meets, parse

BEGAN = datetime(2026, 11, 20, 12, tzinfo=UTC)


def command(*words: str) -> Any:
    said = CliRunner().invoke(app, [*words, "--format", "json"], catch_exceptions=False)
    assert said.exit_code == 0, said.output
    return json.loads(said.stdout)


@pytest.fixture
def runs(database: Engine) -> None:
    """net/1 to net/4: DELAY 5ms, 0.01s, 20ms, 1s; the odd ones are ok, the even ones failed; run N begins N hours later and takes N s."""
    spec = Spec(nodes=(Node(name="a"),), parameters=(Parameter(name="DELAY", default="5ms", value="5ms"),))
    with writing(database) as session:
        project = project_named(session, "default")
        template = add_template(session, project, name="study", language="yaml", source="x", source_name="x.yml", created_by="root")
        instance = define_instance(session, project, template, spec, created_by="root", name="net")
        for number, delay in enumerate(("5ms", "0.01s", "20ms", "1s"), start=1):
            run = define_run(session, instance, created_by="eve", parameters={"DELAY": delay})
            run.state, run.outcome = RunState.OVER, RunOutcome.OK if number % 2 else RunOutcome.FAILED
            run.began_at, run.begin_ns, run.end_ns = BEGAN + timedelta(hours=number), 0, number * 10**9
            session.flush()
        session.add(Record(project_id=project.id, run_id=run.id, created_by="root"))


QUERIES = [
    ("DELAY > 10ms", {3, 4}), ("DELAY >= 10ms", {2, 3, 4}), ("param.DELAY = 0.005s", {1}), ("DELAY != 20ms", {1, 2, 4}),
    ("DELAY > 8ms and outcome = ok", {3}), ("outcome = failed or DELAY = 5ms", {1, 2, 4}), ("not (outcome = ok or run = 2)", {4}),
    ("not nothing = x", {1, 2, 3, 4}), ("lasted > 2s and lasted <= 3", {3}), ("began >= '2026-11-20 15:00'", {3, 4}),
    ("ended > 2026-11-20", set()), ("template = study and instance ~ NE", {1, 2, 3, 4}), ("DELAY = 10Mb", set()),
    ("by = eve and run < 2", {1}), ("lasted < inf and lasted > -1e40", {1, 2, 3, 4}), ("lasted > 1e30", set()),
    ("DELAY = \"'; DROP TABLE run; --\"", set()), ("state = over", {1, 2, 3, 4})]


def test_queries(runs: None) -> None:
    assert [(query, {found.run for found in swapbed.search(query)}) for query, _ in QUERIES] == QUERIES


def test_metadata_are_found_wherever_they_hang(runs: None) -> None:
    swapbed.annotate("run:net/2", quality="good", score=7)
    swapbed.annotate("record:net/4", quality="good")
    assert {found.run for found in swapbed.search("quality = good")} == {2, 4}
    assert {found.run for found in swapbed.search("not meta.quality = good")} == {1, 3}
    assert [found.run for found in swapbed.search("score > 6.5")] == [2]
    swapbed.annotate("template:study@1", quality="bad")
    assert len(swapbed.search("quality = bad")) == 4 and [found.run for found in swapbed.search("quality = bad", limit=1)] == [4]


REPORTED: list[dict[str, str]] = [
    {"speed": "5e6", "name": "fast"}, {"speed": "6e6", "odd%name": "1", "größe\\": "2"},
    {"left.speed": "4e6", "right.speed": "7e6", "wait": "20ms", "loss": "nan", "p99(ms)": "3", 'say "x"': "1"}, {}]
BY_RESULT = [
    ("speed > 5e6", {2, 3}), ("result.speed = 5000000", {1}), ("left.speed < 5e6", {3}), ("result.right.speed < 5e6", set()),
    ("speed > 4500000 and speed < 5.5e6", {1, 3}), ("not result.speed ~ ''", {4}), ("wait >= 0.02s and outcome = ok", {3}),
    ("name ~ FAS", {1}), ("odd%name = 1", {2}), ("loss = nan and not loss > 0", {3}), ("größe\\ = 2", {2}),
    ("'p99(ms)' > 2 and result.wait > 1ms", {3}), ("\"result.p99(ms)\" < 3", set()), ("'say \"x\"' = 1", {3}), ("\"'\" = 1", set()),
    ("eed > 1", set()),
    ("meta.speed > 1 or param.speed > 1", set()), ("result.DELAY = 5ms", set())]


def test_runs_are_found_by_what_their_agents_reported(runs: None) -> None:
    with writing() as session:
        session.delete(session.exec(select(Record)).one())
        for run, results in zip(session.exec(select(Run).order_by(col(Run.number))), REPORTED, strict=True):
            project_id = session.get_one(Instance, run.instance_id).project_id
            session.add(Record(project_id=project_id, run_id=run.id, created_by="root", summary={"results": results, "left_out": []}))
    assert [(query, {found.run for found in swapbed.search(query)}) for query, _ in BY_RESULT] == BY_RESULT
    assert [found["results"] for found in command("search", "speed > 5e6")] == [REPORTED[2], REPORTED[1]]
    said = CliRunner().invoke(app, ["search", "run = 2"]).stdout
    assert "speed=6e6" in said and "DELAY=0.01s" in said


def test_a_hidden_record_is_not_shown_nor_told_of(runs: None) -> None:
    with writing() as session:
        record = session.exec(select(Record)).one()
        record.summary, record.hidden_at = {"results": {"speed": "1"}}, BEGAN
    swapbed.annotate(f"record:{record.id}", quality="good")
    assert [(found.record, found.results) for found in swapbed.search("run = 4")] == [(None, {})]
    for query in ("speed = 1", "quality = good"):
        assert swapbed.search(query) == [] and [found.record for found in swapbed.search(query, hidden=True)] == [record.id]


def test_a_name_that_nothing_has_is_told_where_nothing_is_found(runs: None) -> None:
    with writing() as session:
        session.exec(select(Record)).one().summary = {"results": {"left.speed": "1"}}

    def told(*words: str) -> list[str]:
        said = CliRunner().invoke(app, ["search", *words, "--format", "json"], catch_exceptions=False)
        assert (said.exit_code, json.loads(said.stdout)) == (0, [])
        return said.stderr.splitlines()

    assert told("sped > 5 and not DELAY > 1ms") == ["nothing here is named 'sped'. Did you mean 'speed'?"]
    assert told("'param.\"' = 1", "--kind", "instance")[0].startswith("nothing here is named 'param.\"'")
    assert told("speed > 5 and result.left.speed > 5 and param.DELAY = 1h and lasted > 1h") == []
    assert told("purpos = x", "--kind", "template")[0].startswith("nothing here is named 'purpos'. Known are: ")
    swapbed.annotate("template:study@1", purpose="thesis")
    assert told("purpos = x", "--kind", "template") == ["nothing here is named 'purpos'. Did you mean 'purpose'?"]
    assert told("DELAY = x", "--kind", "instance") == ["nothing here is named 'DELAY'. Did you mean 'param.DELAY'?"]


def test_what_an_expunged_revision_reported_is_told_by_one_that_is_there(runs: None) -> None:
    with writing() as session:
        first = session.exec(select(Record)).one()
        first.summary = {"results": {"speed": "1"}}
        session.add(Record(project_id=first.project_id, run_id=first.run_id, revision=2, created_by="root", expunged_at=BEGAN))
    assert [(found.record, found.results) for found in swapbed.search("speed = 1")] == [(first.id, {"speed": "1"})]


def test_notes_change_and_their_history_stays(runs: None) -> None:
    assert command("meta", "set", "instance:net", "name=first", "why=to see") == {"name": "first", "why": "to see"}
    command("meta", "set", "instance:net", "name=second")
    command("meta", "set", "instance:net", "name=second")
    assert command("meta", "rm", "instance:net", "why") == {"name": "second"} == command("meta", "show", "instance:net")
    told = [(change["key"], change["before"], change["after"]) for change in command("meta", "history", "instance:net")]
    assert told == [("name", None, "first"), ("why", None, "to see"), ("name", "first", "second"), ("why", "to see", None)]
    assert all(change.changed_by and change.changed_at for change in metadata.history("instance:net"))
    assert [one["instance"] for one in command("search", "name = second")] == ["net"] * 4


NO_SUBJECTS: list[tuple[str, type[Exception]]] = [
    ("net", InvalidInput), ("run:net/9", NotFound), ("run:net/x", InvalidInput), ("instance:none", NotFound), ("record:net/1", NotFound),
    ("template:none", NotFound), ("record:", InvalidInput), ("rec-unknown", NotFound)]


def test_what_is_not_there_and_what_is_no_key_change_nothing(runs: None) -> None:
    for subject, error in NO_SUBJECTS:
        with pytest.raises(error):
            swapbed.annotate(subject, a="b")
    with pytest.raises(InvalidInput, match="cannot be a key"):
        swapbed.annotate("run:net/1", {"good": "1", "no spaces": "2"})
    assert swapbed.notes("run:net/1") == {}


NO_QUERIES = ["", "DELAY", "DELAY >", "= 3", "a = 1 and", "(a = 1", "a = 1)", "a = 1 b = 2", "a == 1", "a = 'x",
              "not", "run ~ 1", "began > yesterday", "lasted > 3Mb", "run = x", "run = 1s", "lasted > nan",
              "began > 9999-12-31T23:59-14:00", "(" * 200 + "a=1" + ")" * 200]


def test_queries_that_are_none_say_where(runs: None) -> None:
    for query in NO_QUERIES:
        with pytest.raises(InvalidInput) as refused:
            swapbed.search(query)
        assert refused.value.where and refused.value.next, query


def test_how_a_query_binds() -> None:
    a, b, c = (Condition(name, "=", "1") for name in "abc")
    assert parse("a=1 or b=1 and not c=1") == Any_((a, All((b, Not(c)))))
    assert parse("( a = 1 or b = 1 ) AND c = '1'") == All((Any_((a, b)), c))


@given(st.integers(0, 10**9), st.integers(0, 10**9))
def test_units_do_not_matter(left: int, right: int) -> None:
    for sign, expected in (("<", left < right), (">=", left >= right), ("=", left == right)):
        assert meets(Condition("x", sign, f"{right}us"), f"{left / 1000:.3f}ms") == expected


def test_templates_and_instances_are_found_by_what_is_noted_on_them(runs: None) -> None:
    metadata.annotate("template:study@1", {"purpose": "thesis", "budget": "30s"})
    metadata.annotate("instance:net", {"room": "lab 3"})

    def found(kind: str, query: str) -> list[str]:
        return [one["name"] for one in command("search", query, "--kind", kind)]

    assert found("template", "purpose = thesis") == found("template", "meta.budget > 10s and by = root") == ["study@1"]
    assert found("template", "purpose = other") == found("template", "room ~ lab") == []
    assert found("instance", "room ~ LAB and template = study") == found("instance", "not room = x and state = defined") == ["net"]
    assert found("instance", "created < 2001-01-01") == [] and found("instance", "instance = net") == ["net"]
    assert command("search", "purpose = thesis", "--kind", "template")[0]["notes"] == {"purpose": "thesis", "budget": "30s"}
    said = CliRunner().invoke(app, ["search", "param.DELAY = 1ms", "--kind", "template"])
    assert isinstance(said.exception, InvalidInput)
