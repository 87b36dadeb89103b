"""A recording in a template's source: the same source, with a timeline or sequence more, whatever the language and its spelling."""

from __future__ import annotations

import pytest

from languages.evaluate import Source, evaluate
from languages.recording import attach, read
from languages.source_addition import with_recording
from models.errors import InvalidInput

TEXT = """0s bottleneck modify delay=50ms
1.5s ping run
2s c/recorded-c run command='echo $HOME ${X} "a b" { [date] }' directory=/tmp
3s ping kill TERM
"""
YAML = """# a study
parameters: {DELAY: 10ms}
nodes: {c: , s: }
links:
  - {name: bottleneck, endpoints: [c, s], delay: '${DELAY}'}
"""
AGENTS = "agents:\n  ping: {node: c, command: ping s}   # the only one\n  # more to come\n\n"
SPELLINGS = {
    "in lines": AGENTS + "timeline:\n  - 1s: ping start\n",
    "in brackets": "agents: {ping: {node: c, command: ping s}}\ntimeline: [1s: ping start]\ntimelines: {}\nsequences: {}\n",
    "empty": AGENTS + "timeline:\ntimelines:\nsequences:   # none yet\n",
    "mappings": AGENTS + "timelines:\n    x:\n      - 1s: ping start\nsequences:\n- {}\n".replace("- {}", "  y: [ping run]")
    + "timeline:\n    1s: ping start\nname: z",
}
NS = """source tb_compat.tcl
set sim [new Simulator]
foreach n {c s} { set $n [$sim node] }
$sim define-template-parameter DELAY 10ms
set bottleneck [$sim duplex-link $c $s 10Mb $DELAY DropTail]
set ping [$c program-agent -command "ping s"]
$sim run  ;# the end
"""
PYTHON = '''
def build(net, DELAY: str = "10ms"):
    c, s = net.node("c"), net.node("s")
    net.link(c, s, name="bottleneck", delay=DELAY)
    net.program("ping", c, "ping s")
'''
SOURCES = [*(Source("study.yml", YAML + spelling, "yaml") for spelling in SPELLINGS.values()),
           Source("study.ns", NS, "ns"), Source("study.py", PYTHON, "python")]


@pytest.mark.parametrize("source", SOURCES, ids=[*SPELLINGS, "ns", "python"])
@pytest.mark.parametrize("form", ["timeline", "sequence"])
def test_the_source_stays_and_has_the_recording_too(source, form):
    added = with_recording(source, "work", read(TEXT), form, at_s=2.5)
    wanted = attach(evaluate(source, {"DELAY": "30ms"}).spec, "work", read(TEXT), form)
    came = evaluate(added, {"DELAY": "30ms"}).spec
    assert (came.lans, came.agents, came.parameters) == (wanted.lans, wanted.agents, wanted.parameters), "parameters still shape it"
    assert {"work"} <= {part.name for part in (came.timelines if form == "timeline" else came.sequences)}
    assert ("work", "start", 2.5) in [(e.target, e.verb, e.at_s) for e in came.events]
    assert all(line in added.text for line in source.text.splitlines() if line.startswith(("#", "  #", "set", "$", "    net")))


def test_a_command_of_several_lines():
    recorded = read("0s c/hand run command='for x in 1 2\ndo\n\n  echo $x\ndone'\n")
    for source in SOURCES[0], SOURCES[3], SOURCES[5]:
        (entry,) = evaluate(with_recording(source, "work", recorded, "timeline")).spec.timelines[-1].entries
        assert entry.arguments.command == "for x in 1 2\ndo\n\n  echo $x\ndone"
    with pytest.raises(InvalidInput, match="one line"):
        with_recording(SOURCES[4], "work", recorded, "timeline")


def test_a_second_one_fits_too():
    for source in SOURCES:
        once = with_recording(source, "one", read(TEXT), "timeline")
        twice = with_recording(once, "two-2", read(TEXT), "timeline", at_s=0)
        assert [t.name for t in evaluate(twice).spec.timelines][-2:] == ["one", "two-2"]


@pytest.mark.parametrize(("source", "name", "text", "message"), [
    (SOURCES[0], "ping", TEXT, "used twice"), (SOURCES[0], "w", "0s nobody up\n", "unknown target 'nobody'"),
    (Source("s.ns", NS, "ns"), "w", "0s bottleneck modify jitter=5ms\n", "ns cannot say all of the recording"),
    (Source("s.ns", NS, "ns"), "proc", "0s ping run\n", "cannot be added to this source"),
    (Source("s.yml", "{nodes: {c: , s: }}", "yaml"), "w", "0s c reboot\n", "nothing can be added"),
    (Source("s.xml", "<rspec xmlns='http://www.geni.net/resources/rspec/3' type='request'><node client_id='c'/></rspec>", "rspec"), "w",
     "0s c reboot\n", "a template in rspec cannot hold a recording"),
])
def test_what_does_not_fit_is_refused(source, name, text, message):
    with pytest.raises(InvalidInput, match=message):
        with_recording(source, name, read(text), "timeline")
