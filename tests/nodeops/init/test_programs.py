"""Programs under init: what is reported of them, and that nothing of one ever escapes."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator

import pytest
from throwaway import Driver, ThrowawayNode, wait_until

from models.errors import InvalidInput, NotFound
from models.protocol.init import Exit, Gone, Started


def reconnected(node: ThrowawayNode) -> Driver | None:
    with contextlib.suppress(NotFound):
        return Driver(node)
    return None


@pytest.fixture
def driver(node: ThrowawayNode) -> Iterator[Driver]:
    with Driver(node) as made:
        yield made


def test_a_program_has_its_directory_environment_user_and_logs(node: ThrowawayNode, driver: Driver):
    driver.spawn("a", 'echo "$PWD $GREETING $(id -un) $HOME"; echo oops >&2; exit 7', directory="/usr/lib",
                 environment={"GREETING": "hi there"}, user="daemon", stdout="/swapbed/logs/deep/out", stderr="/swapbed/logs/deep/err")
    exit = driver.wait("a", Exit)
    assert (exit.code, exit.signal, exit.error) == (7, None, None)
    assert (node.root / "swapbed/logs/deep/out").read_text() == "/usr/lib hi there daemon /usr/sbin\n"
    assert (node.root / "swapbed/logs/deep/err").read_text() == "oops\n"
    assert (node.root / "swapbed/logs/deep").owner() == "daemon"


def test_logs_are_appended_to(node: ThrowawayNode, driver: Driver):
    for name in ("first", "second"):
        driver.spawn(name, f"echo {name}", stdout="/swapbed/logs/x/out")
        driver.wait(name, Gone)
    assert (node.root / "swapbed/logs/x/out").read_text() == "first\nsecond\n"


def test_cpu_time_and_memory_are_those_of_the_program(driver: Driver):
    driver.spawn("busy", ["python3", "-S", "-c", "x = bytearray(40 << 20)\nfor i in range(2000000): pass"])
    exit = driver.wait("busy", Exit)
    assert 40 << 10 < exit.max_rss_kib < 100 << 10
    assert 10_000 < exit.user_us + exit.system_us <= (exit.end_ns - exit.start_ns) / 1000 + 10_000


@pytest.mark.parametrize(("options", "reason"), [
    ({"command": ["/no/such/program"]}, "No such file"), ({"command": "true", "directory": "/no/such"}, "/no/such"),
    ({"command": "true", "user": "nobody-knows"}, "user"), ({"command": "true", "stdout": "/proc/nope/out"}, "/proc/nope")])
def test_a_program_that_cannot_be_started_says_why(driver: Driver, options: dict, reason: str):
    driver.spawn("x", **options)
    exit = driver.wait("x", Exit)
    assert exit.error and reason in exit.error
    assert exit.code is None


def test_a_daemon_is_still_its_programs_and_dies_with_it(node: ThrowawayNode, driver: Driver):
    driver.spawn("d", "setsid sh -c 'setsid sleep 4711 & sleep 4711 &' & sleep .1; exit 0")
    assert driver.wait("d", Exit).code == 0
    wait_until(lambda: sum("4711" in line for line in node.processes().values()) == 2)
    assert driver.signal("d", signal.SIGKILL) == 2
    driver.wait("d", Gone)
    assert not node.processes()


def test_kill_outlives_a_fork_race(node: ThrowawayNode, driver: Driver):
    driver.spawn("bomb", "while :; do (sleep 4712 &); sleep .001; done")
    wait_until(lambda: len(node.processes()) > 20)
    driver.signal("bomb", signal.SIGKILL)
    driver.wait("bomb", Gone)
    assert not node.processes()


def test_a_signal_reaches_parents_before_their_children(driver: Driver, node: ThrowawayNode):
    driver.spawn("s", "sleep 4713; echo went on", stdout="/swapbed/logs/s")
    driver.wait("s", Started)
    wait_until(lambda: any("sleep 4713" in line for line in node.processes().values()))
    driver.signal("s", signal.SIGTERM)
    assert driver.wait("s", Exit).signal == signal.SIGTERM
    assert (node.root / "swapbed/logs/s").read_text() == ""


def test_exits_are_told_again_until_acknowledged(node: ThrowawayNode):
    with Driver(node) as driver:
        driver.spawn("kept", "exit 5")
        driver.wait("kept", Started)
    with Driver(node) as driver:
        assert driver.welcome.invocation == ("kept",)
        assert driver.wait("kept", Exit).code == 5
    with Driver(node) as driver:
        assert driver.wait("kept", Exit).code == 5
        driver.wait("kept", Gone)
        driver.acknowledge("kept")
    with Driver(node) as driver:
        assert driver.welcome.invocation == ()


def test_commands_are_done_once_and_answered_as_often_as_asked(node: ThrowawayNode):
    with Driver(node) as driver:
        for _ in range(3):
            driver.spawn("once", "echo once", stdout="/swapbed/logs/once", sequence="1")
        driver.wait("once", Gone)
        with pytest.raises(InvalidInput):
            driver.ask("signal", [("invocation", "nobody"), ("signal", "1"), ("sequence", "2")])
    with Driver(node) as driver:
        assert driver.welcome.last_sequence == 2
        with pytest.raises(InvalidInput, match="no such invocation"):
            driver.ask("signal", [("invocation", "nobody"), ("signal", "1"), ("sequence", "2")])
        driver.ask("spawn", [("invocation", "late"), ("command", "echo twice >>/swapbed/logs/once"), ("sequence", "1")])
        driver.ask("hello")
    assert (node.root / "swapbed/logs/once").read_text() == "once\n"


def test_one_conductor_drives_at_a_time(node: ThrowawayNode):
    with Driver(node) as old, Driver(node) as new:
        with pytest.raises(NotFound):
            list(old.events(5))
        new.ask("hello")


def test_a_thousand_programs_at_one_instant(driver: Driver, node: ThrowawayNode):
    numbers = [driver.send("spawn", [("invocation", f"p{i}"), ("command", "exit 3"), ("sequence", str(i + 1))]) for i in range(1000)]
    for number in numbers:
        driver.answer(number)
    ended: set[str] = set()
    for event in driver.events(30):
        if isinstance(event, Gone):
            ended.add(event.invocation)
            driver.post("acknowledge", [("invocation", event.invocation)])
        if len(ended) == 1000:
            break
    assert len(ended) == 1000
    assert driver.hello().invocation == ()


def test_reboot_starts_anew(node: ThrowawayNode):
    with Driver(node) as driver:
        driver.spawn("p", "sleep 4714")
        driver.wait("p", Started)
        driver.post("reboot")
        with pytest.raises(NotFound):
            list(driver.events(10))
    with wait_until(lambda: reconnected(node)) as again:
        assert again.welcome.incarnation != driver.welcome.incarnation
        assert again.welcome.invocation == ()
    assert not node.processes()
