"""Everything that can be told to something: arguments, verbs, times, and the rows they make."""

from __future__ import annotations

import pytest

from languages.emulab_rows import emulab_rows

MADE = """
$ns define-template-parameter RATE 8Mb
set p [$a program-agent -command "work"]
set q [$b program-agent]
set queue [[$ns link $a $b] queue]
set udp [new Agent/UDP]
$ns attach-agent $a $udp
set cbr [new Application/Traffic/CBR]
$cbr attach-agent $udp
set sink [new Agent/Null]
$ns attach-agent $b $sink
$ns connect $udp $sink
set tl [$ns event-timeline]
set seq [$ns event-sequence]
$seq append "$p run"
set grp [$ns event-group]
$grp add $p $q
set links [$ns event-group]
$links add $l
"""
LINE = 6 + MADE.count("\n")  # of what comes after it and the pair

# event, (target, verb, arguments of the spec), (objecttype, eventtype, vnode, vname, arguments of the rows)
EVENTS = [
    ("$p start", ("p", "start", {}), ("PROGRAM", "START", "a", "p", "COMMAND=work")),
    (
        "$p run -command {echo hi} -tag one",
        ("p", "run", {"command": "echo hi", "tag": "one"}),
        ("PROGRAM", "RUN", "a", "p", "TAG=one COMMAND=echo hi"),
    ),
    (
        "$p start -dir /tmp -timeout 1m -expected-exit-code 3",
        ("p", "start", {"directory": "/tmp", "timeout_s": 60, "expected_exit_code": 3}),
        ("PROGRAM", "START", "a", "p", "DIR={/tmp} EXPECTED_EXIT_CODE=3 TIMEOUT={60} COMMAND=work"),
    ),
    ("$p set -command other", ("p", "set", {"command": "other"}), ("PROGRAM", "MODIFY", "a", "p", "COMMAND=other")),
    ("$p stop", ("p", "stop", {}), ("PROGRAM", "STOP", "a", "p", None)),
    ("$p kill TERM", ("p", "kill", {"signal": "TERM"}), ("PROGRAM", "KILL", "a", "p", "SIGNAL=TERM")),
    ("$p kill SIGUSR1", ("p", "kill", {"signal": "SIGUSR1"}), ("PROGRAM", "KILL", "a", "p", "SIGNAL=SIGUSR1")),
    ("$p kill 9", ("p", "kill", {"signal": "9"}), ("PROGRAM", "KILL", "a", "p", "SIGNAL=9")),
    ("$q run", ("q", "run", {}), ("PROGRAM", "RUN", "b", "q", None)),
    ("$grp run", ("grp", "run", {}), ("PROGRAM", "RUN", "*", "grp", None)),
    ("$grp start -command x", ("grp", "start", {"command": "x"}), ("PROGRAM", "START", "*", "grp", "COMMAND=x")),
    ("$links down", ("links", "down", {}), ("LINK", "DOWN", None, "links", None)),
    ("$l up", ("l", "up", {}), ("LINK", "UP", None, "l", None)),
    ("$l down", ("l", "down", {}), ("LINK", "DOWN", None, "l", None)),
    ("$l reset", ("l", "reset", {}), ("LINK", "RESET", None, "l", None)),
    ("$l bandwidth 512Kb duplex", ("l", "modify", {"bandwidth_bps": 512_000}), ("LINK", "MODIFY", None, "l", "BANDWIDTH=512")),
    ("$l delay 120ms", ("l", "modify", {"delay_s": 0.12}), ("LINK", "MODIFY", None, "l", "DELAY=120ms")),
    ("$l delay 7", ("l", "modify", {"delay_s": 0.007}), ("LINK", "MODIFY", None, "l", "DELAY=7ms")),
    ("$l plr 0.25", ("l", "modify", {"loss": 0.25}), ("LINK", "MODIFY", None, "l", "PLR=0.25")),
    ("$l trace start", ("l", "trace-start", {}), ("LINKTRACE", "START", None, "l-tracemon", None)),
    ("$l trace stop", ("l", "trace-stop", {}), ("LINKTRACE", "STOP", None, "l-tracemon", None)),
    ("$l trace snapshot", ("l", "trace-snapshot", {}), ("LINKTRACE", "SNAPSHOT", None, "l-tracemon", None)),
    (
        "$queue set limit_ 55",
        ("l", "modify", {"member": "a", "direction": "uplink", "queue_limit": 55}),
        ("LINK", "MODIFY", None, "l-a", "LIMIT=55"),
    ),
    (
        "$queue set thresh_ 8",
        ("l", "modify", {"member": "a", "direction": "uplink", "red_min_threshold": 8}),
        ("LINK", "MODIFY", None, "l-a", "THRESH=8"),
    ),
    (
        "$queue set maxthresh_ 21",
        ("l", "modify", {"member": "a", "direction": "uplink", "red_max_threshold": 21}),
        ("LINK", "MODIFY", None, "l-a", "MAXTHRESH=21"),
    ),
    (
        "$queue set linterm_ 9",
        ("l", "modify", {"member": "a", "direction": "uplink", "red_linear_term": 9}),
        ("LINK", "MODIFY", None, "l-a", "LINTERM=9"),
    ),
    (
        "$queue set q_weight_ 0.01",
        ("l", "modify", {"member": "a", "direction": "uplink", "red_weight": 0.01}),
        ("LINK", "MODIFY", None, "l-a", "Q_WEIGHT=0.01"),
    ),
    (
        "$queue set queue-in-bytes_ 1",
        ("l", "modify", {"member": "a", "direction": "uplink", "queue_unit": "bytes"}),
        ("LINK", "MODIFY", None, "l-a", "QUEUE-IN-BYTES=1"),
    ),
    ("$queue trace start", ("l", "trace-start", {"member": "a"}), ("LINKTRACE", "START", None, "l-a-tracemon", None)),
    ("$cbr start", ("cbr", "start", {}), ("TRAFGEN", "START", "a", "cbr", None)),
    ("$cbr stop", ("cbr", "stop", {}), ("TRAFGEN", "STOP", "a", "cbr", None)),
    ("$cbr reset", ("cbr", "reset", {}), ("TRAFGEN", "RESET", "a", "cbr", None)),
    ("$cbr set packetSize_ 100", ("cbr", "modify", {"packet_size_bytes": 100}), ("TRAFGEN", "MODIFY", "a", "cbr", "PACKETSIZE=100")),
    ("$cbr set rate_ 300Kb", ("cbr", "modify", {"rate_bps": 300_000}), ("TRAFGEN", "MODIFY", "a", "cbr", "RATE=300")),
    ("$cbr set interval_ 0.5", ("cbr", "modify", {"interval_s": 0.5}), ("TRAFGEN", "MODIFY", "a", "cbr", "INTERVAL=0.5")),
    ("$cbr set iptos_ 8", ("cbr", "modify", {"type_of_service": 8}), ("TRAFGEN", "MODIFY", "a", "cbr", "IPTOS=8")),
    ("$a reboot", ("a", "reboot", {}), ("NODE", "REBOOT", None, "a", None)),
    ("$a snapshot-to my-image", ("a", "snapshot", {"text": "my-image"}), ("NODE", "SNAPSHOT", None, "a", "IMAGE=my-image")),
    ("$tl start", ("tl", "start", {}), ("TIMELINE", "START", None, "tl", None)),
    ("$tl run", ("tl", "run", {}), ("TIMELINE", "RUN", None, "tl", None)),
    ("$seq start", ("seq", "start", {}), ("SEQUENCE", "START", None, "seq", None)),
    ("$seq run", ("seq", "run", {}), ("SEQUENCE", "RUN", None, "seq", None)),
    ("$ns terminate", ("instance", "terminate", {}), ("SIMULATOR", "HALT", "*", "ns", None)),
    ("$ns halt", ("instance", "terminate", {}), ("SIMULATOR", "HALT", "*", "ns", None)),
    ("$ns swapout", ("instance", "swapout", {}), ("SIMULATOR", "SWAPOUT", "*", "ns", None)),
    ("$ns stoprun", ("instance", "stop-run", {}), ("SIMULATOR", "STOPRUN", "*", "ns", None)),
    ("$ns startrun RATE 5Mb", ("instance", "start-run", {"parameters": {"RATE": "5Mb"}}), ("SIMULATOR", "STARTRUN", "*", "ns", "RATE=5Mb")),
    ("$ns snapshot", ("instance", "snapshot", {}), ("SIMULATOR", "SNAPSHOT", "*", "ns", "LOGHOLE_ARGS='-s'")),
    ("$ns report", ("instance", "report", {}), ("SIMULATOR", "REPORT", "*", "ns", None)),
    ("$ns cleanlogs", ("instance", "clean-logs", {}), ("SIMULATOR", "RESET", "*", "ns", "ASPECT=LOGHOLE")),
    ("$ns msg {all is well}", ("instance", "message", {"text": "all is well"}), ("SIMULATOR", "MESSAGE", "*", "ns", "all is well")),
    ("$ns message a b c", ("instance", "message", {"text": "a b c"}), ("SIMULATOR", "MESSAGE", "*", "ns", "a b c")),
    ("$ns log {half way}", ("instance", "log", {"text": "half way"}), ("SIMULATOR", "LOG", "*", "ns", "half way")),
    ("$ns reset-lans", ("__all_lans", "reset", {}), ("LINK", "RESET", "*", "__all_lans", None)),
]


@pytest.fixture(scope="module")
def told(pair):
    """All events at once, each at a time of its own; evaluated once."""
    return pair(MADE + "".join(f'$ns at {time} "{event}"\n' for time, (event, _, _) in enumerate(EVENTS))).spec


@pytest.fixture
def rows_of():
    return lambda evaluation, name: [tuple(r.get(c) for c in ("objecttype", "eventtype", "vnode"))
                                     for r in emulab_rows(evaluation.spec)["eventlist"] if r["vname"] == name]


@pytest.mark.parametrize("index", range(len(EVENTS)), ids=[event for event, _, _ in EVENTS])
def test_events_mean_what_they_say(told, index):
    target, verb, arguments = EVENTS[index][1]
    event = told.events[index]
    assert (event.target, event.verb, event.at_s, event.arguments.model_dump(exclude_none=True)) == (target, verb, index, arguments)
    row = next(r for r in emulab_rows(told)["eventlist"] if r.get("time") == str(index) and "parent" not in r)
    assert tuple(row.get(c) for c in ("objecttype", "eventtype", "vnode", "vname", "arguments")) == EVENTS[index][2]


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0", 0),
        ("1.0", 1),
        (".5", 0.5),
        ("90", 90),
        ("1m30s", 90),
        ("2h5m", 7500),
        ("1h20m3s", 4803),
        ("45s", 45),
        ("1h3s", 3603),
        ("[expr 0.1 * 3]", 0.1 * 3),
        ("1e-3", 0.001),
    ],
)
def test_times(pair, text, seconds):
    evaluation = pair(MADE + f'$ns at {text} "$p start"\n$tl at {text} "$p stop"')
    assert evaluation.spec.events[0].at_s == evaluation.spec.timelines[0].entries[0].at_s == seconds


@pytest.mark.parametrize("text", ["-3", "soon", "1.5m", "3m2h", "1d", "{}", "1h20", "1e99", "nan", "inf", "swapin"])
def test_bad_times_are_refused(refusal, text):
    for object in ("$ns", "$tl"):
        error = refusal(MADE + f'{object} at {text} "$p start"', pair=True)
        assert error.where == f"test.ns:{LINE}"
        assert "time" in error.what


def test_several_events_in_one_string(pair):
    evaluation = pair(MADE + '$ns at 3 "$p start; $q run -command {a; b} ; $l down"\n$ns at 4 "$p stop\n  $q stop"')
    assert [(e.target, e.verb, e.at_s, e.arguments.command) for e in evaluation.spec.events] == [
        ("p", "start", 3, None), ("q", "run", 3, "a; b"), ("l", "down", 3, None), ("p", "stop", 4, None), ("q", "stop", 4, None)]


def test_swapout_is_a_trigger(pair):
    evaluation = pair(MADE + '$ns at swapout "$p stop"')
    assert [(e.target, e.on) for e in evaluation.spec.events] == [("p", "swapout")]


def test_sequences_keep_their_lines_and_the_callers_variables(pair):
    evaluation = pair(MADE + r"""
        set what "echo $p"
        proc make {local} {
            global ns p q l
            return [$ns event-sequence {
                # a comment; with a semicolon
                $p run -command $local -tag "a b"

                $q run \
                    -command {exit 3}
                $l down; $l up
                $ns log [string toupper done]
            }]
        }
        set made [make "inner"]
    """.replace("\\\\", "\\"))
    made = next(s for s in evaluation.spec.sequences if s.name == "made")
    assert [(s.target, s.verb, s.arguments.model_dump(exclude_none=True)) for s in made.steps] == [
        ("p", "run", {"command": "inner", "tag": "a b"}), ("q", "run", {"command": "exit 3"}), ("l", "down", {}), ("l", "up", {}),
        ("instance", "log", {"text": "DONE"})]


def test_a_sequence_may_catch(pair):
    evaluation = pair(MADE + """
        set guarded [$ns event-sequence {
            $p run
        } catch {
            $ns log "it failed"
        }]
    """)
    sequences = {s.name: s for s in evaluation.spec.sequences}
    assert sequences["guarded"].on_error == "guarded-catch"
    assert [s.verb for s in sequences["guarded-catch"].steps] == ["log"]


def test_sequences_and_timelines_made_by_new(pair):
    evaluation = pair(MADE + """
        set s2 [new EventSequence $ns { $p run }]
        set t2 [new EventTimeline $ns]
        $t2 at 5 "$s2 run"
        set g2 [new EventGroup $ns]
        $g2 add $cbr
        $ns at 1 "$g2 stop"
    """)
    assert [s.name for s in evaluation.spec.sequences] == ["seq", "s2"]
    assert [(t.name, [e.at_s for e in t.entries]) for t in evaluation.spec.timelines] == [("tl", []), ("t2", [5])]
    assert evaluation.spec.events[0].target == "g2"


def test_groups_of_sequences(rows_of, pair):
    evaluation = pair(MADE + "set both [$ns event-group [list $seq]]\n$ns at 1 \"$both run\"")
    assert rows_of(evaluation, "both") == [("SEQUENCE", "RUN", None)]
    assert [g.members for g in evaluation.spec.groups if g.name == "both"] == [("seq",)]


def test_an_event_means_the_object_whatever_it_is_called_later(pair):
    evaluation = pair(MADE + """
        proc make {} { global ns a; set r [$a program-agent -command x]; $ns at 1 "$r start"; return $r }
        set later [make]
    """)
    assert evaluation.spec.events[0].target == "later"


def test_an_empty_sequence_is_warned_of(pair):
    assert [w.text for w in pair("set empty [$ns event-sequence]").warnings] == ["sequence empty: it is empty"]


@pytest.mark.parametrize(("event", "message", "next"), [
    ("$p frobnicate", "'p' is a program and does not know the event 'frobnicate'", None),
    ("$p strat", "does not know the event 'strat'", "Did you mean 'start'?"),
    ("$p", "lacks its verb", None),
    ("nosuch start", "no object 'nosuch'", None),
    ("\\$p start", "no object '$p'", "Braces keep $ from being substituted: use double quotes."),
    ("$p kill", "kill lacks its signal", None),
    ("$p kill TREM", "'TREM' is not a signal", "Did you mean 'TERM'?"),
    ("$p run -comand x", "has no option '-comand'", "Did you mean '-command'?"),
    ("$p run -timeout soon", "time 'soon' is not understood", None),
    ("$p run -expected-exit-code lots", "not a number", None),
    ("$p run -command", "has no value", None),
    ("$p run {-command {unclosed}", "missing close-brace", None),
    ("$l bandwidth", "bandwidth lacks its value", None),
    ("$l bandwidth 10Frob duplex", "unknown unit 'Frob'", None),
    ("$l delay soon", "not understood", None),
    ("$l plr 1.5", "not a fraction", None),
    ("$l trace begin", "trace expects one of", None),
    ("$l start", "is a link and does not know the event 'start'", None),
    ("$queue set limt_ 5", "cannot be changed by an event", "Did you mean 'limit_'?"),
    ("$queue set limit_", "expects a variable and its value", None),
    ("$cbr set packetSize_ 0", "from 1 to 65507", None),
    ("$cbr pause", "does not know the event 'pause'", None),
    ("$a snapshot-to", "lacks the image's name", None),
    ("$a rebot", "does not know the event 'rebot'", "Did you mean 'reboot'?"),
    ("$ns stopruns", "does not know the event 'stopruns'", "Did you mean 'stoprun'?"),
    ("$ns startrun RATE", "pairs of a parameter's name and its value", None),
    ("$seq stop", "does not know the event 'stop'", None),
    ("$udp start", "takes no events", None),
    ("[new EventGroup $ns] run", "has no members yet", None),
])
def test_bad_events_are_refused_at_their_line(refusal, event, message, next):
    error = refusal(MADE + f'$ns at 1 "{event}"', pair=True)
    assert error.where == f"test.ns:{LINE}"
    assert message in error.what
    assert next is None or error.next == next


def test_a_bad_step_is_refused_at_its_own_line(refusal):
    error = refusal(MADE + "set s [$ns event-sequence {\n  $p run\n  # no\n  $q frob\n}]", pair=True)
    assert error.where == f"test.ns:{LINE + 3}"
    assert refusal(MADE + "set s [$ns event-sequence {\n  $p run\n  $nope run\n}]", pair=True).where == f"test.ns:{LINE + 2}"
    assert refusal(MADE + "set s [$ns event-sequence {$p run} finally {$q run}]", pair=True).where == f"test.ns:{LINE}"


def test_members_of_a_group_are_of_one_kind(refusal):
    assert "of one kind" in refusal(MADE + "$grp add $l", pair=True).what
    assert "'queue'" not in refusal(MADE + "set g [$ns event-group [list $queue]]", pair=True).where
    assert refusal(MADE + "$grp add nosuch", pair=True).where == f"test.ns:{LINE}"
