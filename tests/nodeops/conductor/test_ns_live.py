"""What an ns program says of queues, traffic, reports and snapshots, as the network and the nodes really do it."""

from __future__ import annotations

from collections.abc import Callable

from languages.evaluate import Source, evaluate
from nodeops.conductor.client import ConductorClient
from nodeops.wires.client import WiresClient
from tests.nodeops.conductor.test_live import lines
from tests.nodeops.instances import run, wait_until

QUEUES = """
set ns [new Simulator]
set a [$ns node]
set b [$ns node]
set plain [$ns duplex-link $a $b 1Mb 0ms DropTail]
set early [$ns duplex-link $a $b 1Mb 0ms RED]
set q [[$ns link $a $b] queue]
foreach {name value} {limit_ 40 thresh_ 2 maxthresh_ 4 q_weight_ 1 linterm_ 1 queue-in-bytes_ 0} { $q set $name $value }
set p [$plain Queue $a]
$p set queue-in-bytes_ 1
$p set limit_ 6000
$ns at 3600 "$p set limit_ 20; $p set queue-in-bytes_ 0"
$ns at 3600 "$q set thresh_ 30; $q set maxthresh_ 40; $q set linterm_ 50; $q set q_weight_ 0.5"
$ns run
"""
BURST = "python3 -c \"import socket as s; u = s.socket(s.AF_INET, s.SOCK_DGRAM); [u.sendto(bytes(958), ('{}', 9)) for _ in range(40)]\""


def dropped(client: ConductorClient, lan: str, address: str) -> tuple[int, int]:
    """Of 40 frames of 1000 bytes at once: how many found the queue full, and how many RED refused before that."""
    with WiresClient(client.layout) as wires:
        def counts() -> tuple[int, int]:
            tally = next(p.tally for p in wires.show(lan, "a") if p.direction == "uplink")
            return tally.dropped_queue, tally.dropped_red

        before = counts()
        assert run(client.layout, "a", BURST.format(address)).code == 0
        wait_until(lambda: next(p for p in wires.show(lan, "a") if p.direction == "uplink").held_frames == 0)
        after = counts()
        return after[0] - before[0], after[1] - before[1]


def test_queue_and_red_settings_of_ns_hold_from_the_beginning_and_by_events(conduct: Callable[..., ConductorClient]) -> None:
    spec = evaluate(Source("queues.ns", QUEUES, "ns"), {}).spec
    client = conduct(spec)
    addresses = {lan.name: lan.members[1].addresses[0].partition("/")[0] for lan in spec.lans}
    run(client.layout, "a", f"ping -c 1 {addresses['plain']}; ping -c 1 {addresses['early']}")  # neighbours know each other from here on
    full, _ = dropped(client, "plain", addresses["plain"])
    assert 30 <= full <= 34, "6000 bytes hold 6 frames, and one or two are being sent"
    full, early = dropped(client, "early", addresses["early"])
    assert early >= 15 and full == 0, "RED drops before the queue of 40 packets is full"
    for event in spec.events:
        client.send_event(event.target, event.verb, event.arguments, wait=True, timeout_s=10)
    with WiresClient(client.layout) as wires:
        queues = {lan: next(p for p in wires.show(lan, "a") if p.direction == "uplink").shaping.queue for lan in ("plain", "early")}
    red = queues["early"].red
    assert (queues["plain"].limit, queues["plain"].unit) == (20, "packets")
    assert (red.min_threshold, red.max_threshold, red.linear_term, red.weight) == (30, 40, 50, 0.5)
    full, _ = dropped(client, "plain", addresses["plain"])
    assert 16 <= full <= 20, "20 packets now"
    full, early = dropped(client, "early", addresses["early"])
    assert early + full <= 10, "and RED has no reason any more"


MONITORED = """
set ns [new Simulator]
set a [$ns node]
set b [$ns node]
set l [$ns duplex-link $a $b 10Mb 0ms DropTail]
$l trace monitor "icmp"
$ns run
"""


def test_a_monitored_link_has_its_frames_and_bytes_second_by_second(conduct: Callable[..., ConductorClient]) -> None:
    client = conduct(evaluate(Source("monitored.ns", MONITORED, "ns"), {}).spec)
    assert run(client.layout, "a", "ping -c 8 -i 0.2 -s 58 10.1.1.3").code == 0
    client.stop_run()
    heading, *lines = (client.layout.root / "traces/1/l.1.csv").read_text().splitlines()
    assert heading == "second,node,sent_frames,sent_bytes,received_frames,received_bytes"
    rows = [line.split(",") for line in lines]
    assert len({row[0] for row in rows}) >= 2 and [int(row[0]) for row in rows] == sorted(int(row[0]) for row in rows)
    for node in ("a", "b"):
        numbers = [list(map(int, row[2:])) for row in rows if row[1] == node]
        assert [sum(column) for column in zip(*numbers, strict=True)] == [8, 800, 8, 800], "8 requests, 8 answers, of 100 bytes; no ARP"


ACTIVITY = """
set ns [new Simulator]
set a [$ns node]
set b [$ns node]
set l [$ns duplex-link $a $b 10Mb 0ms DropTail]
$l trace packet "udp port 5001"
set udp [new Agent/UDP]
$ns attach-agent $a $udp
set cbr [new Application/Traffic/CBR]
$cbr set packetSize_ 100
$cbr set interval_ 0.01
$cbr set iptos_ 40
$cbr attach-agent $udp
set sink [new Agent/Null]
$ns attach-agent $b $sink
$ns connect $udp $sink
set good [$a program-agent -command {echo fine}]
set bad [$b program-agent -command {echo why >&2; exit 3}]
set slow [$b program-agent -command {sleep 60}]
set steps [$ns event-sequence {
    $good run
    $ns snapshot
    $good run -command {echo later}
}]
$ns at 3600 "$steps start"
$ns at 3600 "$cbr set iptos_ 184"
$ns run
"""


def test_type_of_service_report_and_snapshot(conduct: Callable[..., ConductorClient]) -> None:
    spec = evaluate(Source("activity.ns", ACTIVITY, "ns"), {}).spec
    client = conduct(spec)
    client.send_event("cbr", "start", wait=True, timeout_s=10)
    client.send_event("slow", "start", wait=True, timeout_s=10)
    assert client.send_event("bad", "run", wait=True, timeout_s=10).outcome.code == 3  # type: ignore[union-attr]
    assert client.send_event("steps", "run", wait=True, timeout_s=10).outcome.ok  # type: ignore[union-attr]
    (token,) = [line.token for line in lines(client, "fired", "instance") if line.verb == "snapshot"]
    kept = client.layout.node("a").upper / f"swapbed/archive/snapshots/{token}/good"
    assert (kept / "1.out").read_text() == "fine\n" and not (kept / "2.out").exists(), "as it was then"
    client.send_event("instance", "report", wait=True, timeout_s=10)
    (report,) = [line.detail["text"] for line in client.events() if line.kind == "report"]
    assert report.splitlines() == ["run 1: 6 programs started (bad, cbr, good 2x, sink, slow)", "cbr still runs", "slow still runs",
                                   "failed: bad run: exit code 3 instead of 0"]
    client.send_event("cbr", "modify", next(e for e in spec.events if e.verb == "modify").arguments, wait=True, timeout_s=10)
    trace = client.layout.root / "traces/1/l.1.pcapng"
    wait_until(lambda: b"\x08\x00\x45\xb8" in trace.read_bytes())
    assert b"\x08\x00\x45\x28" in trace.read_bytes(), "40 from the beginning, 184 by the event"
    client.stop_run()
    record = client.layout.node("a").upper / f"swapbed/runs/1/archive/snapshots/{token}/good/1.out"
    assert record.read_text() == "fine\n", "it is in the run's record"
