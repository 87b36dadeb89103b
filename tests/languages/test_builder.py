"""The Python language in a notebook: calls to a spec, errors at the line of the call."""

import re
from pathlib import Path

import pytest

from languages.builder import Missing, Topology
from languages.evaluate import Source, evaluate
from models.errors import InvalidInput
from models.shaping import path
from models.spec import Collect, Rules, Spec


def test_a_topology_in_a_few_lines() -> None:
    net = Topology("pair")
    h1, h2 = net.node("h1"), net.node("h2", cpus=0.5, memory="64MiB")
    wan = net.link(h1, h2, bandwidth="10Mb", delay="20ms", loss=0.01)
    ping = net.program("ping", h1, f"ping -c 5 {h2}", timeout=20)
    net.at("1s", ping.start())
    net.at(3, wan.modify(delay="50ms"), wan.down(member=h1))
    spec = net.spec()
    assert [n.name for n in spec.nodes] == ["h1", "h2"] and spec.nodes[1].memory_bytes == 64 << 20
    assert wan.name == "h1-h2" and spec.lans[0].members[0].addresses == ("10.1.1.2/24",)
    assert path(spec.lans[0].members[0].uplink, spec.lans[0].members[1].downlink).loss == 0.01
    assert spec.agents[0].command == "ping -c 5 h2"
    assert [(e.at_s, e.target, e.verb) for e in spec.events] == [(1, "ping", "start"), (3, "h1-h2", "modify"), (3, "h1-h2", "down")]
    assert spec.events[2].arguments.member == "h1"


def everything() -> Spec:
    net = Topology("all")
    net.describe("everything")
    net.defaults(routing="manual")
    net.addressing("dual")
    a, b, c = net.nodes("n{}", 3, labels={"role": "x"})
    lan = net.lan("office", {a: {"delay": "2ms"}, b: None, c: None}, bandwidth="54Mb")
    link = net.link("n0:wan", {"node": b, "uplink": {"loss": "1%"}}, name="wan", forward={"delay": "5ms"}, queue={"red": {"gentle": True}})
    flow = net.traffic("flow", a, b, rate="1Mb", port=6000)
    job = net.program("job", c, "true", environment={"DEBUG": True}, expect=3)
    group = net.group("both", [job])
    rescue = net.sequence("rescue", [net.instance.report()])
    main = net.sequence("main", [group.run(), "wan down", {"target": "office", "verb": "reset"}], on_error=rescue).append(link.up())
    clock = net.timeline("clock", {"1s": flow.start(), 2.5: [flow.modify(rate="2Mb"), flow.stop()]}).at("1m", job.kill("INT"))
    net.at("swapout", job.stop())
    net.at("0s", main.start(), clock.run(), lan.trace_start(member=a), a.snapshot("warm"), net.instance.log("go"))
    net.on_start(main)
    net.on_stop("rescue")
    net.environment({"OPT": 1})
    net.environment_of_runs("fresh")
    net.collect({b: ["/tmp/x"]})
    net.rules(keep="*.csv", window="1h")
    net.sync_server(a)
    return net.spec()


def test_everything_a_spec_holds_can_be_built() -> None:
    spec = everything()
    assert spec.lans[0].members[0].uplink.delay_s == 0.002 and spec.lans[1].members[0].interface == "wan"
    assert {n.routing for n in spec.nodes} == {"manual"} and len(spec.lans[0].members[0].addresses) == 2
    assert [a.name for a in spec.agents] == ["flow", "flow-sink", "job"] and spec.agents[1].port == 6000
    assert [len(s.steps) for s in spec.sequences] == [1, 4] and spec.sequences[1].on_error == "rescue"
    assert [e.at_s for e in spec.timelines[0].entries] == [1, 2.5, 2.5, 60]
    assert [(e.on, e.verb) for e in spec.events][:2] == [("swapout", "stop"), ("time", "start")]
    assert (spec.on_start, spec.on_stop, spec.environment, spec.sync_server) == ("main", "rescue", {"OPT": "1"}, "n0")
    assert spec.collect == Collect(paths={"n1": ("/tmp/x",)}) and spec.rules == Rules(keep=("*.csv",), window_s=3600)


def test_parameters_have_types_and_values() -> None:
    net = Topology(values={"FLOWS": 7, "DELAY": "5ms"})
    assert net.parameter("FLOWS", 4) == 7 and net.parameter("DELAY", "20ms", "one way", type="duration") == "5ms"
    assert net.parameter("RATIO", 0.5) == 0.5 and net.parameter("QUIET", False) is False
    net.node("a")
    assert [(p.name, p.type, p.value) for p in net.spec().parameters] == [
        ("FLOWS", "integer", "7"), ("DELAY", "duration", "5ms"), ("RATIO", "number", "0.5"), ("QUIET", "boolean", "false")]
    with pytest.raises(Missing):
        Topology().parameter("NEEDED")


def test_a_topology_may_grow_after_it_was_looked_at() -> None:
    net = Topology()
    net.node("a")
    assert len(net.spec().nodes) == 1
    net.node("b")
    assert len(net.spec().nodes) == 2


def test_the_same_as_in_yaml() -> None:
    net = Topology("x")
    net.nodes("h-{}", 2)
    net.link("h-0", "h-1", delay="5ms", backward={"loss": "1%"})
    net.lan("l", ["h-*"], bandwidth="1Mb")
    written = "name: x\nnodes: {h: {count: 2}}\nlinks: [{endpoints: [h-0, h-1], delay: 5ms, backward: {loss: 1%}}]\n" \
        "lans: {l: {members: ['h-*'], bandwidth: 1Mb}}"
    assert net.spec() == evaluate(Source("x.yml", written, "yaml")).spec


BAD = {
    "node name": (lambda net: net.node("a b"), "node name 'a b' is not a DNS label"),
    "setting": (lambda net: net.node("x", cpu=1), "unknown key 'cpu' in a node. Did you mean 'cpus'?"),
    "value": (lambda net: net.node("x", cpus=0), "cpus: input should be greater than 0, not 0"),
    "twice": (lambda net: [net.node("x"), net.node("x")], "the name 'x' is used twice"),
    "delay": (lambda net: net.link("a", "b", delay=5), "delay '5' lacks its unit"),
    "end": (lambda net: net.link("a", 7.5, wrong=1), "unknown key 'wrong' in a link"),
    "unknown node": (lambda net: net.link("a", "zz"), "link 'a-zz' names unknown node 'zz'"),
    "pattern": (lambda net: net.lan("l", ["h-*"]), "no node matches 'h-*'"),
    "nodes pattern": (lambda net: net.nodes("h", 3), "the pattern 'h' lacks {}"),
    "interface": (lambda net: [net.link("a:eth1", "b"), net.link("a:eth1", "b")], "interface 'eth1' of node 'a' is used twice"),
    "verb": (lambda net: net.at(1, "a up"), "'a' is a node and does not know 'up'"),
    "argument": (lambda net: net.at(1, net.link("a", "b").modify(dealy="5ms")), "unknown key 'dealy' in an event"),
    "time": (lambda net: net.at("soon", "a reboot"), "time 'soon' is not understood"),
    "agent's node": (lambda net: net.program("p", "zz", "x"), "agent 'p' is on unknown node 'zz'"),
    "group": (lambda net: net.group("g", ["zz"]), "group 'g' has the member 'zz'"),
    "hook": (lambda net: net.on_start("zz"), "hook 'zz' is not a sequence"),
    "parameter twice": (lambda net: [net.parameter("P", 1), net.parameter("P", 1)], "parameter 'P' is declared twice"),
    "swapout in a timeline": (lambda net: net.timeline("t", {"swapout": "a reboot"}), "events on swapout belong to the run's own timeline"),
    "families": (lambda net: net.addressing("ipx"), "expected ipv4 or ipv6 or dual or none, not 'ipx'"),
    "traffic": (lambda net: net.traffic("t", "a", "b", "icmp"), "expected udp or tcp, not 'icmp'"),
    "NUL": (lambda net: net.program("p", "a", "x\0"), "a text cannot hold a NUL byte"),
    "surrogate": (lambda net: net.program("p", "a", "\ud800"), "a text cannot hold a lone surrogate"),
    "rules": (lambda net: net.rules(windoww="1h"), "Did you mean 'window'?"),
}


@pytest.mark.parametrize("case", BAD, ids=list(BAD))
def test_errors_are_at_the_line_of_the_call(case: str) -> None:
    call, message = BAD[case]
    net = Topology("bad")
    net.nodes("{}", 0)
    for name in "ab":
        net.node(name)
    with pytest.raises(InvalidInput) as error:
        call(net)
        net.spec()
    assert message in str(error.value)
    assert re.fullmatch(rf"{re.escape(__file__)}:{call.__code__.co_firstlineno}", error.value.where or "")


def test_unknown_values_of_parameters_are_refused() -> None:
    net = Topology(values={"X": 1})
    net.node("a")
    with pytest.raises(InvalidInput, match="there is no parameter 'X'"):
        net.spec()


def test_the_datastore_is_relative_to_the_source(tmp_path: Path) -> None:
    net = Topology(directory=tmp_path)
    net.datastore("files")
    assert net.evaluation().datastore == tmp_path / "files"
