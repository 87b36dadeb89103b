"""Checkpoints brought to life more than once: as what they were at an earlier instant, and as new instances beside the living one."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from flows import load
from flows.checkpoint import checkpoint
from flows.fork import fork
from flows.swapin import swapin
from flows.swapout import swapout
from models.checkpoints import checkpoint_by_id, define_fork
from models.database import reading, writing
from models.errors import Conflict
from models.events import Arguments
from models.instances import current_run, define_run
from models.protocol.conductor import SendEvent, Sent
from models.protocol.host import ProgramEnded, RunProgram
from models.settings import settings
from models.states import InstanceState, RunState
from models.tables import Instance
from nodeops.session import HostSession
from tasks.checkpoints import host_of
from tasks.daemons import ask_conductor

EXPERIMENT = """
parameters:
  CC: {default: cubic}
nodes:
  a: {}
  b: {}
links:
  - {name: wire, endpoints: [a, b], delay: 5ms}
agents:
  counter: {node: a, command: "for i in $(seq 100000); do echo $i >> /count; sleep .02; done"}
  teller: {node: b, command: "echo $CC > /told"}
sequences:
  begin:
    - counter start
on_start: begin
"""


pytestmark = pytest.mark.usefixtures("prefect_server", "state_dir")


@pytest.fixture
def made() -> Iterator[list[str]]:
    """Ids of instances; all are destroyed at the end."""
    ids: list[str] = []
    yield ids
    for instance_id in ids:
        load("destroy")(instance_id)
    assert not list(settings().instances_dir.iterdir())


def said(instance_id: str, node: str, command: str) -> str:
    with HostSession() as host:
        return host.do("run", RunProgram(instance=instance_id, node=node, command=command), ProgramEnded).stdout.decode()


def count(instance_id: str) -> int:
    return int(said(instance_id, "a", "tail -n 1 /count") or 0)


def forked(checkpoint_id: str, **parameters: str) -> str:
    with writing() as session:
        made = define_fork(session, checkpoint_by_id(session, checkpoint_id), created_by="test", parameters=parameters)
    fork(made.id)
    return made.id


@pytest.mark.timeout(180)
def test_branches_of_one_state_live_beside_it(define: Callable[..., Instance], made: list[str], look: Callable[[str], Instance],
                                              until: Callable[..., None]) -> None:
    origin = define(EXPERIMENT)
    made.append(origin.id)
    load("instantiate")(origin.id)
    until(lambda: count(origin.id) > 5)
    saved = checkpoint(origin.id)
    then = count(origin.id)
    branches = [forked(saved["checkpoint_id"], CC=value) for value in ("reno", "bbr")]
    made.extend(branches)
    for branch, value in zip(branches, ("reno", "bbr"), strict=True):
        row = look(branch)
        assert row.state is InstanceState.UP and row.forked_from_id == saved["checkpoint_id"] and row.incarnation != origin.incarnation
        until(lambda branch=branch: count(branch) > 0)  # the program of the run goes on in the fork
        assert said(branch, "a", "ping -c 1 -W 2 b > /dev/null && hostname -I") == said(origin.id, "a", "hostname -I")
        with reading() as session:
            run = current_run(session, branch)
        assert run is not None and (run.number, run.origin, run.state, run.parameters) == (1, "fork", RunState.RUNNING, {"CC": value})
        ask_conductor(branch, "send_event", SendEvent(target="teller", verb="run", arguments=Arguments(), wait=True, timeout_s=10), Sent)
        assert said(branch, "b", "cat /told").strip() == value
    until(lambda: count(origin.id) > then)

    with reading() as session:
        run = current_run(session, branches[0])
    load("stop_run")(run.id)
    with writing() as session:
        following = define_run(session, look(branches[0]), created_by="test")
    assert (following.number, following.parameters) == (2, {"CC": "reno"})
    load("start_run")(following.id)
    until(lambda: current_run_state(branches[0]) is RunState.RUNNING)


def current_run_state(instance_id: str) -> RunState | None:
    with reading() as session:
        run = current_run(session, instance_id)
    return run.state if run else None


@pytest.mark.timeout(120)
def test_back_to_an_earlier_instant_of_the_same_run_and_of_no_other(define: Callable[..., Instance], made: list[str],
                                                                    look: Callable[[str], Instance], until: Callable[..., None]) -> None:
    one = define(EXPERIMENT)
    made.append(one.id)
    load("instantiate")(one.id)
    until(lambda: count(one.id) > 0)
    early = checkpoint(one.id)["checkpoint_id"]
    then = count(one.id)
    until(lambda: count(one.id) > then + 60)
    swapout(one.id)
    before = look(one.id)
    swapin(one.id, early)
    assert count(one.id) < then + 60, "it counts again from where it was"
    after = look(one.id)
    assert (after.state, after.checkpoint_id) == (InstanceState.UP, early) and after.incarnation != before.incarnation
    swapout(one.id)
    with reading() as session:
        assert checkpoint_by_id(session, look(one.id).checkpoint_id).parent_id == early, "checkpoints form a tree"
    swapin(one.id)

    with reading() as session:
        run = current_run(session, one.id)
    load("stop_run")(run.id)
    swapout(one.id)
    with pytest.raises(Conflict, match=r"run 1 .*is over.*fork"):
        swapin(one.id, early)
    assert look(one.id).state is InstanceState.SWAPPED_OUT
    with pytest.raises(Conflict, match="swapped out, and on no host"):
        host_of(one.id)
