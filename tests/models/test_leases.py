"""A lease has one holder at a time, and who lost it is refused, however late he comes."""

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from sqlalchemy import Engine, update

from models.database import connect, writing
from models.errors import Conflict
from models.leases import Lease, acquire, expired, held, release, renew
from models.migrations import upgrade
from models.states import Subject
from models.tables import LeaseRow

THING = (Subject.INSTANCE, "i-x")
RACE = """
import sys
from models.leases import acquire
from models.states import Subject
from models.errors import Conflict
won = 0
for number in range(40):
    try:
        acquire(Subject.INSTANCE, f"i-{number}", holder=sys.argv[1], purpose="race")
        won += 1
    except Conflict:
        pass
print(won)
"""
STOPPED = """
import sys, time
from models.database import writing
from models.errors import Conflict
from models.leases import held
from models.states import Subject
with held(Subject.INSTANCE, "i-x", holder="sleeper", purpose="sleep", time_to_live_s=0.6) as lease:
    print(lease, flush=True)
    sys.stdin.readline()
    try:
        with writing() as session:
            lease.check(session)
        print("harm", flush=True)
    except Conflict:
        print("refused", flush=True)
"""


def _until(condition: Callable[[], bool], deadline_s: float = 10) -> None:
    end = time.monotonic() + deadline_s
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_second_holder_is_told_who_and_why(database: Engine) -> None:
    acquire(*THING, holder="anna", purpose="swapout")
    with pytest.raises(Conflict, match="anna works on it .swapout."):
        acquire(*THING, holder="bob", purpose="destroy")


def test_released_and_taken_again_has_a_higher_number(database: Engine) -> None:
    first = acquire(*THING, holder="a", purpose="x")
    release(first)
    second = acquire(*THING, holder="b", purpose="x")
    assert second.fence > first.fence
    release(first)  # of somebody else's: nothing
    assert renew(second) and not renew(first)


def test_a_lease_handed_down_is_checked_and_left_alone(database: Engine) -> None:
    with held(*THING, holder="parent", purpose="handoff") as parent:
        with held(*THING, holder="child", purpose="swapout", inherited=str(parent)) as child:
            assert child == parent == Lease.parse(str(child))
        assert renew(parent)
    with pytest.raises(Conflict), held(*THING, holder="child", purpose="swapout", inherited=str(parent)):
        pass
    with pytest.raises(Conflict), held(Subject.INSTANCE, "i-other", holder="child", purpose="swapout", inherited=str(parent)):
        pass


def test_a_holder_known_to_be_dead_is_not_waited_for(database: Engine) -> None:
    old = acquire(*THING, holder="dead", purpose="x")
    new = acquire(*THING, holder="heir", purpose="x", is_dead=lambda holder: holder == "dead")
    assert new.fence > old.fence
    with pytest.raises(Conflict):
        acquire(*THING, holder="third", purpose="x", is_dead=lambda holder: holder == "dead")


def test_two_processes_race_and_every_lease_has_one_winner(database: Engine) -> None:
    racers = [subprocess.Popen([sys.executable, "-c", RACE, name], stdout=subprocess.PIPE, text=True) for name in "ab"]
    assert sum(int(racer.communicate(timeout=60)[0]) for racer in racers) == 40


def test_a_stopped_holder_that_comes_back_is_refused(database: Engine) -> None:
    sleeper = subprocess.Popen([sys.executable, "-c", STOPPED], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert sleeper.stdout and sleeper.stdin
    lease = Lease.parse(sleeper.stdout.readline())
    os.kill(sleeper.pid, signal.SIGSTOP)
    _until(lambda: any(row.fence == lease.fence for row in expired()))
    taken = acquire(*THING, holder="next", purpose="work")
    os.kill(sleeper.pid, signal.SIGCONT)
    out, _ = sleeper.communicate("go\n", timeout=30)
    assert out.strip() == "refused"
    assert renew(taken)


def test_heartbeat_keeps_a_short_lease(database: Engine) -> None:
    with held(*THING, holder="a", purpose="x", time_to_live_s=0.5) as lease:
        time.sleep(1.2)
        with writing(database) as session:
            lease.check(session)


class Leases(RuleBasedStateMachine):
    """Against a model: who holds the thing, by number."""

    def __init__(self) -> None:
        super().__init__()
        self.directory = tempfile.TemporaryDirectory()
        self.engine = connect(f"sqlite:///{self.directory.name}/swapbed.db")
        upgrade(self.engine)
        self.given: list[Lease] = []
        self.holding: Lease | None = None

    def teardown(self) -> None:
        self.engine.dispose()
        self.directory.cleanup()

    @rule()
    def take(self) -> None:
        try:
            lease = acquire(*THING, holder="h", purpose="p", on=self.engine)
        except Conflict:
            assert self.holding is not None
            return
        assert self.holding is None
        assert all(lease.fence > other.fence for other in self.given)
        self.given.append(lease)
        self.holding = lease

    @precondition(lambda self: self.given)
    @rule(data=st.data())
    def give_back(self, data: st.DataObject) -> None:
        lease = data.draw(st.sampled_from(self.given))
        release(lease, self.engine)
        if lease == self.holding:
            self.holding = None

    @precondition(lambda self: self.holding)
    @rule()
    def time_passes(self) -> None:
        with writing(self.engine) as session:
            session.connection().execute(update(LeaseRow).values(expires_s=1.0))
        self.holding = None

    @invariant()
    def only_the_holder_passes(self) -> None:
        for lease in self.given:
            assert renew(lease, on=self.engine) == (lease == self.holding)


TestLeases = Leases.TestCase
TestLeases.settings = hypothesis_settings(max_examples=15, stateful_step_count=20, deadline=None)


def test_state_directory_is_private(state_dir: Path) -> None:
    connect(f"sqlite:///{state_dir}/new/swapbed.db").connect().close()
    assert (state_dir / "new").stat().st_mode & 0o777 == 0o700
