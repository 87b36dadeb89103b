"""What means nothing here is accepted with exactly one warning that says what is ignored; what nobody knows is refused."""

from __future__ import annotations

import pytest

from languages.ns.ignored import IGNORED_CLASSES, IGNORED_COMMANDS
from languages.ns.lanlink import Link
from languages.ns.node import Node
from languages.ns.simulator import Simulator


@pytest.mark.parametrize(
    "names", [sorted(IGNORED_COMMANDS)[i : i + 25] for i in range(0, len(IGNORED_COMMANDS), 25)], ids=lambda names: names[0]
)
def test_ignored_commands_warn_once_each_however_often_they_stand(pair, names):
    evaluation = pair("".join(f"{name} $a 1\n{name} $b 2\n" for name in names))
    assert sorted(w.text.split(":")[0] for w in evaluation.warnings) == sorted(names)
    assert all(w.text == f"{name}: {IGNORED_COMMANDS[name]} (said 2 times)" for name, w in zip(names, evaluation.warnings, strict=True))
    assert [w.where for w in evaluation.warnings] == [f"test.ns:{6 + 2 * i}" for i in range(len(names))]
    assert evaluation.spec == pair("").spec


def test_a_file_full_of_them_means_the_same_as_without(pair):
    evaluation = pair("""
        tb-fix-node $a pc42
        tb-set-hardware $b pc3000
        tb-use-endnodeshaping 1
        tb-set-endnodeshaping $l 1
        tb-set-multiplexed $l 1
        tb-set-colocate-factor 10
        tb-elab-in-elab 1
        tb-use-modelnet 1
        tb-set-node-plab-role $a plc
        tb-make-soft-vtype fast {pc600 pc850}
        tb-set-link-failure-action $l nonfatal
    """)
    assert [w.where for w in evaluation.warnings] == [f"test.ns:{line}" for line in range(7, 18)]
    plain = pair("").spec
    assert evaluation.spec.lans == plain.lans
    assert [n.model_copy(update={"hardware": None}) for n in evaluation.spec.nodes] == list(plain.nodes)


WITHOUT_MEANING = [
    *((f"$ns {name} $a $b 1", f"Simulator {name}") for name in Simulator.ignored),
    *((f"$a {name} x", f"Node {name}") for name in Node.ignored),
    *((f"$l {name} x", f"Link {name}") for name in Link.ignored),
    *((f"set o# [new {name}]; $o# anything at all", f"new {name}") for name in IGNORED_CLASSES),
    ("$a set X_ 5", "Node set X_"),
    ("$l set whatever 1", "Link set whatever"),
    ("Agent/TCP set window_ 20", "Agent/TCP set"),
    ("Queue/RED set thresh_ 5", "Queue/RED set"),
    ("$ns connect $a [$a console]", "Console connect"),
    ('$ns at 1 "[$a console] start"', "Console start"),
    ('$ns at 1 "$l create"', "event create of a link"),
    ('$ns at 1 "$a reload -image x"', "event reload of a node"),
    ('$ns at 1 "$ns trace-for 30"', "event trace-for"),
    ('$ns at 1 "$ns linktest"', "event linktest"),
    ('$ns at 1 "$a setdest 1 2 3"', "event setdest of a node"),
    ("set s# [$ns event-sequence {$l up}]; $s# dump x", "EventSequence dump"),
    ("set d# [$a disk-agent -size 5]; $d# anything", "Node disk-agent"),
    ("set k# [$a custom-agent -name x]", "Node custom-agent"),
    ("$ns rtproto DV", "rtproto DV"),
    ("$ns rtproto none $a", "rtproto NODE"),
    ('$ns at 1 "$ns report -archive x"', "report -archive"),
    ('set c# [$ns make-cloud "$a $b" 10Mb 0ms]', "make-cloud"),
    ('set c# [$ns make-lan "$a $b" 10Mb 0ms LL Queue/DropTail Mac/802_3]', "make-lan LL"),
    ("set k# [$ns duplex-link $a $b 10Mb 0ms DropTail 1]", "duplex-link 1"),
    ("set t# [new Agent/TCP/Newreno]", "new Agent/TCP/Newreno"),
    ("set p# [$a program-agent -command x]; $p# start", "Program start"),
]


def test_commands_of_objects_that_mean_nothing(pair):
    """One line each; each warns once, at its line, and changes nothing."""
    evaluation = pair("\n".join(command.replace("#", f"{number}") for number, (command, _) in enumerate(WITHOUT_MEANING)))
    assert [(w.text.split(": ")[0], w.where) for w in evaluation.warnings] == [
        (key, f"test.ns:{6 + number}") for number, (_, key) in enumerate(WITHOUT_MEANING)]
    assert evaluation.spec.nodes == pair("").spec.nodes


@pytest.mark.parametrize(
    ("command", "near"),
    [
        ("tb-set-node-failure $a nonfatal", "tb-set-node-failure-action"),
        ("tb-fixnode $a pc1", "tb-fix-node"),
        ("$ns dupplex-link $a $b 1Mb 1ms DropTail", "duplex-link"),
        ("$a add-rout $l $b", "add-route"),
        ("$l trace_snap 5", "trace_snaplen"),
        ("set q [[$ns link $a $b] queues]", "queue"),
        ("new Agent/TCPSinks", "Agent/TCPSink"),
        ("set s [$ns event-sequence]\n$s apend x", "append"),
        ("set s [$ns event-group]\n$s ad x", "add"),
    ],
)
def test_unknown_commands_are_refused_with_the_nearest_known(refusal, command, near):
    error = refusal(command, pair=True)
    assert error.next == f"Did you mean '{near}'?"
    assert error.where == f"test.ns:{6 + command.count(chr(10))}"


@pytest.mark.parametrize(
    "command", ["$ns make-simulated { set x [$ns node] }", "set x [$ns bridge]", "set x [$ns blockstore]", "set x [$ns make-path $l]"]
)
def test_what_cannot_be_ignored_is_refused(refusal, command):
    assert refusal(command, pair=True).where == "test.ns:6"
