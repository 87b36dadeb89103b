"""Swapout and swapin through Prefect, the database and the store, on real nodes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from flows import load
from flows.swapin import swapin
from flows.swapout import swapout
from models.checkpoints import checkpoints_of
from models.database import reading
from models.errors import StoreProblem, SwapbedError
from models.instances import placements
from models.protocol.host import ProgramEnded, RunProgram
from models.settings import settings
from models.states import CheckpointState, InstanceState
from models.tables import Instance
from nodeops.session import HostSession

EXPERIMENT = """
nodes:
  a: {}
  b: {}
links:
  - {name: wire, endpoints: [a, b], delay: 5ms}
agents:
  counter: {node: a, command: "for i in $(seq 100000); do echo $i >> /count; sleep .02; done"}
sequences:
  begin:
    - counter start
on_start: begin
"""


pytestmark = pytest.mark.usefixtures("prefect_server", "state_dir")


@pytest.fixture
def up(define: Callable[..., Instance]) -> Iterator[Instance]:
    instance = define(EXPERIMENT)
    load("instantiate")(instance.id)
    yield instance
    load("destroy")(instance.id)
    assert not list(settings().instances_dir.iterdir())


def said(instance: Instance, command: str) -> str:
    with HostSession() as host:
        return host.do("run", RunProgram(instance=instance.id, node="a", command=command), ProgramEnded).stdout.decode()


def spooled() -> list[Path]:
    directory = settings().state_dir / "spool" / "checkpoints"
    return list(directory.iterdir()) if directory.exists() else []


@pytest.mark.timeout(300)
def test_out_and_in_twice_and_the_program_counts_on(up: Instance, look: Callable[[str], Instance], until: Callable[..., None]) -> None:
    until(lambda: said(up, "tail -n 1 /count").strip() > "0")
    for epoch in (1, 2):
        done = swapout(up.id)
        assert look(up.id).state is InstanceState.SWAPPED_OUT
        assert not list(settings().instances_dir.iterdir()) and not spooled()
        with reading() as session:
            last = checkpoints_of(session, up.id)[-1]
            assert (last.state, last.epoch, last.root) == (CheckpointState.DURABLE, epoch, done["root"])
            assert not placements(session, up.id)
        swapin(up.id)
        assert look(up.id).state is InstanceState.UP and not spooled()
        before = int(said(up, "tail -n 1 /count") or 0)
        until(lambda before=before: int(said(up, "tail -n 1 /count") or 0) > before)
        assert said(up, "ping -c 1 -W 2 b > /dev/null && echo heard") == "heard\n"
    with reading() as session:
        first, second = checkpoints_of(session, up.id)
    assert second.parent_id == first.id and second.stored_bytes < first.stored_bytes


@pytest.mark.timeout(300)
def test_a_store_that_refuses_leads_back_to_a_running_instance_and_a_damaged_one_to_the_checkpoint(
        up: Instance, look: Callable[[str], Instance], until: Callable[..., None], monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise StoreProblem("the store is full")

    with monkeypatch.context() as patch:
        patch.setattr("storage.store.Store.pin", refuse)
        patch.setattr("tasks.work.RETRIES", 0)
        with pytest.raises(SwapbedError, match="full"):
            swapout(up.id)
    assert look(up.id).state is InstanceState.UP and not spooled()
    before = int(said(up, "tail -n 1 /count") or 0)
    until(lambda: int(said(up, "tail -n 1 /count") or 0) > before)

    swapout(up.id)
    packs = sorted((path for path in (settings().state_dir / "store").rglob("*") if path.is_file() and path.stat().st_size > 1 << 16),
                   key=lambda path: path.stat().st_size)
    contents = {pack: pack.read_bytes() for pack in packs}
    for damaged in (True, False):
        for pack in packs:
            pack.write_bytes(bytes(byte ^ 1 for byte in contents[pack])) if damaged else pack.unlink()
        with pytest.raises(SwapbedError, match="is lost"):
            swapin(up.id)
        assert look(up.id).state is InstanceState.SWAPPED_OUT and "chunk" in (look(up.id).reason or "")
        assert not list(settings().instances_dir.iterdir()) and not spooled()
    for pack, content in contents.items():
        pack.write_bytes(content)
    swapin(up.id)
    assert look(up.id).state is InstanceState.UP
