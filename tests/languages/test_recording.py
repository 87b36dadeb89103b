"""Recordings as text: what is shown can be read, edited, and replayed as a timeline or a sequence."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from languages.recording import Recorded, attach, read, show, to_sequence, to_timeline
from models.errors import InvalidInput
from models.events import Arguments
from models.spec import Node, ProgramAgent, Spec, TimelineEntry

TEXT = """# by hand
0s     client run command='ping -c 3 server'
12.5s  bottleneck modify delay=50ms

15s    client/hand run command=./load.sh
"""

times = st.integers(0, 10**7).map(lambda n: n / 1000)
commands = st.text(
    st.characters(exclude_characters="\0\r", exclude_categories=["Cs", "Cc", "Zl", "Zp"]) | st.just("\n"), min_size=1, max_size=40
)
arguments = st.one_of(
    st.builds(Arguments, command=commands, timeout_s=st.none() | times),
    st.builds(Arguments, signal=st.sampled_from(["TERM", "USR1"])),
    st.builds(Arguments, delay_s=times, loss=st.none() | st.sampled_from([0.0, 0.25])),
    st.just(Arguments()),
)
entries = st.builds(
    TimelineEntry,
    target=st.sampled_from(["client", "l-0", "a.b"]),
    verb=st.sampled_from(["run", "modify", "x"]),
    arguments=arguments,
    at_s=times,
)
recordings = st.lists(st.builds(Recorded, entry=entries, node=st.none() | st.sampled_from(["n1", "n-2"])), max_size=8)


@given(recordings)
def test_what_is_shown_reads_as_the_same(recorded):
    assert list(read(show(recorded))) == recorded


def test_a_readable_text():
    assert show(read(TEXT)) == "".join(line for line in TEXT.splitlines(True) if line.strip() and not line.startswith("#"))


def test_lines_may_be_moved_deleted_and_retimed():
    edited = "2s bottleneck modify delay=70ms\n0s client run command='ping -c 3 server'\n"
    timeline, agents = to_timeline("again", read(edited))
    assert [(e.at_s, e.target) for e in timeline.entries] == [(0, "client"), (2, "bottleneck")]
    sequence, _ = to_sequence("again", read(edited))
    assert [e.target for e in sequence.steps] == ["bottleneck", "client"]
    assert agents == ()


def test_lines_of_one_time_keep_their_order():
    timeline, _ = to_timeline("t", read("1s b up\n1s a up\n0s c up\n1s d up\n"))
    assert [e.target for e in timeline.entries] == ["c", "b", "a", "d"]


def test_what_was_run_by_hand_brings_its_agent():
    for made, agents in (to_timeline("t", read(TEXT)), to_sequence("t", read(TEXT))):
        assert made.name == "t"
        assert [(a.name, a.node) for a in agents] == [("hand", "client")]
    with pytest.raises(InvalidInput, match="on two nodes, a and b"):
        to_timeline("t", read("0s a/x run command=1\n1s b/x run command=2\n"))


@pytest.mark.parametrize(("text", "line", "message"), [
    ("0s a up\n5s", 2, "expected TIME TARGET VERB"), ("\n# x\n-1s a up", 3, "negative"), ("0s a up\nsoon a up", 2, "not understood"),
    ("0s a", 1, "is not an event"), ("0s a modify delay=soon", 1, "not understood"), ("0s a modify dely=5ms", 1, "dely"),
    ("0s a run command='unclosed\n1s b up", 1, "no closing quotation"), ("0s a/ up", 1, ""), ("0s /a up", 1, ""),
])
def test_bad_lines_are_refused_with_their_number(text, line, message):
    with pytest.raises(InvalidInput) as caught:
        read(text, "work.txt")
    assert caught.value.where == f"work.txt:{line}"
    assert message in caught.value.what


SPEC = Spec(nodes=(Node(name="client"), Node(name="server")), agents=(ProgramAgent(name="ping", node="client", command="ping server"),))


@pytest.mark.parametrize("form", ["timeline", "sequence"])
def test_attached_to_a_spec(form):
    recorded = read("1s ping run\n2s client/recorded-client run command=./load.sh\n3s client/recorded-client run command=./more.sh\n")
    spec = attach(SPEC, "work", recorded, form)
    assert [a.name for a in spec.agents] == ["ping", "recorded-client"]
    made = (spec.timelines or spec.sequences)[0]
    assert made.name == "work"
    assert [e.target for e in (made.entries if form == "timeline" else made.steps)] == ["ping", "recorded-client", "recorded-client"]
    assert [a.name for a in attach(spec, "again", recorded, form).agents] == ["ping", "recorded-client"]


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("ping", "1s ping run\n", "is used twice"),
        ("w", "1s nobody run\n", "unknown target 'nobody'"),
        ("w", "1s ping frob\n", "does not know 'frob'"),
        ("w", "1s moon/x run\n", "unknown node 'moon'"),
    ],
)
def test_a_recording_that_does_not_fit_is_refused(name, text, message):
    with pytest.raises(InvalidInput, match=message):
        attach(SPEC, name, read(text), "timeline")
