"""Programs that do not end, or eat all memory: refused with file, line and cause, and the process is gone."""

from __future__ import annotations

import json
import os
import subprocess
import time
from pathlib import Path

import pytest

from languages.evaluate import Source, evaluate
from languages.ns import process
from languages.ns.language import evaluate as evaluate_ns
from languages.ns.process import Limits
from models.errors import HostProblem, InvalidInput

BRIEF = Limits(seconds=1, memory_bytes=48 << 20, commands=300_000)


@pytest.fixture(autouse=True)
def children(monkeypatch):
    """The pids of the child processes; none is left after the test."""
    pids: list[int] = []

    class Noted(subprocess.Popen):
        def __init__(self, *args, **kwargs):
            super().__init__(*args, **kwargs)
            pids.append(self.pid)

    monkeypatch.setattr(process.subprocess, "Popen", Noted)
    yield pids
    assert pids
    assert not [pid for pid in pids if Path(f"/proc/{pid}").exists()]


def refused(body: str) -> InvalidInput:
    with pytest.raises(InvalidInput) as caught:
        evaluate_ns(Source("test.ns", f"set ns [new Simulator]\n{body}\n$ns run\n", "ns"), {}, BRIEF)
    return caught.value


@pytest.mark.parametrize(("body", "line", "what"), [
    ("while {1} {incr i}", 2, "did not end within 300000 commands"),
    ("while {1} {}", 2, "did not end within 1 s"),
    ("proc f {} {\n  while {1} {set x 1}\n}\nset a 1\nf", 6, "did not end within"),
    ("set a 1\nset x [expr {3 ** 30000000}]", 3, "did not end within 1 s"),
    ("proc f {n} {\n  f [expr {$n + 1}]\n}\nf 0", 3, "too many nested evaluations"),
    ("proc g {n} {\n  uplevel 1 [list eval \"g $n\"]\n}\ng 1", 3, "too many nested evaluations"),
    ("proc h {} {\n  global ns\n  $ns event-sequence {[h]}\n}\nh", 4, "too many nested evaluations"),
    ("set a 1\nset x [string repeat x 100000000]", 3, "memory"),
    ("set a 1\nset x [string repeat xxxxxxxxxx 10000000]", 3, "memory"),
    ("set x abcdefgh\nwhile {1} {\n  set x $x$x\n}", 4, "memory"),
    ("set i 0\nwhile {1} {\n  lappend l \"item $i of many\"; incr i\n}", 4, None),
    ("while {1} {\n  set n [$ns node]\n  set n 0\n}", 3, None),
])
def test_runaway_programs_are_stopped_where_they_are(body, line, what):
    begin = time.monotonic()
    error = refused(body)
    assert error.where == f"test.ns:{line}"
    assert what is None or what in error.what
    assert time.monotonic() - begin < 15


def processor_s() -> float:
    """Of this process and its children, whatever else the machine has to do."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def test_a_thousand_nodes_are_soon_evaluated():
    body = """
        set hub [$ns node]
        for {set i 0} {$i < 1000} {incr i} {
            set n($i) [$ns node]
            set l($i) [$ns duplex-link $hub $n($i) 10Mb 10ms DropTail]
            set p($i) [$n($i) program-agent -command "ping $hub"]
            $ns at $i "$p($i) start"
            append names "$n($i) "
        }
        set lan [$ns make-lan $names 100Mb 0ms]
    """
    begin = processor_s()
    spec = evaluate(Source("test.ns", f"set ns [new Simulator]\n{body}\n$ns run\n", "ns")).spec
    assert processor_s() - begin < 5
    assert (len(spec.nodes), len(spec.lans), len(spec.events)) == (1001, 1001, 1000)
    assert spec.lans[-1].members[999].addresses[0].endswith("/22")


def test_a_python_without_tkinter_is_told_what_to_install(monkeypatch):
    monkeypatch.setattr(process, "START", process.START.replace("import sys;", "import sys; sys.modules['_tkinter'] = None;"))
    with pytest.raises(HostProblem, match="python3-tk"):
        evaluate(Source("test.ns", "set ns [new Simulator]\n$ns run\n", "ns"))


def test_the_child_has_no_root_no_environment_and_no_way_to_more(monkeypatch, tmp_path):
    """Seen from inside: what a program that broke out of Tcl would find."""
    probe = (
        "import os, resource; from languages.ns import child; confine = child.confine;\n"
        "def seen(*a):\n"
        " confine(*a); found = [os.geteuid(), dict(os.environ), resource.getrlimit(resource.RLIMIT_NPROC)[0]]\n"
        " os.write(2, json.dumps(found).encode()); os._exit(9)\n"
        "child.confine = seen\n"
    )
    monkeypatch.setattr(
        process,
        "START",
        process.START.replace("from languages.ns.child import main", "import json\nexec(" + repr(probe) + ")\nmain = child.main"),
    )
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    with pytest.raises(Exception, match=r"\(9\)") as failure:
        evaluate(Source("test.ns", "set ns [new Simulator]\n$ns run\n", "ns"))
    uid, environment, processes = json.loads(failure.value.what.partition(": ")[2])
    assert uid == 65534
    assert set(environment) <= {"PATH", "LC_ALL", "LC_CTYPE"}
    assert processes == 0
