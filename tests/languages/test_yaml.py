"""YAML files of our own form: what they come to."""

import time
from pathlib import Path

import pytest

from languages.evaluate import Evaluation, Source, evaluate, parameters_of
from models.shaping import path
from models.spec import Collect, Parameter, ProgramAgent, Route, Rules, Spec, TrafficAgent


def yaml(text: str, directory: Path | None = None, **values: str) -> Evaluation:
    return evaluate(Source("x.yml", text, "yaml", directory), values)


def spec(text: str, **values: str) -> Spec:
    return yaml(text, **values).spec


DUMBBELL = """\
name: dumbbell
description: many through one
parameters:
  FLOWS: 2
  DELAY: {default: 20ms, type: duration, description: one way}
  RATE: 10Mb
nodes:
  left:
  right: {cpus: 0.5, memory: 64MiB}
  client: {count: "${FLOWS}", environment: {ME: "client ${index}"}}
  server: {count: "${FLOWS}"}
links:
  - {name: bottleneck, endpoints: [left, right], bandwidth: "${RATE}", delay: "${DELAY}"}
  - {each: {i: "${FLOWS}"}, endpoints: ["client-${i}", left]}
  - {each: {i: "0..${FLOWS - 1}"}, endpoints: ["right", "server-${i}:net0"], delay: "${i + 1}ms"}
"""


def test_parameters_size_and_shape_the_topology() -> None:
    made = spec(DUMBBELL, FLOWS="3", DELAY="30ms")
    assert [n.name for n in made.nodes] == ["left", "right", "client-0", "client-1", "client-2", "server-0", "server-1", "server-2"]
    assert [lan.name for lan in made.lans] == ["bottleneck", "client-0-left", "client-1-left", "client-2-left",
                                               "right-server-0", "right-server-1", "right-server-2"]
    assert made.node("client-2").environment == {"ME": "client 2"}
    first, second = made.lans[0].members
    assert path(first.uplink, second.downlink).delay_s == 0.03
    assert made.lans[6].members[1].interface == "net0" and path(made.lans[6].members[0].uplink,
    made.lans[6].members[1].downlink).delay_s == 0.003
    assert [p.value for p in made.parameters] == ["3", "30ms", "10Mb"]


def test_parameters_are_known_without_values() -> None:
    text = "parameters: {A: , B: 3, C: 1.5, D: true, E: '7', F: {type: rate}, G: {default: $$5, description: money}}\nnodes: {h: }\n"
    assert parameters_of(Source("x.yml", text, "yaml")) == (
        Parameter(name="A", value=""), Parameter(name="B", default="3", value="3", type="integer"),
        Parameter(name="C", default="1.5", value="1.5", type="number"), Parameter(name="D", default="true", value="true", type="boolean"),
        Parameter(name="E", default="7", value="7"), Parameter(name="F", value="", type="rate"),
        Parameter(name="G", default="$5", value="$5", description="money"))


def test_the_whole_language() -> None:
    made = spec("""\
nodes:
  a: {routing: manual, routes: {10.9.0.0/16: 10.2.0.3}, outside: true, failure: restart, on_failure: rescue, kind: vm, image: tiny}
  b: {tarballs: [{directory: /opt, path: tool.tar.gz}], volumes: ["cfg:/etc/cfg:ro"], labels: {role: sink}, virtual_wall_clock: false}
lans:
  office: {members: [a, {node: b, uplink: {bandwidth: 1Mb}}], delay: 6ms, cost: 3, mask: 255.255.0.0, trace: {what: packet, filter: tcp}}
agents:
  job: {node: a, command: "echo $DATASTORE ${NODE}", directory: /tmp, timeout: 20s, expect: 3, environment: {X: 1}, user: nobody}
  flow: {traffic: udp, from: a, to: b, rate: 1Mb, packet_size: 700, port: 6000}
groups: {jobs: ["job*"], both: [job, job]}
sequences:
  main: [job run, office down, {target: office, verb: modify, delay: 5ms}]
  rescue: {steps: [instance report], on_error: main}
timelines: {clock: {1s: flow start, 2s: [flow stop, office up]}}
timeline: [{0s: main start}, "1m: clock start", {on: swapout, do: flow stop}]
on_start: main
on_stop: rescue
environment: {OPT: "yes"}
environment_of_runs: fresh
collect: {"*": [/var/log/*.log], b: /tmp/x}
rules: {keep: ["*.csv"], drop: "*.tmp", max_file: 1MB, window: 1h}
sync_server: a
""")
    a, b = made.nodes
    assert a.routes == (Route(destination="10.9.0.0/16", via="10.2.0.3"),) and a.outside and a.failure == "restart" and a.kind == "vm"
    assert b.tarballs[0].path == "tool.tar.gz" and b.volumes[0].read_only and b.labels == {"role": "sink"} and not b.virtual_wall_clock
    office = made.lans[0]
    assert office.cost == 3 and office.trace is not None and office.trace.filter == "tcp"
    assert office.members[0].addresses == ("10.2.0.2/16",), "the first /16 that holds nothing before 10.1.1.0"
    job, flow, sink = made.agents
    assert isinstance(job, ProgramAgent) and job.command == "echo $DATASTORE ${NODE}" and job.expected_exit_code == 3
    assert isinstance(flow, TrafficAgent) and flow.peer == "flow-sink" and isinstance(sink, TrafficAgent) and sink.role == "sink"
    assert sink.node == "b" and sink.port == 6000 and sink.rate_bps is None
    assert made.groups[0].members == ("job",)
    assert [e.at_s for e in made.events] == [0, 60, 0] and made.events[2].on == "swapout"
    assert [len(s.steps) for s in made.sequences] == [3, 1] and made.sequences[1].on_error == "main"
    assert [e.at_s for e in made.timelines[0].entries] == [1, 2, 2]
    assert made.collect == Collect(paths={"*": ("/var/log/*.log",), "b": ("/tmp/x",)})
    assert made.rules == Rules(keep=("*.csv",), drop=("*.tmp",), max_file_bytes=10**6, window_s=3600)
    assert (made.on_start, made.on_stop, made.environment_of_runs, made.sync_server) == ("main", "rescue", "fresh", "a")


def test_each_makes_every_combination_and_ranges_may_depend_on_outer_ones() -> None:
    made = spec('nodes: {"${site}-${i}": {each: {site: [paris, rome], i: 1..2}}, "t${r}-${c}": {each: {r: 3, c: "${r}"}}}')
    assert [n.name for n in made.nodes] == ["paris-1", "paris-2", "rome-1", "rome-2", "t1-0", "t2-0", "t2-1"]


def test_steps_members_and_events_repeat_too() -> None:
    made = spec("""\
nodes: {h: {count: 3}}
lans: {one: {members: [{each: {i: 2}, node: "h-${i}", delay: "${i}ms"}, h-2]}}
agents: {p: {count: 3, node: "h-${index}", command: "true"}}
sequences: {s: [{each: {i: 3}, do: "p-${i} run"}]}
timeline: [{each: {i: 3}, at: "${i * 10}s", do: "p-${i} start"}]
""")
    assert [m.uplink.delay_s for m in made.lans[0].members] == [0, 0.001, 0]
    assert [s.target for s in made.sequences[0].steps] == ["p-0", "p-1", "p-2"]
    assert [(e.at_s, e.target) for e in made.events] == [(0, "p-0"), (10, "p-1"), (20, "p-2")]


def test_times_that_come_out_alike_are_one_moment() -> None:
    made = spec('parameters: {A: 1s, B: 2s}\nnodes: {h: }\ntimeline: {"${A}": h reboot, "${B}": [h stop, h reboot]}', A="2s")
    assert [(e.at_s, e.verb) for e in made.events] == [(2, "reboot"), (2, "stop"), (2, "reboot")]


def test_patterns_name_members_in_the_nodes_order() -> None:
    made = spec('nodes: {gw: , h: {count: 3}}\nlans: {all: {members: "*"}, some: {members: {gw: , "h-[12]": {delay: 5ms}}}}')
    assert [m.node for m in made.lans[0].members] == ["gw", "h-0", "h-1", "h-2"]
    assert [(m.node, m.uplink.delay_s) for m in made.lans[1].members] == [("gw", 0), ("h-1", 0.005), ("h-2", 0.005)]


def test_addressing_and_routing_of_the_whole_file_and_of_one_lan() -> None:
    made = spec("addressing: dual\nrouting: manual\nnodes: {a: , b: {routing: none}}\n"
                "links: [{endpoints: [a, b]}, {endpoints: [a, b], addressing: none}]")
    assert made.lans[0].members[0].addresses == ("10.1.1.2/24", "fd00:0:0:1::2/64") and made.lans[1].members[0].addresses == ()
    assert [n.routing for n in made.nodes] == ["manual", "none"]


def test_the_name_is_the_files_unless_it_has_one() -> None:
    assert evaluate(Source("/some/where/ring.clab.yml", "nodes: {a: }", "yaml")).spec.name == "ring"


def test_the_datastore_is_a_directory_beside_the_file(tmp_path: Path) -> None:
    (tmp_path / "files").mkdir()
    assert yaml("datastore: files\nnodes: {a: }", tmp_path).datastore == tmp_path / "files"
    assert yaml("datastore: files\nnodes: {a: }").datastore == Path("files")
    assert yaml("nodes: {a: }", tmp_path).datastore is None


def test_empty_sequences_are_warned_of() -> None:
    made = yaml("nodes: {a: }\nsequences:\n  s: []\n  t:\n")
    assert [str(w) for w in made.warnings] == ["x.yml:3: sequence 's' is empty", "x.yml:4: sequence 't' is empty"]


def test_the_same_source_and_values_give_the_same_spec() -> None:
    assert spec(DUMBBELL).digest == spec(DUMBBELL).digest != spec(DUMBBELL, RATE="1Mb").digest


@pytest.mark.parametrize(("text", "nodes", "lans"), [
    ('nodes: {h: {count: 1000}}\nlans: {l: {members: "*"}}', 1000, 1),
    ('nodes: {h: {count: 1000}}\nlinks: [{each: {i: 1..999}, endpoints: ["h-${(i - 1) // 2}", "h-${i}"], delay: 1ms}]', 1000, 999)])
def test_a_thousand_nodes_are_evaluated_in_about_a_second(text: str, nodes: int, lans: int) -> None:
    began = time.process_time()
    made = spec(text)
    assert (len(made.nodes), len(made.lans)) == (nodes, lans)
    assert time.process_time() - began < 5
