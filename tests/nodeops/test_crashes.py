"""After kill -9 of anything of ours at any moment, destroying leaves nothing of that instance and touches nothing else."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from models.protocol.host import ChangeInstance, Create, InstanceStatus, OfInstance, Reap, Reaped
from nodeops import cgroups, create, daemons, destroy, instance, journal, launch, layer, node_files, node_network
from nodeops.identity import ProcessIdentity
from nodeops.instance import layout_of
from nodeops.layout import InstanceLayout
from nodeops.reach import init_identity, read_inits
from nodeops.session import HostSession
from tests.nodeops.instances import Make, assert_nothing_left, lan_spec, run, wait_until

STEPS = [
    (journal.Journal, "_append"), (cgroups, "make"), (cgroups, "limit"), (cgroups, "kill"), (cgroups, "remove"),
    (create, "write_record"), (create, "write_whole"), (create, "launch"), (create, "await_answers"), (destroy, "write_record"),
    (destroy, "_remove_all"), (destroy, "_remove_parent"), (node_files, "make_directories"), (node_network, "_furnish"),
    (layer, "_fill"), (launch, "_items"), (daemons, "begin"), (daemons, "await_ready"),
]


class Countdown:
    """Kills this process when so many begins and ends of steps have passed."""

    def __init__(self, left: int):
        self.left = left

    def pass_one(self) -> None:
        self.left -= 1
        if self.left < 0:
            os.kill(os.getpid(), signal.SIGKILL)

    def around(self, step: Callable[..., object]) -> Callable[..., object]:
        def counted(*arguments: object, **options: object) -> object:
            self.pass_one()
            result = step(*arguments, **options)
            self.pass_one()
            return result
        return counted


def killed_after(steps: int, action: Callable[[], object]) -> bool:
    """Do it in a forked child that dies after so many steps; False: it got through."""
    child = os.fork()
    if child == 0:
        countdown = Countdown(steps)
        for owner, name in STEPS:
            setattr(owner, name, countdown.around(getattr(owner, name)))
        try:
            action()
        except BaseException:
            os._exit(1)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 0
    return os.WIFSIGNALED(status)


@pytest.fixture
def bystander(make: Make) -> Iterator[InstanceLayout]:
    """Another instance, which must not notice anything."""
    layout = make(lan_spec("x", "y"))
    before = read_inits(layout)
    yield layout
    assert read_inits(layout) == before
    assert run(layout, "x", "hostname").stdout == b"x\n"


def nothing(*_: object) -> None:
    pass


@pytest.mark.usefixtures("bystander")
def test_agent_killed_at_any_step_of_create(state_dir: Path) -> None:
    wanted = Create(instance="i-crash", name="crash", spec=lan_spec("a", "b"), daemons=("wires",))
    layout, steps = layout_of("i-crash"), 0
    while killed_after(steps, lambda: create.create(wanted, nothing)):
        record = instance.read_record(layout)
        if record is not None and record.state == "ready":
            assert destroy.reap(None) == []
            destroy.destroy(layout, 0)
        else:
            assert destroy.reap(None) == ["i-crash"]
        assert_nothing_left(layout)
        steps += 2 if steps > 12 else 1
    assert steps > 20
    destroy.destroy(layout, 0)
    assert_nothing_left(layout)


def test_create_killed_and_run_again_ends_in_the_same_state(state_dir: Path) -> None:
    wanted = Create(instance="i-again", name="again", spec=lan_spec("a", "b"), daemons=())
    for steps in (3, 9, 15, 21):
        assert killed_after(steps, lambda: create.create(wanted, nothing))
    layout = create.create(wanted, nothing)
    assert run(layout, "a", "getent hosts b").code == 0
    inits = read_inits(layout)
    assert read_inits(create.create(wanted, nothing)) == inits
    destroy.destroy(layout, 0)
    assert_nothing_left(layout)


@pytest.mark.usefixtures("bystander")
def test_agent_killed_at_any_step_of_destroy(state_dir: Path) -> None:
    wanted = Create(instance="i-gone", name="gone", spec=lan_spec("a", "b"), daemons=())
    layout, steps = layout_of("i-gone"), 0
    create.create(wanted, nothing)
    while killed_after(steps, lambda: destroy.destroy(layout, 0)):
        destroy.destroy(layout, 0)
        assert_nothing_left(layout)
        create.create(wanted, nothing)
        steps += 1
    assert steps > 6
    assert_nothing_left(layout)


@pytest.mark.usefixtures("bystander")
def test_processes_killed_under_a_living_instance(make: Make, session: HostSession) -> None:
    layout = make(lan_spec("a", "b", "c"), daemons=("wires",))
    run(layout, "b", "trap '' HUP; sleep 1000 &")
    wait_until(lambda: len(sleepers(layout, "b")) == 1)
    victims = [init_identity(layout.node("a")), wires_of(layout), *sleepers(layout, "b")]
    for victim in victims:
        assert victim.signal(signal.SIGKILL)
    wait_until(lambda: not any(victim.alive() for victim in victims))
    status = session.do("inspect", OfInstance(instance=layout.root.name), InstanceStatus)
    assert [node.alive for node in status.nodes] == [False, True, True]
    assert not status.daemons[0].alive
    session.call("destroy", ChangeInstance(instance=layout.root.name))
    assert_nothing_left(layout)


def test_reap_by_name_takes_what_stands(make: Make, session: HostSession) -> None:
    first, second = make(lan_spec("a", "b")), make(lan_spec("a", "b"))
    assert session.do("reap", Reap(), Reaped).instances == ()
    assert session.do("reap", Reap(instances=(first.root.name, "i-unknown")), Reaped).instances == (first.root.name,)
    assert_nothing_left(first)
    assert run(second, "a", "true").code == 0


def wires_of(layout: InstanceLayout) -> ProcessIdentity:
    identity = daemons.identity_of(layout, "wires")
    assert identity is not None
    return identity


def sleepers(layout: InstanceLayout, node: str) -> list[ProcessIdentity]:
    pids = (cgroups.node_cgroup(layout.root.name, node) / "cgroup.procs").read_text().split()
    return [ProcessIdentity.of(int(pid)) for pid in pids if Path(f"/proc/{pid}/comm").read_text() == "sleep\n"]
