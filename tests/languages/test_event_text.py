"""Events as text, and back."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from languages.event_text import read_event, read_timed, read_timeline, write_event
from languages.words import Misread
from models.events import VERBS, Arguments
from models.spec import Event


def event(target: str, verb: str, **arguments) -> Event:
    return Event(target=target, verb=verb, arguments=Arguments(**arguments))


@pytest.mark.parametrize(("text", "result"), [
    ("link0 down", event("link0", "down")), ("link0 down member=h1", event("link0", "down", member="h1")),
    ("bottleneck modify delay=50ms bandwidth=1Mb loss=1% queue=20", event("bottleneck", "modify", delay_s=0.05, bandwidth_bps=10**6,
    loss=0.01,
                                                                      queue_limit=20)),
    ("server kill TERM", event("server", "kill", signal="TERM")), ("server kill signal=INT", event("server", "kill", signal="INT")),
    ("instance log 'half way = 50 %'", event("instance", "log", text="half way = 50 %")),
    ("instance log a=b", event("instance", "log", text="a=b")),
    ("job run timeout=1m command='sleep 1; echo \"$X\"' expect=3 tag=one",
     event("job", "run", timeout_s=60, command='sleep 1; echo "$X"', expected_exit_code=3, tag="one")),
    ("job start environment.A=1 environment.B='x y'", event("job", "start", environment={"A": "1", "B": "x y"})),
    ("instance start-run parameters.N=4 environment_of_run=fresh",
     event("instance", "start-run", parameters={"N": "4"}, environment_of_run="fresh")),
    ("cbr modify rate=300Kb packet_size=700 interval=20ms", event("cbr", "modify", rate_bps=300_000, packet_size_bytes=700,
    interval_s=0.02)),
    ("pipe modify red_min=8 red_max=20 queue_unit=bytes", event("pipe", "modify", red_min_threshold=8, red_max_threshold=20,
    queue_unit="bytes")),
    ({"target": "link0", "verb": "modify", "delay": "5ms"}, event("link0", "modify", delay_s=0.005)),
    ({"do": "link0 modify delay=5ms", "loss": 0.5}, event("link0", "modify", delay_s=0.005, loss=0.5)),
])
def test_events(text, result: Event) -> None:
    assert read_event(text) == result


def test_texts_are_quoted_for_people() -> None:
    assert write_event(event("job", "run", command="touch 'a b'")) == """job run command="touch 'a b'\""""
    hiding = event("job", "run", command="echo '$X'")
    assert write_event(hiding) == """job run command='echo '"'"'$X'"'"''""" and read_event(write_event(hiding)) == hiding


def test_the_forms_of_a_timeline() -> None:
    forms = ["10s: link0 down", {"10s": "link0 down"}, {"at": "10s", "do": "link0 down"}, {"at": 10, "target": "link0", "verb": "down"}]
    assert {(t.at_s, t.on, t.event.model_dump_json()) for form in forms for t in read_timed(form)} == {
        (10.0, "time", event("link0", "down").model_dump_json())}
    many = read_timeline({"1s": ["a up", "b up"], "2m": "c down", "swapout": "d stop"})
    assert [(t.at_s, t.on, t.event.target, t.path) for t in many] == [
        (1, "time", "a", ("1s", 0)), (1, "time", "b", ("1s", 1)), (120, "time", "c", ("2m",)), (0, "swapout", "d", ("swapout",))]
    assert read_timed({"on": "swapout", "do": "d stop"})[0].on == "swapout"


@pytest.mark.parametrize(("read", "value", "message"), [
    (read_event, "link0", "'link0' is not an event: expected TARGET VERB"), (read_event, "a b 'c", "no closing quotation"),
    (read_event, "link0 down now", "'now' is not understood in 'link0 down now': expected KEY=VALUE"),
    (read_event, "link0 modify dealy=5ms", "unknown key 'dealy' in an event"), (read_event, "link0 modify delay=5", "lacks its unit"),
    (read_event, {"verb": "x", "delay": "1ms"}, "an event lacks its target"), (read_event, {"down": "x"}, "lacks its target or verb"),
    (read_timed, "link0 down", "is not a timed event: expected TIME: TARGET VERB"), (read_timed, {"do": "a b"}, "lacks its time"),
    (read_timed, {"-5s": "a b"}, "time '-5s' is negative"), (read_timed, {"at": "soon", "do": "a b"}, "time 'soon' is not understood"),
    (read_timed, {"on": "swapin", "do": "a b"}, "unknown trigger 'swapin'"),
    (read_timed, {"on": "swapout", "at": "1s", "do": "a b"}, "either a time (at) or a trigger (on)"),
])
def test_what_is_wrong_is_said(read, value, message: str) -> None:
    with pytest.raises((Misread, ValueError)) as error:
        read(value)
    assert message in str(error.value)


texts = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=20)
arguments = st.builds(
    Arguments, command=st.none() | texts, timeout_s=st.none() | st.floats(0.001, 1e6), expected_exit_code=st.none() | st.integers(0, 255),
    environment=st.none() | st.dictionaries(st.from_regex(r"[A-Za-z_]\w{0,5}",
    fullmatch=True) | texts.filter(lambda n: n and "=" not in n), texts, max_size=3),
    tag=st.none() | texts, loss=st.none() | st.floats(0, 1).filter(lambda p: p == 0 or p > 1e-9),
    delay_s=st.none() | st.floats(0.0001, 100),
    bandwidth_bps=st.none() | st.integers(0, 10**11), red_weight=st.none() | st.floats(0.001, 1), text=st.none() | texts)


@given(arguments, st.sampled_from(sorted({verb for verbs in VERBS.values() for verb in verbs})))
@settings(max_examples=300)
def test_every_event_reads_as_it_was_written(given_arguments: Arguments, verb: str) -> None:
    made = Event(target="x-1", verb=verb, arguments=given_arguments)
    assert read_event(write_event(made)) == made
