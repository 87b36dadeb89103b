"""Conversions: what comes out evaluates to the same spec, or it is said what is lost."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from languages.convert import TARGETS, convert
from languages.emulab_rows import emulab_rows
from languages.evaluate import Source, evaluate
from languages.ns.tcl_text import TCL_COMMANDS, word
from languages.ns.writer import write_ns
from languages.python_writer import write_python
from languages.yaml_writer import write_yaml
from models.errors import InvalidInput
from models.spec import Spec

CONFORMANCE = sorted(p for p in (Path(__file__).parent / "ns" / "conformance").glob("*.ns") if p.name < "2")
EVERYTHING = r"""
set ns [new Simulator]
source tb_compat.tcl
$ns define-template-parameter RATE 5Mb {how {fast}}
set opt(NOTE) {a "b" $c [d] \e}
foreach n {a b c} { set $n [$ns node] }
set grid(1,1) [$a program-agent -command {echo "it's $HOME"; true} -dir "/tmp/a b" -timeout 1m -expected-exit-code 4]
set open-loop [$b program-agent -command "unbalanced \{ brace"]
tb-set-node-os $a UBUNTU20-64-STD
tb-set-node-os $b "my image"
tb-set-hardware $c vm
tb-set-hardware $a pc3000
tb-set-node-failure-action $b ignore
tb-set-node-tarfiles $a /opt tools.tgz /usr more.tar
tb-set-node-rpms $a x.rpm y.rpm
tb-set-node-startcmd $c {/bin/true}
tb-set-node-startup $b "/etc/rc"
set l [$ns duplex-link $a $b $RATE 35ms RED]
tb-set-link-simplex-params $l $b 3ms 700Kb 0.1
$l trace packet {tcp port 80}
$l trace_snaplen 64
set queue [[$ns link $b $a] queue]
$queue set limit_ 33
$queue set gentle_ 1
set m [$ns duplex-link $a $b * 0ms DropTail]
tb-set-netmask $m 255.255.255.240
$ns cost $a $b 3
set w [$ns make-lan "$a $b $c" 20Mb 5ms]
tb-set-lan-loss $w 0.19
tb-set-node-lan-params $c $w 9ms 1Mb 0.3
tb-set-ip-lan $c $w 10.200.0.9
$w SetTraceParams $b header
$a add-route $w $b
$c add-route $l $b
set udp [new Agent/UDP]
$ns attach-agent $a $udp
set cbr [new Application/Traffic/CBR]
$cbr set rate_ 300Kb
$cbr set interval_ 0.5
$cbr attach-agent $udp
set sink [new Agent/Null]
$ns attach-agent $b $sink
$ns connect $udp $sink
set g [$ns event-group [list $grid(1,1) $open-loop]]
set tl [$ns event-timeline]
set s [$ns event-sequence {
    $tl run
    $g run
    $queue set limit_ 44
    $ns log {half; way}
} catch {
    $ns msg "failed [string repeat ! 3]"
}]
$tl at 1h2m3s "$s start; $l delay 12.5ms; $l bandwidth 1Gb duplex; $l plr 0.5"
$tl at 0.25 "$cbr set packetSize_ 99"
$ns at swapout "$grid(1,1) kill USR1"
$ns at 7 "$a snapshot-to other"
$ns at 8 "$ns reset-lans"
$ns at 9 "$ns startrun RATE 6Mb"
$ns at 10 "$l trace stop"
$ns rtproto Session
tb-set-sync-server $c
$ns run
""".replace("$open-loop", "${open-loop}")


def spec_of(text: str, language: str = "ns") -> Spec:
    return evaluate(Source(f"test.{language}", text, language)).spec


def test_everything_ns_can_say_survives_ns():
    spec = spec_of(EVERYTHING)
    again = spec_of(write_ns(spec))
    assert {a.name: a for a in again.agents} == {a.name: a for a in spec.agents}
    assert again.model_copy(update={"agents": spec.agents}) == spec
    assert convert(Source("test.ns", EVERYTHING, "ns"), "ns").lost == (
        "parameters: their values are written where they were used, so that giving others changes only what programs see",)


@pytest.mark.parametrize("target", ["yaml", "python"])
def test_everything_ns_can_say_survives_yaml_and_python(target):
    conversion = convert(Source("test.ns", EVERYTHING, "ns"), target)
    assert [text for text in conversion.lost if not text.startswith(("parameters:", "image 'my image'"))] == []
    back = convert(Source(f"test{TARGETS[target]}", conversion.text, target), "emulab-rows")
    assert json.loads(back.text) == emulab_rows(spec_of(EVERYTHING))


@pytest.mark.parametrize("program", CONFORMANCE, ids=lambda p: p.stem)
def test_conformance_programs_survive_every_language(program):
    spec = evaluate(Source.read(program)).spec
    rows = emulab_rows(spec)
    for target, text in (("ns", write_ns(spec)), ("yaml", write_yaml(spec)), ("python", write_python(spec))):
        assert emulab_rows(spec_of(text, target)) == rows


YAML = """
name: study
description: two
parameters: {DELAY: 10ms}
nodes: {a: {cpus: 0.5, environment: {X: y}}, time: {}, b-c: {}}
links:
  - {name: my_link, endpoints: [a, time], delay: "${DELAY}", jitter: 1ms, bandwidth: 10500bps}
  - {name: six, endpoints: [a, b-c], delay: 2.5ms, addressing: dual}
agents: {p: {node: a, command: x, environment: {Z: q}}}
sequences: {s: [p run, my_link modify jitter=3ms]}
on_start: s
"""


def test_what_ns_cannot_say_is_said():
    lost = convert(Source("test.yml", YAML, "yaml"), "ns").lost
    for part in (
        "description (two)",
        "node 'a': cpus (0.5) is lost",
        "node 'a': environment (X=y) is lost",
        "node 'time' is lost",
        "node 'time-x' is new",
        "link or LAN 'my_link' is lost",
        "link or LAN 'my-link' is new",
        "agent 'p': environment (Z=q)",
        "event 'my_link modify jitter=3ms' is lost",
        "on_start (s) is lost",
        "event '0s s start' is new",
        "delay_s 0.00125 becomes 0.001",
        "addresses 10.1.2.2/24, fd00:0:0:1::2/64 becomes 10.1.2.2/24",
    ):
        assert any(part in text for text in lost), (part, lost)


def test_what_rows_cannot_say_is_said():
    lost = convert(Source("test.yml", YAML, "yaml"), "emulab-rows").lost
    assert set(lost) == {
        "description of the experiment",
        "on_start of the experiment",
        "cpus of node 'a'",
        "environment of node 'a'",
        "jitter of 'my_link'",
        "IPv6 addresses of 'six'",
        "environment of agent 'p'",
    }


def test_parameter_values_are_written_as_they_were_given():
    conversion = convert(Source("test.yml", YAML, "yaml"), "yaml", {"DELAY": "44ms"})
    assert spec_of(conversion.text, "yaml").lans[0].members[0].uplink.delay_s == 0.022


def test_unknown_targets_are_refused():
    with pytest.raises(InvalidInput, match="Did you mean 'yaml'"):
        convert(Source("test.ns", EVERYTHING, "ns"), "yml")


RATES = st.sampled_from([0, 64_000, 1_500_000, 10_000_000, 10**9, 123_000])
DELAYS = st.integers(0, 200).map(lambda n: 0 if n == 1 else n)
LOSSES = st.sampled_from([0, 0.02, 0.19, 0.5, 1, 0.000005])


@settings(max_examples=15, deadline=None)
@given(
    st.lists(st.tuples(RATES, DELAYS, LOSSES, RATES, DELAYS, LOSSES), min_size=1, max_size=4),
    st.lists(st.tuples(RATES, DELAYS, LOSSES), min_size=3, max_size=3),
    st.sampled_from(["DropTail", "RED", "GRED"]),
    st.integers(1, 99),
    st.booleans(),
)
def test_shaping_survives_ns(links, members, queue, limit, in_bytes):
    """Whatever is whole for Emulab, in every mixture."""
    lines = ["set ns [new Simulator]", "foreach n {a b c} { set $n [$ns node] }"]
    for i, (kbps, ms, loss, back_kbps, back_ms, back_loss) in enumerate(links):
        lines += [
            f"set l{i} [$ns duplex-link $a $b {kbps // 1000 or '*'}{'Kb' if kbps else ''} {ms}ms {queue}]",
            f"tb-set-link-loss $l{i} {loss:f}",
            f"tb-set-link-simplex-params $l{i} $b {back_ms}ms {back_kbps // 1000 or '*'}{'Kb' if back_kbps else ''} {back_loss:f}",
            f"[[$ns link $b $a] queue] set limit_ {limit}",
            f"[[$ns link $b $a] queue] set queue-in-bytes_ {int(in_bytes)}",
        ]
    lines += ['set w [$ns make-lan "$a $b $c" 10Mb 8ms]']
    for node, (kbps, ms, loss) in zip("abc", members, strict=True):
        if ms:
            lines += [f"tb-set-node-lan-params ${node} $w {ms}ms {kbps // 1000 or '*'}{'Kb' if kbps else ''} {loss:f}"]
    spec = spec_of("\n".join([*lines, "$ns run"]))
    assert spec_of(write_ns(spec)) == spec


@given(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=30))
def test_any_text_is_one_tcl_word(text):
    import tkinter

    tcl = tkinter.Tcl()
    assert tcl.eval(f"set x {word(text)}") == text


def test_the_known_commands_are_tcls():
    import tkinter

    tcl = tkinter.Tcl()
    tcl.eval("interp create -safe box")
    real = {*tcl.splitlist(tcl.eval("interp eval box {info commands}")), *tcl.splitlist(tcl.eval("interp hidden box"))}
    assert {c for c in real if not c.startswith("tcl")} <= TCL_COMMANDS | {
        "ledit",
        "lpop",
        "lremove",
        "lseq",
        "const",
        "fpclassify",
        "timerate",
    }
