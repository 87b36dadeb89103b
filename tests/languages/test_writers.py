"""Specs written as YAML and Python: read back, they are the same."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from languages.addresses import DeclaredLan, DeclaredMember, assign
from languages.builder import Topology
from languages.evaluate import Source, evaluate
from languages.plain_spec import cannot_say
from languages.python_child import answer_to
from languages.python_writer import write_python
from languages.yaml_writer import write_yaml
from models.events import Arguments
from models.shaping import halves
from models.spec import (
    Collect,
    Event,
    Group,
    Node,
    Parameter,
    ProgramAgent,
    Queue,
    Red,
    Rules,
    Sequence,
    Shaping,
    Spec,
    Tarball,
    TimedEvent,
    Timeline,
    TimelineEntry,
    Trace,
    TrafficAgent,
    Volume,
)
from tests.languages.test_builder import everything


def through_yaml(spec: Spec) -> Spec:
    return evaluate(Source("y.yml", write_yaml(spec), "yaml"), {p.name: p.value for p in spec.parameters}).spec


def through_python(spec: Spec) -> Spec:
    """By the child's own logic, without a process for every example."""
    answer = answer_to({"name": "y.py", "text": write_python(spec), "values": {p.name: p.value for p in spec.parameters},
    "directory": None})
    return Spec.model_validate(answer["spec"])


texts = st.text(st.characters(codec="utf-8", exclude_categories=["Cs", "Cc"]), max_size=12) | st.sampled_from(
    ["$N", "${N}", "$${N}", "a: b", "no", "null", "~", "1:30", "- x", "#", "'", '"', "{", "[x]", "*a", "&a", "!t", "%", "@", "`", " x ",
     "${", "012", "\n", "a\nb", "\\", "é ∆", "=", "<<"])
times = st.sampled_from([0, 0.5, 1e-6, 86400, 1.25, 0.1])
queues = st.builds(Queue, discipline=st.sampled_from(["droptail", "red"]), limit=st.integers(1, 10**6),
                   unit=st.sampled_from(["packets", "bytes"]), red=st.builds(Red, min_threshold=st.floats(1, 9), gentle=st.booleans()))
shapings = st.builds(Shaping, bandwidth_bps=st.sampled_from([0, 10**6, 1_500_000, 12345]), delay_s=st.sampled_from([0, 0.02, 1.5,
0.0175]),
                     jitter_s=st.sampled_from([0, 0.001]), jitter_distribution=st.sampled_from(["uniform", "normal"]),
                     loss=st.sampled_from([0, 0.01, 0.5]), queue=st.just(Queue()) | queues)


@st.composite
def lans(draw: st.DrawFn, names: list[str]) -> list[DeclaredLan]:
    made = []
    for number in range(draw(st.integers(0, 4))):
        link = draw(st.booleans())
        nodes = draw(st.lists(st.sampled_from(names), min_size=2, max_size=2 if link else len(names), unique=True))
        whole = halves(draw(shapings))
        members = []
        for index, node in enumerate(nodes):
            up, down = draw(st.sampled_from([whole, whole, (draw(shapings), draw(shapings))]))
            members.append(DeclaredMember(node, interface=draw(st.sampled_from([None, None, f"if{number}"])), uplink=up, downlink=down,
                                          mac=draw(st.sampled_from([None, None, f"02:aa:00:00:{number:02x}:{index:02x}"])),
                                          addresses=draw(st.sampled_from([(), (), (f"10.1.{number + 1}.{50 + index}",)]))))
        made.append(DeclaredLan(f"lan{number}", tuple(members), kind="link" if link else "lan", cost=draw(st.sampled_from([1, 2.5])),
                                families=draw(st.sampled_from([(4,), (4, 6), (6,), ()])),
                                trace=draw(st.none() | st.builds(Trace, what=st.sampled_from(["header", "packet"]), filter=texts))))
    return made


table = st.dictionaries(texts, texts, max_size=2)
variables = st.dictionaries(texts.filter(lambda name: name and "=" not in name), texts, max_size=2)
nodes = st.builds(
    Node, cpus=st.none() | st.floats(0.1, 8), memory_bytes=st.none() | st.integers(1, 1 << 40), outside=st.booleans(),
    environment=variables,
    image=st.sampled_from(["host", "tiny", "/srv/x:y/z"]), kind=st.sampled_from(["container", "vm"]), labels=table,
    failure=st.sampled_from(["fatal", "restart"]), tarballs=st.sampled_from([(), (Tarball(directory="/x", path="y"),)]),
    volumes=st.sampled_from([(), (Volume(source="a:b", target="/c", read_only=True),)]), packages=st.sampled_from([(), ("p",)]),
    routing=st.sampled_from(["static", "none"]), name=st.just("n0"))
programs = st.builds(ProgramAgent, name=st.just("job"), node=st.just("n0"), command=texts, directory=st.none() | texts,
                     timeout_s=st.none() | times, expected_exit_code=st.none() | st.integers(0, 255), environment=variables)
sources = st.builds(TrafficAgent, name=st.just("src"), node=st.just("n0"), role=st.just("source"), protocol=st.just("tcp"),
peer=st.just("snk"),
                    rate_bps=st.none() | st.integers(0, 10**9), interval_s=st.none() | times,
                    type_of_service=st.none() | st.integers(0, 255))
SINK = TrafficAgent(name="snk", node="n1", role="sink", protocol="tcp", peer="src")
steps = st.builds(Event, target=st.just("job"), verb=st.sampled_from(["run", "set"]),
                  arguments=st.builds(Arguments, command=st.none() | texts, tag=st.none() | texts, timeout_s=st.none() | times,
                                      environment=st.none() | variables))
parameters = st.just(()) | st.tuples(
    st.builds(Parameter, name=st.just("P"), default=st.none() | texts, value=st.just("v"), description=texts),
    st.just(Parameter(name="N", default="3", value="4", type="integer")))


@st.composite
def specs(draw: st.DrawFn) -> Spec:
    names = [f"n{i}" for i in range(draw(st.integers(2, 4)))]
    event, pattern = draw(steps), draw(nodes)
    return Spec(
        name=draw(texts), description=draw(texts), parameters=draw(parameters), environment=draw(variables),
        nodes=tuple(pattern.model_copy(update={"name": name}) if name == "n0" else Node(name=name) for name in names),
        lans=assign(draw(lans(names))), agents=(draw(programs), draw(sources), SINK), groups=(Group(name="g", members=("job",)),),
        sequences=(Sequence(name="s", steps=tuple(draw(st.lists(steps, max_size=2))), on_error=draw(st.sampled_from([None, "t"]))),
                   Sequence(name="t")),
        timelines=(Timeline(name="clock", entries=(TimelineEntry(target="s", verb="start", at_s=draw(times)),)),),
        events=(TimedEvent(**event.model_dump(exclude_unset=True), at_s=draw(times)),
                TimedEvent(target="instance", verb="log", arguments=Arguments(text=draw(texts)), on="swapout")),
        on_start=draw(st.sampled_from([None, "s"])), environment_of_runs=draw(st.sampled_from(["inherit", "fresh"])),
        collect=draw(st.sampled_from([Collect(), Collect(everything=True), Collect(everything=True, paths={"n0": ("/x*",)})])),
        rules=draw(st.sampled_from([Rules(), Rules(keep=("*.csv",), max_file_bytes=10, window_s=1.5)])))


many = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])


@given(specs())
@many
def test_yaml_reads_back_the_same(spec: Spec) -> None:
    assert through_yaml(spec) == spec


@given(specs())
@many
def test_python_reads_back_the_same(spec: Spec) -> None:
    assert through_python(spec) == spec


def test_everything_at_once_and_interleaved_links_and_lans() -> None:
    spec = everything()
    assert [lan.kind for lan in spec.lans] == ["lan", "link"], "an order that `links:` before `lans:` cannot say"
    assert through_yaml(spec) == spec and through_python(spec) == spec


def test_a_written_file_reads_well() -> None:
    net = Topology("pair")
    a, b, c = net.node("a"), net.node("b", cpus=0.5), net.node("c")
    net.link(a, b, bandwidth="10Mb", delay="20ms", loss="1%")
    net.lan("l", {a: {"delay": "3ms"}, b: None, c: None}, delay="4ms")
    job = net.program("job", a, "ping $DATASTORE")
    net.at("1s", job.start(), job.kill("INT"))
    assert write_yaml(net.spec(), datastore="files") == """\
name: pair

datastore: files

nodes:
  a:
  b: {cpus: 0.5}
  c:

links:
- name: a-b
  endpoints: [a, b]
  bandwidth: 10Mb
  delay: 20ms
  loss: 1%

lans:
  l:
    members:
    - {node: a, delay: 3ms}
    - b
    - c
    delay: 4ms

agents:
  job: {node: a, command: ping $DATASTORE}

timeline:
- 1s: job start
- 1s: job kill INT
"""
    assert write_python(net.spec(), datastore="files") == '''\
"""pair"""


def build(net):
    net.name('pair')
    net.datastore('files')
    net.node('a')
    net.node('b', cpus=0.5)
    net.node('c')
    net.link('a', 'b', name='a-b', bandwidth='10Mb', delay='20ms', loss='1%')
    net.lan('l', [{'node': 'a', 'delay': '3ms'}, 'b', 'c'], delay='4ms')
    net.program('job', 'a', 'ping $DATASTORE')
    net.at('1s', 'job start')
    net.at('1s', 'job kill INT')
'''


@pytest.mark.parametrize(("spec", "lost"), [
    (Spec(nodes=(Node(name="a", image="FBSD:12"),)), ["image 'FBSD:12' of 'a' reads as a registry's reference"]),
    (Spec(collect=Collect(paths={"a": ("var/log",), "all": ("/x",)})), ["collect: 'var/log' of 'a' is not absolute",
                                                                        "collect: 'all' cannot be a node's name"]),
    (everything(), [])])
def test_what_has_no_words_is_listed(spec: Spec, lost: list[str]) -> None:
    assert cannot_say(spec) == lost
