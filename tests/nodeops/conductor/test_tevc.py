"""Events as Emulab's `tevc` spells them."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from models.errors import InvalidInput
from models.spec import Group, ProgramAgent, Timeline
from nodeops.conductor.client import ConductorClient
from nodeops.conductor.petitions import read_event
from nodeops.conductor.tevc import in_our_words
from tests.nodeops.conductor.test_live import lines, with_parts
from tests.nodeops.instances import lan_spec, run, wait_until

PROGRAM = ProgramAgent(name="p", node="h2", command="echo $0")
SPEC = with_parts(lan_spec("h1", "h2"), agents=(PROGRAM,), groups=(Group(name="all", members=("p",)),), timelines=(Timeline(name="t"),))


@pytest.mark.parametrize(("words", "target", "verb", "arguments"), [
    ("net MODIFY BANDWIDTH=2000 DELAY=20 PLR=0.1", "net", "modify", {"bandwidth_bps": 2_000_000, "delay_s": 0.02, "loss": 0.1}),
    ("net modify delay=1s bandwidth=1Mbps", "net", "modify", {"bandwidth_bps": 1_000_000, "delay_s": 1.0}),
    ("net-h1 modify LIMIT=20 QUEUE-IN-BYTES=1 THRESH=3", "net", "modify",
     {"member": "h1", "direction": "uplink", "queue_limit": 20, "queue_unit": "bytes", "red_min_threshold": 3.0}),
    ("net DOWN", "net", "down", {}), ("net-tracemon snapshot", "net", "trace-snapshot", {}),
    ("net-h2-tracemon STOP", "net", "trace-stop", {"member": "h2"}),
    ("p START COMMAND=true DIR={/tmp} TIMEOUT=3 TAG=x EXPECTED_EXIT_CODE=1", "p", "start",
     {"command": "true", "directory": "/tmp", "timeout_s": 3.0, "tag": "x", "expected_exit_code": 1}),
    ("all KILL SIGNAL=SIGUSR1", "all", "kill", {"signal": "USR1"}), ("t run", "t", "run", {}), ("h1 REBOOT", "h1", "reboot", {}),
    ("ns HALT", "instance", "terminate", {}), ("ns stoprun", "instance", "stop-run", {}),
    ("h1 SNAPSHOT IMAGE=mine", "h1", "snapshot", {"text": "mine"}), ("ns LOG half way", "instance", "log", {"text": "half way"}),
])
def test_in_our_words(words, target, verb, arguments):
    told = read_event(*in_our_words(*words.split()[:2], words.split()[2:], SPEC))
    assert (told.target, told.verb, told.arguments.model_dump(exclude_none=True)) == (target, verb, arguments)


@pytest.mark.parametrize(("words", "message"), [
    ("net frob", "it knows: up, down"), ("p reboot", "it knows: start"), ("net modify COLOUR=1", "COLOUR"), ("p start soon", "KEY=VALUE"),
    ("net modify DELAY=-2", "delay_s"), ("net-tracemon up", "trace|start"),
])
def test_what_is_unknown_is_refused_by_name(words, message):
    with pytest.raises(InvalidInput, match=message):
        read_event(*in_our_words(*words.split()[:2], words.split()[2:], SPEC))


def test_from_inside_a_node(conduct: Callable[..., ConductorClient]):
    client = conduct(SPEC)
    both = "/swapbed/bin/tevc -e proj/exp -w now p run COMMAND='exit 3' EXPECTED_EXIT_CODE=3 && tevc +0.1 net modify DELAY=20"
    done = run(client.layout, "h1", both)
    assert done.code == 0, done
    wait_until(lambda: bool(lines(client, "fired", "net")))
    assert lines(client, "fired", "net")[0].arguments == {"delay_s": 0.02}
    assert lines(client, "fired", "p")[0].origin == "node h1"
    for wrong, code in (("now nobody start", 1), ("now net frob", 1), ("221122101010 net up", 2), ("now net", 2)):
        assert run(client.layout, "h1", f"tevc {wrong}").code == code
