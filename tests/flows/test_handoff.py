"""One instance leaves, another comes in its place: through Prefect, the database and the store, on real nodes; and what may go wrong."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from flows import load
from flows.handoff import handoff
from models.checkpoints import checkpoints_of, define_checkpoint
from models.database import reading, writing
from models.errors import Busy, Conflict, HostProblem, InvalidInput, StoreProblem, SwapbedError
from models.events import Arguments
from models.instances import placements
from models.leases import acquire, held, release
from models.protocol.conductor import SendEvent, Sent
from models.settings import settings
from models.states import CheckpointState, InstanceState, Subject
from models.tables import Checkpoint, Host, Instance
from models.transition import transition
from nodeops.checkpoint.spooled import spool_of
from swapbed.controller.recovery import left_by_the_dead
from tasks.daemons import ask_conductor
from tests.flows.test_checkpoint import assert_goes_on
from tests.flows.test_swap import EXPERIMENT, said, spooled

PARTING = EXPERIMENT.replace("sequences:", """  parting: {node: a, command: "echo left >> /parting"}
  unkept: {node: a, command: "exec sleep 1000 < /dev/net/tun"}
sequences:""") + """timeline:
  - {on: swapout, do: parting run}
"""

pytestmark = pytest.mark.usefixtures("prefect_server", "state_dir")
Pair = tuple[Instance, Instance]
Look = Callable[[str], Instance]
Until = Callable[..., None]


@pytest.fixture
def pair(define: Callable[..., Instance]) -> Iterator[Pair]:
    """One that is up, and one that is swapped out."""
    both = define(PARTING, name="leaves"), define(PARTING, name="comes")
    for instance in reversed(both):
        load("instantiate")(instance.id)
    load("swapout")(both[1].id)
    yield both
    for instance in both:
        load("destroy")(instance.id)
    assert not on_host() and not spooled()


def on_host() -> list[str]:
    return [directory.name for directory in settings().instances_dir.iterdir()]


def count(instance: Instance, until: Until) -> int:
    """How far its program has counted. The file is not there before its first step."""
    read: list[str] = []

    def there() -> bool:
        read.append(said(instance, "tail -n 1 /count").strip())
        return bool(read[-1])

    until(there)
    return int(read[-1])


def tell(instance: Instance, agent: str, verb: str) -> None:
    ask_conductor(instance.id, "send_event", SendEvent(target=agent, verb=verb, arguments=Arguments(), wait=True, timeout_s=10), Sent)


def checkpoint_states(instance: Instance) -> list[CheckpointState]:
    with reading() as session:
        return [checkpoint.state for checkpoint in checkpoints_of(session, instance.id)]


def assert_changed_places(left: Instance, came: Instance, look: Look, until: Until) -> None:
    assert (look(left.id).state, look(came.id).state) == (InstanceState.SWAPPED_OUT, InstanceState.UP)
    assert on_host() == [came.id] and not spooled()
    assert checkpoint_states(left)[-1] is CheckpointState.DURABLE
    with reading() as session:
        assert not placements(session, left.id) and len(placements(session, came.id)) == 2
    assert_goes_on(came, until)


def assert_as_before(leaves: Instance, comes: Instance, look: Look, until: Until) -> None:
    assert (look(leaves.id).state, look(comes.id).state) == (InstanceState.UP, InstanceState.SWAPPED_OUT)
    assert on_host() == [leaves.id] and not spooled()
    assert_goes_on(leaves, until)


def afterwards(monkeypatch: pytest.MonkeyPatch, step: str, does: Callable[[], object]) -> None:
    """When that step of the flow has been done, does() is called."""
    whole = getattr(import_flow(), step)

    def both(*arguments: Any, **options: Any) -> Any:
        result = whole(*arguments, **options)
        does()
        return result

    monkeypatch.setattr(import_flow(), step, both)


def import_flow() -> Any:
    """The module; the package's attribute of that name is the flow."""
    from importlib import import_module

    return import_module("flows.handoff")


@pytest.mark.timeout(300)
def test_they_change_places_on_a_host_with_room_for_one(pair: Pair, look: Look, until: Until) -> None:
    one, other = pair
    with writing() as session:
        session.get_one(Host, look(one.id).home_id).nodes = 2
    with pytest.raises(HostProblem, match="no room"):
        load("swapin")(other.id)
    counted = count(one, until)
    done = handoff(one.id, other.id)
    assert_changed_places(one, other, look, until)
    assert 0 < done["idle_s"] < 100 and done["root"] and done["successor_id"] == other.id
    handoff(other.id, one.id)
    assert_changed_places(other, one, look, until)
    assert count(one, until) > counted
    assert said(one, "cat /parting") == "left\n", "what it does before a swapout"


@pytest.mark.timeout(120)
def test_what_cannot_be_is_refused_at_once_and_nobody_is_locked_out(pair: Pair, look: Look, until: Until) -> None:
    one, other = pair
    for first, second, kind, words in ((one, one, InvalidInput, "its own place"), (other, one, Conflict, "comes: .* is swapped out")):
        with pytest.raises(kind, match=words):
            handoff(first.id, second.id)
    for busy, free in ((one, other), (other, one)):
        with held(Subject.INSTANCE, busy.id, holder="somebody", purpose="to test"), pytest.raises(Busy, match="somebody"):
            handoff(one.id, other.id)
        release(acquire(Subject.INSTANCE, free.id, holder="the next", purpose="to test"))
    assert_as_before(one, other, look, until)


@pytest.mark.timeout(300)
def test_what_goes_wrong_before_the_one_is_captured_leads_back(
        pair: Pair, look: Look, until: Until, monkeypatch: pytest.MonkeyPatch) -> None:
    one, other = pair
    manifest = spool_of(other.id).manifest

    def of_another_kernel() -> None:
        content = json.loads(manifest.read_bytes())
        content["requirements"]["kernel"] = "0.99"
        manifest.write_text(json.dumps(content))

    with monkeypatch.context() as patch:
        afterwards(patch, "fetch_checkpoint", of_another_kernel)
        with pytest.raises(HostProblem, match="another kernel.*now leaves is up and comes is swapped out"):
            handoff(one.id, other.id)
    assert_as_before(one, other, look, until)
    assert not checkpoint_states(one), "nobody had stopped it"

    tell(one, "unkept", "start")  # what it has open no checkpoint can have
    until(lambda: said(one, "pgrep -f 'sleep 1000'") != "")
    with pytest.raises(SwapbedError, match="/dev/net/tun open.*now leaves is up and comes is swapped out"):
        handoff(one.id, other.id)
    assert checkpoint_states(one) == [CheckpointState.FAILED]
    assert_as_before(one, other, look, until)
    tell(one, "unkept", "stop")
    handoff(one.id, other.id)
    assert_changed_places(one, other, look, until)


@pytest.mark.timeout(300)
def test_if_the_other_cannot_be_restored_the_one_is_swapped_out_all_the_same(
        pair: Pair, look: Look, until: Until, monkeypatch: pytest.MonkeyPatch) -> None:
    one, other = pair
    with monkeypatch.context() as patch:
        afterwards(patch, "free_room", lambda: [each.unlink() for each in spool_of(other.id).root.rglob("pages-*.img")])
        with pytest.raises(SwapbedError, match="now leaves is swapped out and comes is swapped out"):
            handoff(one.id, other.id)
    assert (look(one.id).state, look(other.id).state) == (InstanceState.SWAPPED_OUT, InstanceState.SWAPPED_OUT)
    assert "not swapped in" in (look(other.id).reason or "")
    assert not on_host() and not spooled() and checkpoint_states(one) == [CheckpointState.DURABLE]
    for instance in pair:
        load("swapin")(instance.id)
        assert_goes_on(instance, until)


@pytest.mark.timeout(300)
def test_what_the_store_refuses_stays_in_the_spool_until_it_takes_it_or_somebody_gives_it_up(
        pair: Pair, look: Look, until: Until, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise StoreProblem("the store is full")

    one, other = pair
    for gives_up in (False, True):
        with monkeypatch.context() as patch:
            patch.setattr("storage.store.Store.pin", refuse)
            with pytest.raises(StoreProblem, match=f"full.*{one.name} is spooled .* and {other.name} is up"):
                handoff(one.id, other.id)
            assert_goes_on(other, until)
            with pytest.raises(StoreProblem, match="full"):
                load("recover")(one.id)
        assert look(one.id).state is InstanceState.SPOOLED and "full" in (look(one.id).reason or "")
        assert on_host() == [other.id] and spooled() and left_by_the_dead() == [one.id]
        with pytest.raises(Conflict, match="spooled"):
            load("swapin")(one.id)
        if gives_up:
            load("destroy")(one.id)
            assert checkpoint_states(one)[-1] is CheckpointState.FAILED and not spooled()
        else:
            load("recover")(one.id)
            assert_changed_places(one, other, look, until)
            one, other = other, one
    assert left_by_the_dead() == []
    assert_goes_on(other, until)


@pytest.mark.timeout(300)
@pytest.mark.parametrize(("step", "as_before"), [("fetch_checkpoint", True), ("capture_on_host", True), ("free_room", False)])
def test_cancelled_it_goes_back_or_leaves_the_rest_to_the_controller(
        pair: Pair, step: str, as_before: bool, look: Look, until: Until, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    one, other = pair
    with monkeypatch.context() as patch:
        afterwards(patch, step, interrupt)
        state = handoff(one.id, other.id, return_state=True)
    assert state.is_cancelled()
    if as_before:
        assert_as_before(one, other, look, until)
    else:
        assert state.message == "leaves is spooled and comes is swapped out"
        assert left_by_the_dead() == [one.id] and not on_host()
        load("recover")(one.id)
        assert (look(one.id).state, look(other.id).state) == (InstanceState.SWAPPED_OUT, InstanceState.SWAPPED_OUT) and not spooled()


def test_after_a_restart_of_the_host_nothing_in_its_spool_is_taken_for_whole(define: Callable[..., Instance], look: Look) -> None:
    instance = define()
    with writing() as session:
        host = Host(name="restarted")
        session.add(host)
        row = session.get_one(Instance, instance.id)
        row.home_id = host.id
        for state in (InstanceState.INSTANTIATING, InstanceState.UP, InstanceState.SWAPPING_OUT, InstanceState.SPOOLED):
            transition(session, Instance, instance.id, state)
        made = define_checkpoint(session, row, created_by="test", purpose="swapout").id
        transition(session, Checkpoint, made, CheckpointState.SPOOLED)
    spool = spool_of(made)
    spool.root.mkdir(parents=True)
    spool.manifest.write_text("{}")
    spool.boot.write_text("the boot before")
    load("recover")(instance.id)
    assert look(instance.id).state is InstanceState.BROKEN and "restarted" in (look(instance.id).reason or "")
    assert checkpoint_states(instance) == [CheckpointState.FAILED] and not spooled()
    load("destroy")(instance.id)
