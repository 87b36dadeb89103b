"""It is Tcl: names, scopes, procedures, lines of errors, and what a safe interpreter withholds."""

from __future__ import annotations

import pytest

from languages.ns.commands import FORBIDDEN


def names(evaluation) -> list[str]:
    return [node.name for node in evaluation.spec.nodes]


def test_objects_are_named_by_the_global_variable_they_are_first_stored_in(ns):
    body = """
        set one [$ns node]
        set again $one
        set client(0) [$ns node]
        set ::two [$ns node]
        set grid(1) [set other [$ns node]]
    """
    assert names(ns(body)) == ["one", "client-0", "two", "other"]


def test_what_no_variable_names_keeps_emulabs_internal_name(ns):
    body = """
        set kept [list [$ns node] [$ns node]]
        $ns node
        lappend more [$ns node]
        set lans [$ns make-lan $kept 10Mb 0ms]
        set named [$ns node]
    """
    evaluation = ns(body)
    assert names(evaluation) == ["tbnode-n1", "tbnode-n2", "tbnode-n3", "tbnode-n4", "named"]
    assert evaluation.spec.lans[0].name == "lans"


def test_a_procedure_names_nothing_until_a_global_does(ns):
    body = """
        proc make {} { global ns; set inner [$ns node]; set scratch 1; return $inner }
        proc make_global {} { global ns shared; set shared [$ns node]; return $shared }
        proc into {variable} { upvar $variable place; set place [$::ns node] }
        set outer [make]
        set copy [make_global]
        into passed
    """
    assert names(ns(body)) == ["outer", "shared", "tbnode-n3"]


def test_a_variable_holds_its_objects_name(ns):
    evaluation = ns('set server [$ns node]\nset p [$server program-agent -command "ping $server"]\nputs $p')
    assert evaluation.spec.agents[0].command == "ping server"
    assert str(evaluation.warnings[0]) == "test.ns:5: the program says: p"


def test_all_of_tcl_is_there(ns):
    body = r"""
        namespace eval shapes { variable sides 3; proc name {i} { variable sides; return [format "n%02d-%d" $i $sides] } }
        array set wanted {left 1 right 2}
        foreach key [lsort [array names wanted]] { incr total $wanted($key) }
        set i 0
        while {$i < $total} { set [shapes::name $i] [$ns node]; incr i }
        if {[catch {error "oops"} message]} { set caught [string toupper $message] }
        switch -regexp -- $caught { ^O { set last [$ns node] } default { error "no" } }
        dict set d a [expr {int(sqrt(16)) << 1}]
        eval "set evaluated \[\$ns node\]"
        regexp {n(\d+)} n42 whole part
        set node$part [$ns node]
        try { throw {A B} "thrown" } trap {A B} {} { set n[dict get $d a] [$ns node] }
    """
    assert names(ns(body)) == ["n00-3", "n01-3", "n02-3", "last", "evaluated", "node42", "n8"]


def test_the_same_source_gives_the_same_spec_although_it_draws_random_numbers(ns):
    body = "for {set i 0} {$i < 5} {incr i} { set n[expr {int(rand() * 1e9)}] [$ns node] }"
    first, second = ns(body), ns(body)
    assert first.spec == second.spec
    seeded = ns("expr {srand([clock seconds])}\nset n[expr {int(rand() * 1e9)}] [$ns node]")
    assert seeded.spec == ns("expr {srand([clock seconds])}\nset n[expr {int(rand() * 1e9)}] [$ns node]").spec
    assert "clock" in seeded.warnings[0].text


@pytest.mark.parametrize(("body", "line", "what"), [
    ("set x $nope", 3, "can't read \"nope\""),
    ("set a 1\nif {$a} {\n  set b 2\n  set x $nope\n}", 6, "can't read"),
    ("proc f {} {\n  set a 1\n  return [expr {$a + $nope}]\n}\nset b 2\nf", 5, "can't read"),
    ("proc f {} {\n  global ns\n  $ns frob\n}\nforeach i {1 2} {\n  f\n}", 5, "simulator 'ns' has no command 'frob'"),
    ("set a [$ns node\nset b 1", 3, "missing close-bracket"),
    ("set a [$ns node]\nset b {\n", 4, "missing close-brace"),
    ("error {out of\nclams}", 3, "out of clams"),
    ("set a [$ns node]\nset x [$a frobnicate]", 4, "node 'a' has no command 'frobnicate'"),
    ("foreach i {1 2 3} {\n  if {$i == 3} {\n    set n($i) [$ns node] ; bogus\n  }\n}", 5, "unknown command 'bogus'"),
    ("while {1} {\n  incr i\n  if {$i > 3} {break}\n}\nexpr {1 / 0}", 7, "divide by zero"),
    ("set list [$ns node]", 3, "cannot be named 'list'"),
    ("set a [$ns node]\nproc b {} {}\nset b [$ns node]", 5, "cannot be named 'b'"),
    ("set a [$ns node]\nset c(1) [$ns node]\nset c-1 [$ns node]", 5, "already an object named 'c-1', from line 4"),
    ("set a_b [$ns node]", 3, "not a DNS label"),
    ("set ops [$ns node]", 3, "'ops'"),
    ("set instance [$ns node]", 3, "instance"),
    ("set other [new Simulator]", 3, "one Simulator only"),
    ("$ns run\n$ns run", 4, "only be said once"),
    ("set u [new Agent/UPD]", 3, "unknown class 'Agent/UPD'"),
    ("new Program", 3, "expects the simulator"),
])
def test_errors_name_their_line_wherever_it_is(refusal, body, line, what):
    error = refusal(body)
    assert error.where == f"test.ns:{line}"
    assert what in error.what


def test_unknown_commands_say_what_is_near(refusal):
    assert refusal("tb-set-nod-os x y").next == "Did you mean 'tb-set-node-os'?"
    assert refusal("$ns duplx-link a b").next == "Did you mean 'duplex-link'?"
    assert refusal("new Agent/UPD").next == "Did you mean 'Agent/UDP'?"
    assert refusal("set a [$ns node]\n$a progam-agent").next == "Did you mean 'program-agent'?"


@pytest.mark.parametrize("name", sorted(FORBIDDEN))
def test_what_could_touch_the_host_is_refused(refusal, name):
    error = refusal(f"set a 1\n{name} whatever it takes")
    assert error.where == "test.ns:4"
    assert f"'{name}' is not available" in error.what


@pytest.mark.parametrize(
    "body",
    [
        "source /etc/passwd",
        "puts $env(HOME)",
        "::tcl::file::exists /etc",
        "fcopy a b",
        "puts channel text",
        "info hostname x",
        "interp create x",
        "namespace eval ::tcl {exec ls}",
        "set f [::open /etc/passwd]",
    ],
)
def test_there_is_no_way_around(refusal, body):
    assert refusal(body).where == "test.ns:3"


def test_no_file_of_the_host_can_be_seen(ns):
    """Whatever a program may still ask, it learns nothing."""
    assert ns("catch {glob /*} a; catch {exec ls} b; catch {open /etc/passwd} c; catch {source /etc/passwd} d\nputs $a$b$c$d").warnings[
        0
    ].text == (
        "the program says: 'glob' is not available: an ns program cannot look at files"
        "'exec' is not available: an ns program cannot run programs'open' is not available: an ns program cannot open files"
        "source: '/etc/passwd' cannot be read: a program touches no files"
    )


def test_catch_makes_tcls_errors_good_and_the_testbeds_not(ns, refusal):
    assert names(ns("catch {bogus}\ncatch {expr 1/0}\nset a [$ns node]")) == ["a"]
    assert refusal("set a [$ns node]\ncatch {$ns duplex-link $a nosuch 1Mb 1ms DropTail}").where == "test.ns:4"


def test_what_stands_after_run_is_said_to_have_no_effect(ns):
    evaluation = ns("set a [$ns node]\n$ns run\nset b [$ns node]\nreturn")
    assert names(evaluation) == ["a"]
    assert evaluation.warnings[0].text.startswith("after run")


def test_output_is_bounded(ns):
    evaluation = ns("for {set i 0} {$i < 5000} {incr i} { puts [string repeat x 5000] }")
    assert len(evaluation.warnings) == 1000
    assert max(len(w.text) for w in evaluation.warnings) < 1100


def test_text_beyond_ascii_survives(ns):
    evaluation = ns('set a [$ns node]\nset p [$a program-agent -command "echo \\u00e9ß漢字 \\ud83d\\ude00"]')
    assert evaluation.spec.agents[0].command.startswith("echo éß漢字")


def test_internal_names_of_tcl_can_be_broken_only_for_oneself(refusal):
    assert "unknown command 'set'" in refusal("rename set {}\nset a 1").what
    assert refusal("proc info {args} {error broken}\nset a [$ns frob]").where == "test.ns:4"
