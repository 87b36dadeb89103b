"""Instances on hosts that are reached over SSH, each with a state directory of its own: recorded, swapped, brought back elsewhere."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlmodel import select

from flows import load
from models.database import reading, writing
from models.hosts import find_host
from models.instances import current_run, placements
from models.protocol.host import ProgramEnded, RunProgram
from models.recorded import Recorded
from models.settings import settings
from models.states import InstanceState, RecordState
from models.tables import Host, Instance, Record, Template
from nodeops.session import HostSession
from storage.roots import RootKind
from storage.store import Store
from tasks.sessions import HostReference
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
    load("finalize_record")(record.id)
    with reading() as session:
        record = session.get_one(Record, record.id)
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
