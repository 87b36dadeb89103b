"""Instances on hosts that are reached over SSH, each with a state directory of its own: recorded, swapped, brought back elsewhere."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlmodel import select

from flows import load
from models.checkpoints import checkpoint_by_id, checkpoints_of, define_fork
from models.database import reading, writing
from models.errors import HostProblem
from models.hosts import find_host
from models.instances import current_run, placements
from models.protocol.host import ProgramEnded, RunProgram
from models.protocol.runs import Links
from models.recorded import Recorded
from models.settings import settings
from models.states import CheckpointState, HostState, InstanceState, RecordState
from models.tables import Host, Instance, Record, Template
from nodeops.session import HostSession
from storage.roots import RootKind
from storage.store import Store
from tasks.sessions import HostReference
from tests.flows.dying import dies
from tests.flows.test_swap import EXPERIMENT
from tests.ssh_hosts import first_in_path, ssh_hosts

pytestmark = [pytest.mark.usefixtures("prefect_server", "far_hosts"), pytest.mark.timeout(300)]


@pytest.fixture
def far_hosts(state_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Path]]:
    """`here`, `far` and `farther`, and their state directories. Nothing of any instance may be left there."""
    places = {name: state_dir.with_name(f"{state_dir.name}-{name}") for name in ("far", "farther")}
    with ssh_hosts(tmp_path, **places) as commands:
        monkeypatch.setenv("PATH", first_in_path(commands))
        with writing() as session:
            session.add(Host(name="here"))
            session.add_all(Host(name=name, address=name, python=str(tmp_path / f"{name}.python")) for name in places)
        yield {"here": state_dir, **places}
    left = [path for place in places.values() for room in ("instances", "spool/checkpoints", "spool/datastores")
            if (place / room).is_dir() for path in (place / room).iterdir()]
    for place in places.values():
        shutil.rmtree(place, ignore_errors=True)
    assert not left


def chosen(instance: Instance, host: str) -> Instance:
    """To be on that host."""
    with writing() as session:
        session.get_one(Instance, instance.id).home_id = find_host(session, host).id
    return instance


def where(instance: Instance) -> set[str]:
    with reading() as session:
        return {session.get_one(Host, place.host_id).name for place in placements(session, instance.id)}


def said(instance: Instance, command: str, node: str = "a") -> str:
    with reading() as session:
        home = session.get_one(Instance, instance.id).home_id
        transport = HostReference.of(session.get_one(Host, home)).transport()
    with HostSession(transport) as host:
        return host.do("run", RunProgram(instance=instance.id, node=node, command=command), ProgramEnded).stdout.decode()


def record_of(instance: Instance) -> tuple[Record, Recorded]:
    """Of its run, which ends with this."""
    with reading() as session:
        run = current_run(session, instance.id)
    assert run is not None
    load("stop_run")(run.id)
    with reading() as session:
        record = session.exec(select(Record).where(Record.run_id == run.id)).one()
    return record, Recorded.model_validate_json(Store.of().read_file(record.root or "", "record.json"))


def test_files_go_there_and_the_record_comes_from_there(define: Callable[..., Instance], tmp_path: Path,
                                                        far_hosts: dict[str, Path]) -> None:
    instance = chosen(define(EXPERIMENT), "far")
    (tmp_path / "files").mkdir()
    (tmp_path / "files" / "greeting").write_text("hello\n")
    with Store.of() as store:
        stored = store.store_tree(tmp_path / "files")
        store.pin(RootKind.TEMPLATE, instance.template_id, stored.manifest)
    with writing() as session:
        session.get_one(Template, instance.template_id).datastore = stored.hash
    load("instantiate")(instance.id)
    assert where(instance) == {"far"} and not (far_hosts["here"] / "instances").exists()
    assert said(instance, "cat /swapbed/datastore/greeting; echo kept > /swapbed/archive/file") == "hello\n"
    record, recorded = record_of(instance)
    assert record.state is RecordState.FINAL and recorded.placement == {"a": "far", "b": "far"} and not recorded.left_out
    assert Store.of().read_file(record.root or "", "nodes/a/archive/file") == b"kept\n"
    load("destroy")(instance.id)
    assert not list((far_hosts["far"] / "spool" / "runs").iterdir()) and not list((settings().state_dir / "spool" / "runs").iterdir())
    with reading() as session:
        assert session.get_one(Instance, instance.id).state is InstanceState.DESTROYED


@pytest.fixture
def up(define: Callable[..., Instance]) -> Iterator[Instance]:
    """On `far`, and nowhere when the test is over."""
    instance = chosen(define(EXPERIMENT), "far")
    load("instantiate")(instance.id)
    yield instance
    load("destroy")(instance.id)


def spooled(place: Path) -> list[Path]:
    directory = place / "spool" / "checkpoints"
    return list(directory.iterdir()) if directory.exists() else []


def goes_on(instance: Instance, until: Callable[..., None]) -> int:
    """The program in it counts on, and its nodes hear each other; how far it has come."""
    before = int(said(instance, "tail -n 1 /count") or 0)
    until(lambda: int(said(instance, "tail -n 1 /count") or 0) > before)
    assert said(instance, "ping -c 1 -W 2 b > /dev/null && echo heard") == "heard\n"
    return before


def test_out_and_in_where_it_was(up: Instance, far_hosts: dict[str, Path], look: Callable[[str], Instance],
                                 until: Callable[..., None]) -> None:
    before = goes_on(up, until)
    load("swapout")(up.id)
    assert look(up.id).state is InstanceState.SWAPPED_OUT and where(up) == set()
    for place in far_hosts.values():
        assert not spooled(place) and not list(place.glob("instances/*"))
    with reading() as session:
        last = checkpoints_of(session, up.id)[-1]
    assert last.state is CheckpointState.DURABLE and last.sent_bytes > 0 and last.costs["host"] == "far"
    assert list((far_hosts["here"] / "store").rglob("*")) and not (far_hosts["far"] / "store").exists()
    load("swapin")(up.id)
    assert where(up) == {"far"} and not spooled(far_hosts["far"]) and goes_on(up, until) > before


def test_saved_while_it_goes_on_and_forked_beside_it(up: Instance, until: Callable[..., None], look: Callable[[str], Instance]) -> None:
    checkpoint_id = load("checkpoint")(up.id)["checkpoint_id"]
    goes_on(up, until)
    for host, wanted in ((None, "far"), ("farther", "farther"), ("here", "here")):
        with writing() as session:
            made = define_fork(session, checkpoint_by_id(session, checkpoint_id), created_by="test")
            host_id = find_host(session, host).id if host else None
        load("fork")(made.id, host_id=host_id)
        assert where(made) == {wanted} and goes_on(made, until)
        load("destroy")(made.id)
    goes_on(up, until)


def test_back_on_other_hosts_and_the_record_tells_where_it_was(up: Instance, far_hosts: dict[str, Path],
                                                               until: Callable[..., None]) -> None:
    count = goes_on(up, until)
    for host in ("farther", "here", "far"):
        load("swapout")(up.id)
        with reading() as session:
            host_id = find_host(session, host).id
        load("swapin")(up.id, host_id=host_id)
        assert where(up) == {host} and len(list(far_hosts[host].glob("instances/*"))) == 1
        assert count < (count := goes_on(up, until))
        assert not any(spooled(place) for place in far_hosts.values())
    record, recorded = record_of(up)
    assert record.state is RecordState.FINAL and recorded.placement == {"a": "far", "b": "far"}
    assert [one.host for one in recorded.placements] == ["far", "farther", "here", "far"]
    assert sorted(recorded.placements, key=lambda one: one.since_ns) == list(recorded.placements)
    links = Links.model_validate_json(Store.of().read_file(record.root or "", "links.json"))
    assert sum(link.in_frames for link in links.links) > 0
    assert not any(list(place.glob("spool/runs/*")) for place in far_hosts.values())


def test_a_host_that_lacks_something_is_refused_by_name_and_another_is_taken(up: Instance, far_hosts: dict[str, Path],
                                                                           look: Callable[[str], Instance]) -> None:
    load("swapout")(up.id)
    with writing() as session:
        last = checkpoints_of(session, up.id)[-1]
        known = {name: find_host(session, name) for name in far_hosts}
        ids = {name: host.id for name, host in known.items()}
        whole = dict(last.requirements)
        known["far"].state = HostState.DRAINED
        known["here"].nodes = 1
    with pytest.raises(HostProblem, match="far: the host is drained"):
        load("swapin")(up.id, host_id=ids["far"])
    with pytest.raises(HostProblem, match="here: no room for 1 of 2 nodes"):
        load("swapin")(up.id, host_id=ids["here"])
    with writing() as session:
        checkpoint_by_id(session, last.id).requirements = whole | {"kernel": "0.99"}
    with pytest.raises(HostProblem, match="farther: the checkpoint was made with another kernel: 0.99"):
        load("swapin")(up.id, host_id=ids["farther"])
    with pytest.raises(HostProblem, match="far: the host is drained.*farther: the checkpoint was made.*here: no room"):
        load("swapin")(up.id)
    assert look(up.id).state is InstanceState.SWAPPED_OUT and where(up) == set()
    assert not any(list(place.glob("instances/*")) or spooled(place) for place in far_hosts.values())
    with writing() as session:
        checkpoint_by_id(session, last.id).requirements = whole
    load("swapin")(up.id)
    assert where(up) == {"farther"}


def test_the_host_it_left_is_gone(up: Instance, tmp_path: Path, far_hosts: dict[str, Path], look: Callable[[str], Instance],
                                  until: Callable[..., None]) -> None:
    load("swapout")(up.id)
    (tmp_path / "far.python").unlink()
    load("swapin")(up.id)
    assert where(up) == {"farther"}
    goes_on(up, until)
    load("swapout")(up.id)
    (tmp_path / "farther.python").unlink()
    load("destroy")(up.id)
    assert look(up.id).state is InstanceState.DESTROYED


@pytest.mark.parametrize(("flow", "step", "then"), [
    ("swapout", "capture_on_host", InstanceState.UP), ("swapout", "store_checkpoint", InstanceState.SWAPPED_OUT),
    ("swapin", "place_again", InstanceState.SWAPPED_OUT), ("swapin", "fetch_checkpoint", InstanceState.SWAPPED_OUT),
    ("swapin", "restore_on_host", InstanceState.SWAPPED_OUT)])
def test_flows_that_die_leave_nothing_there(flow: str, step: str, then: InstanceState, up: Instance, far_hosts: dict[str, Path],
                                            look: Callable[[str], Instance], until: Callable[..., None]) -> None:
    if flow == "swapin":
        load("swapout")(up.id)
    assert dies(flow, up.id, step)
    load("recover")(up.id)
    assert look(up.id).state is then and not any(spooled(place) for place in far_hosts.values())
    if then is InstanceState.SWAPPED_OUT:
        assert not list(far_hosts["far"].glob("instances/*"))
        load("swapin")(up.id)
    goes_on(up, until)
