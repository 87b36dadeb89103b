"""Records: what a run leaves is put aside when it stops, and committed while the next run goes; nothing of that gets into it."""

from __future__ import annotations

import ctypes
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlmodel import col, select
from typer.testing import CliRunner

from flows import load
from flows.stop_run import end
from models.database import reading, writing
from models.errors import NotFound, SwapbedError, TimedOut
from models.instances import define_run
from models.manifest import FileKind
from models.protocol.conductor import RunInfo, Wait
from models.protocol.host import ProgramEnded, RunProgram
from models.settings import settings
from models.states import RecordState, RunOutcome
from models.tables import Instance, Record, Run
from models.tables.columns import now
from nodeops.linux import mount
from nodeops.session import HostSession
from storage.store import Store
from swapbed import record_verbs
from swapbed.cli.tree import app
from swapbed.controller.committing import records_to_finalize
from tasks.daemons import ask_conductor

MS_REMOUNT = 32
EXPERIMENT = """
parameters:
  GREETING: hello
nodes:
  a: {}
  b: {}
links:
  - {name: wire, endpoints: [a, b], delay: 5ms, trace: true}
agents:
  talker:
    node: a
    command: "echo $GREETING; echo RESULT speed 42; echo kept > $ARCHIVE/out; mkdir -p /data; echo x$RUN > /data/$RUN.dat; ping -c 1 b"
sequences:
  work:
    - talker run
on_start: work
collect: {a: ["/data/*.dat"]}
rules: {drop: ["nodes/*/archive/junk"]}
"""


pytestmark = pytest.mark.usefixtures("prefect_server", "state_dir")


@pytest.fixture
def living(define: Callable[..., Instance]) -> Iterator[Callable[[str], Instance]]:
    """living(source): an instance whose first run has done all that it does by itself; destroyed at the end."""
    made: list[Instance] = []

    def one(source: str = EXPERIMENT) -> Instance:
        made.append(define(source))
        load("instantiate")(made[-1].id)
        _quiet(made[-1])
        return made[-1]

    yield one
    for instance in made:
        load("destroy")(instance.id)


def _quiet(instance: Instance) -> None:
    ask_conductor(instance.id, "wait", Wait(until="quiet", timeout_s=20), RunInfo, timeout_s=30)


def _in_node(instance: Instance, command: str) -> bytes:
    with HostSession() as host:
        return host.do("run", RunProgram(instance=instance.id, node="a", command=command), ProgramEnded).stdout


def _runs(instance: Instance) -> list[Run]:
    with reading() as session:
        return list(session.exec(select(Run).where(Run.instance_id == instance.id).order_by(col(Run.number))))


def _record(run: Run) -> Record:
    with reading() as session:
        return session.exec(select(Record).where(Record.run_id == run.id)).one()


def _next_run(instance: Instance, **options: str) -> Run:
    with writing() as session:
        run = define_run(session, session.get_one(Instance, instance.id), created_by="test", **options)  # type: ignore[arg-type]
    load("start_run")(run.id)
    _quiet(instance)
    return run


def _files(record: Record) -> dict[str, bytes]:
    store = Store.of()
    assert record.root
    with store.read_tree(record.root) as tree:
        return {file.path: b"".join(tree.read(file.path)) for file in tree.walk() if file.kind is FileKind.FILE}


def test_what_a_record_holds(living: Callable[..., Instance]) -> None:
    instance = living()
    _in_node(instance, "echo no > /swapbed/archive/junk; mkfifo /swapbed/archive/pipe; ln -s /etc/shadow /swapbed/archive/link")
    (run,) = _runs(instance)
    load("stop_run")(run.id)
    record = _record(run)
    assert record.state is RecordState.FINAL
    files = _files(record)
    said = json.loads(files["record.json"])
    assert files["nodes/a/logs/talker/1.out"].startswith(b"hello\nRESULT speed 42\n")
    assert files["nodes/a/archive/out"] == b"kept\n" and files["nodes/a/files/data/1.dat"] == b"x1\n"
    assert (said["outcome"], said["parameters"], said["environment_of_run"]) == ("ok", {"GREETING": "hello"}, "inherit")
    assert said["dropped"] == ["nodes/a/archive/junk"] and "nodes/a/archive/junk" not in files
    assert set(said["placement"]) == {"a", "b"}
    kinds = [json.loads(line)["kind"] for line in files["events.jsonl"].splitlines()]
    assert kinds[0] == "run-began" and kinds[-1] == "run-ended" and "exited" in kinds
    (agent,) = json.loads(files["agents.json"])["agents"]
    assert (agent["agent"], agent["code"], agent["results"]) == ("talker", 0, {"speed": "42"})
    uplink = next(link for link in json.loads(files["links.json"])["links"] if (link["node"], link["direction"]) == ("a", "uplink"))
    assert uplink["in_frames"] > 0 and uplink["requested"]["delay_s"] > 0
    assert any(name.startswith("traces/wire") for name in files)
    assert json.loads(files["surroundings.json"])["kernel"]
    assert files["source/pair.yml"].decode() == EXPERIMENT and json.loads(files["spec.json"])["nodes"]
    everything = b"".join(content for name, content in files.items() if not name.startswith("traces/"))
    for foreign in (instance.id, run.id, record.id, str(settings().state_dir)):
        assert foreign.encode() not in everything
    assert record.summary["results"] == {"speed": "42"}
    assert not list((settings().state_dir / "spool" / "runs").iterdir())


def test_everything_that_a_run_changed(living: Callable[..., Instance]) -> None:
    instance = living(EXPERIMENT.replace('collect: {a: ["/data/*.dat"]}', "collect: all"))
    _in_node(instance, "rm /etc/hostname; echo x > /data/new; mkfifo /data/pipe /swapbed/archive/pipe")
    (run,) = _runs(instance)
    load("stop_run")(run.id)
    files = _files(_record(run))
    assert files["nodes/a/files/data/new"] == b"x\n" and files["nodes/a/removed"] == b"/etc/hostname\n" and "nodes/b/removed" not in files
    assert not [name for name in files if name.startswith("nodes/a/files/swapbed/archive")]
    assert [what.rpartition(":")[0] for what in json.loads(files["record.json"])["left_out"]] == ["a: archive/pipe", "a: data/pipe"]


def test_a_program_that_keeps_a_log_open_through_the_next_run_does_not_change_the_record(living: Callable[..., Instance]) -> None:
    instance = living()
    log = settings().instances_dir / instance.id / "upper/a/swapbed/logs/talker/1.out"
    loop = "exec >>/swapbed/logs/talker/1.out; echo begun; while :; do echo line; sleep 0.01; done"
    with HostSession() as host:  # `exec`, which no run's end concerns
        writer = host.popen(["exec", instance.id, "a", "--", "sh", "-c", loop])
    try:
        _until(lambda: b"begun" in log.read_bytes())
        (first,) = _runs(instance)
        end(first.id)
        at_the_stop = (settings().state_dir / "spool/runs" / first.id / "content/nodes/a/logs/talker/1.out").read_bytes()
        _next_run(instance)
        _until(lambda: log.stat().st_size > 2 * len(at_the_stop))  # it goes on writing
        load("finalize_record")(_record(first).id)
        assert _files(_record(first))["nodes/a/logs/talker/1.out"] == at_the_stop and b"line" in at_the_stop
    finally:
        writer.kill()
        writer.wait()


def _until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline, "did not happen in time"
        time.sleep(0.02)


def test_an_archive_that_the_next_run_overwrites_does_not_change_the_record(living: Callable[..., Instance]) -> None:
    instance = living()
    (first,) = _runs(instance)
    end(first.id)
    second = _next_run(instance)
    _in_node(instance, "printf CHANGED | dd of=/swapbed/archive/out conv=notrunc")
    end(second.id)
    for run in (second, first):
        load("finalize_record")(_record(run).id)
    assert _files(_record(first))["nodes/a/archive/out"] == b"kept\n"
    assert _files(_record(second))["nodes/a/archive/out"] == b"CHANGED"
    assert set(_files(_record(second))) >= {"nodes/a/logs/talker/1.out", "nodes/a/files/data/1.dat", "nodes/a/files/data/2.dat"}


def test_a_fresh_run_finds_nodes_as_after_instantiation(living: Callable[..., Instance]) -> None:
    instance = living()
    (first,) = _runs(instance)
    load("stop_run")(first.id)
    second = _next_run(instance, environment_of_run="fresh")
    assert _in_node(instance, "cd /data; ls").split() == [b"2.dat"]
    load("stop_run")(second.id)
    files = _files(_record(second))
    assert json.loads(files["record.json"])["environment_of_run"] == "fresh" and _runs(instance)[1].outcome == "ok"
    assert "nodes/a/files/data/1.dat" not in files and b"1 received" in files["nodes/a/logs/talker/1.out"]


def test_a_full_disk_keeps_the_data_and_the_commit_can_be_tried_again(living: Callable[..., Instance]) -> None:
    instance = living()
    _in_node(instance, "head -c 3000000 /dev/urandom > /swapbed/archive/noise")
    (run,) = _runs(instance)
    small = settings().state_dir / "store"
    small.mkdir(exist_ok=True)
    mount("tmpfs", small, "tmpfs", options="size=1m")
    try:
        assert load("stop_run")(run.id)["outcome"] == RunOutcome.OK, "the run is over all the same"
        assert _record(run).state is RecordState.COMMITTING and _record(run).reason
        with pytest.raises(SwapbedError):
            load("finalize_record")(_record(run).id)
        failed = _record(run)
        assert failed.state is RecordState.COMMITTING and failed.reason and failed.root is None
        _seen_as_waiting(failed)
        load("destroy")(instance.id)  # not even the instance is needed
        mount("tmpfs", small, None, MS_REMOUNT, "size=64m")
        load("finalize_record")(failed.id)
        assert len(_files(_record(run))["nodes/a/archive/noise"]) == 3_000_000 and _record(run).reason is None
    finally:
        _unmount(small)


def _seen_as_waiting(record: Record) -> None:
    """On the command line; and the controller knows that it is to be tried again."""
    shown = CliRunner().invoke(app, ["record", "ls", "--format", "json"], catch_exceptions=False).stdout
    assert [(one["id"], one["state"], one["reason"]) for one in json.loads(shown)] == [(record.id, "committing", record.reason)]
    assert "space" in str(record.reason).lower() or "full" in str(record.reason).lower()
    with pytest.raises(NotFound, match="the record is committing: "):
        record_verbs.files(record)
    with pytest.raises(TimedOut, match="is not committed"):
        record_verbs.of_run(record.run_id, timeout_s=0)
    assert records_to_finalize() == [record.id]


def _unmount(place: Path) -> None:
    assert ctypes.CDLL(None).umount2(str(place).encode(), 0) == 0


def test_an_open_record_becomes_final_by_its_rules_when_its_window_closes(living: Callable[..., Instance]) -> None:
    instance = living(EXPERIMENT.replace('rules: {', 'rules: {window: 1h, '))
    _in_node(instance, "echo no > /swapbed/archive/junk")
    (run,) = _runs(instance)
    load("stop_run")(run.id)
    assert load("finalize_record")(_record(run).id)["state"] == RecordState.OPEN, "its window does not close yet"
    assert "nodes/a/archive/junk" in _files(_record(run))
    with writing() as session:
        session.get_one(Record, _record(run).id).window_closes_at = now()
    assert load("finalize_record")(_record(run).id)["state"] == RecordState.FINAL
    files = _files(_record(run))
    assert "nodes/a/archive/junk" not in files and "nodes/a/archive/out" in files
    assert json.loads(files["record.json"])["dropped"] == ["nodes/a/archive/junk"]


def test_what_is_cut_short_by_the_end_of_its_instance_is_recorded(define: Callable[..., Instance]) -> None:
    instance = define(EXPERIMENT.replace("ping -c 1 b", "sleep 600"))
    load("instantiate")(instance.id)
    load("destroy")(instance.id)
    (run,) = _runs(instance)
    load("finalize_record")(_record(run).id)
    assert b"run-ended" in _files(_record(run))["events.jsonl"] and _record(run).state is RecordState.FINAL
