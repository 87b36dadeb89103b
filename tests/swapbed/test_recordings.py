"""Dynamic recording, as its users go through it: by hand in one instance, edited, attached to the template, replayed in another."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import swapbed
from models.errors import Conflict, InvalidInput, NotFound
from tests.swapbed.conftest import Cli

pytestmark = pytest.mark.usefixtures("installation")
STUDY = """source tb_compat.tcl
set ns [new Simulator]
set client [$ns node]
set server [$ns node]
$ns define-template-parameter DELAY 10ms "of the link"
set wan [$ns duplex-link $client $server 10Mb $DELAY DropTail]
set ping [$client program-agent -command {ping -c 1 -W 5 server}]
$ns run
"""
EDITED = """# in another order, and quicker
200ms client/recorded-client run command='echo second >>/tmp/made'
0s    client/recorded-client run command='echo first >/tmp/made'
100ms wan modify delay=2ms
"""


@pytest.fixture
def by_hand(tmp_path: Path) -> Iterator[swapbed.Instance]:
    """An instance in which `work` was recorded: a program, a pause, a link event, and commands in a node."""
    (tmp_path / "handwork.ns").write_text(STUDY)
    swapbed.templates.create(tmp_path / "handwork.ns")
    with swapbed.deploy("handwork", name="by-hand") as net:
        assert net.record_events("start", "work").state == "recording"
        net.event("ping", "run", timeout_s=30)
        assert net.record_events("pause").state == "paused"
        net.event("wan", "modify", delay="20ms")
        inside = "template_record 'cd /tmp && touch kept'; template_record false; record-events continue; template_record sleep 0.1"
        net["client"].run(inside, check=True)
        yield net


def test_from_the_first_event_to_the_replay(by_hand: swapbed.Instance, cli: Cli) -> None:
    with pytest.raises(Conflict, match="still being recorded"):
        swapbed.recordings.edit("by-hand/work", EDITED)
    assert [one["state"] for one in cli("record-events", "ls", "by-hand", "--format", "json").parsed] == ["recording"]
    assert "closed, 4 events" in cli("record-events", "stop", "by-hand").stdout
    said = cli("record-events", "show", "by-hand/work").stdout.splitlines()[1:]
    assert [" ".join(line.split()[1:]) for line in said] == [
        "ping run", "wan modify delay=20ms", "client/recorded-client run command='cd /tmp && touch kept' directory=/",
        "client/recorded-client run command='sleep 0.1' directory=/"], "what failed is not recorded"
    times = [line.split()[0] for line in said]
    assert times[1] == times[2], "the clock stood still"
    by_hand.destroy()

    assert cli("record-events", "edit", "by-hand/work", "nowhere.txt").returncode == InvalidInput.exit_code
    Path("edited.txt").write_text(EDITED)
    assert cli("record-events", "edit", "by-hand/work", "edited.txt", "--format", "json").parsed["length_s"] == 0.2
    made = cli("record-events", "attach", "by-hand/work", "handwork@1", "--at", "0s", "--format", "json").parsed
    assert swapbed.templates.show(made["template"]).parent == swapbed.templates.find("handwork@1").digest
    assert swapbed.templates.show(made["template"]).parameters == swapbed.templates.show("handwork@1").parameters
    both = cli("record-events", "attach", "by-hand/work", made["template"], "--as", "sequence", "--name", "again").stdout.strip()
    with swapbed.deploy(both, name="replayed", DELAY="1ms") as net:
        net.wait("quiet", timeout_s=30)
        assert net["client"].read("/tmp/made") == b"first\nsecond\n", "in the order of their times"
        assert "wan modify" in [f"{line.target} {line.verb}" for line in net.events()]
        net.event("again", "run", timeout_s=30)
        assert net["client"].read("/tmp/made") == b"first\n", "in the order of the lines"
        assert [line.target for line in net.events() if line.kind == "fired"].count("recorded-client") == 4, "twice each"


def test_bad_input_and_a_recording_that_was_never_finished(by_hand: swapbed.Instance, cli: Cli) -> None:
    for words, kind, message in (("start by-hand second", Conflict, "'work' is not finished"), ("step by-hand", Conflict, "already"),
                                 ("start nobody x", NotFound, "no living instance"), ("show by-hand/x", NotFound, "no such recording")):
        said = cli("record-events", *words.split())
        assert (said.returncode, message in said.stderr) == (kind.exit_code, True), said.stderr
    by_hand.record_events("stop")
    with pytest.raises(Conflict, match="nothing is being recorded"):
        by_hand.record_events("pause")
    with pytest.raises(Conflict, match="already"):
        by_hand.record_events("start", "work")
    with pytest.raises(InvalidInput, match="by-hand/work:2"):
        swapbed.recordings.edit("by-hand/work", "0s wan up\n-1s wan up\n")
    with pytest.raises(InvalidInput, match="not understood"):
        swapbed.recordings.attach("by-hand/work", "handwork", at="soon")
    with pytest.raises(NotFound):
        swapbed.recordings.attach("by-hand/work", "handwork@99")
    by_hand.record_events("start", "unfinished")
    by_hand.event("ping", "run", timeout_s=30)
    by_hand.destroy()
    (kept,) = [one for one in swapbed.recordings.every(by_hand.id) if one.name == "unfinished"]
    assert kept.events == 1
    assert swapbed.recordings.edit(kept.id, "").events == 0
