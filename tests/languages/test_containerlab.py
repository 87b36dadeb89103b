"""containerlab's topology files, as they are."""

from pathlib import Path

import pytest

from languages.evaluate import Evaluation, Source, evaluate
from models.errors import InvalidInput
from models.spec import ProgramAgent, Volume


def clab(text: str, directory: Path | None = None) -> Evaluation:
    return evaluate(Source("lab.clab.yml", text, "yaml", directory))


def warnings(made: Evaluation) -> list[str]:
    return [str(w) for w in made.warnings]


SRL = """\
name: srlceos01
prefix: lab
mgmt: {network: custom, ipv4-subnet: 172.100.100.0/24}
topology:
  defaults:
    env: {LEVEL: default, KEEP: "1"}
  kinds:
    nokia_srlinux: {image: ghcr.io/nokia/srlinux, type: ixr-d2l}
    linux: {image: "alpine:${ALPINE:=3}", env: {LEVEL: kind}}
  groups:
    clients: {kind: linux, exec: ["ip route add 10.0.0.0/8 dev eth1"], cpu: 1, memory: 512mb}
  nodes:
    srl:
      kind: nokia_srlinux
      startup-config: srl.cfg
      ports: [80:8080]
    srl2: {kind: nokia_srlinux, license: key}
    c_1:
      group: clients
      exec: ["ping -c 1 __clabNodeName__"]
      env: {LEVEL: node, MODE: true}
      startup-delay: 5
      entrypoint: /bin/sh
      cmd: -c "sleep 9"
      labels: {role: client}
      network-mode: none
      binds: ["conf/c1:/etc/c1:ro", "/lib/modules:/lib/modules", "__clabNodeDir__/x:/x"]
    br: {kind: bridge}
  links:
    - endpoints: ["srl:ethernet-1/1", "c_1:eth1"]
      mtu: 1500
      vars: {any: [thing]}
    - endpoints: [srl:e1-2, srl2:e1-2]
      ipv4: [192.168.0.1/24, 192.168.0.2/24]
      ipv6: ["2001:db8::1/64"]
    - type: veth
      endpoints:
        - {node: srl, interface: e1-3, mac: AA:BB:CC:00:00:01, ipv4: 10.0.0.1/30}
        - {node: c_1, interface: eth2, vars: {x: 1}}
      labels: {a: b}
    - {type: dummy, endpoint: {node: srl, interface: dum0}}
    - {type: macvlan, endpoint: {node: srl, interface: eth9}, host-interface: ens3, mode: bridge}
    - endpoints: ["c_1:eth3", "host:veth-c1"]
"""


def test_a_topology_file_is_accepted_unchanged(tmp_path: Path) -> None:
    made = clab(SRL, tmp_path).spec
    assert made.name == "srlceos01" and [n.name for n in made.nodes] == ["srl", "srl2", "c-1", "br"]
    assert {n.kind for n in made.nodes} == {"container"} and {n.image for n in made.nodes} == {"host"}
    c1 = made.node("c-1")
    assert c1.environment == {"LEVEL": "node", "KEEP": "1", "MODE": "true"} and c1.cpus == 1 and c1.memory_bytes == 512 << 20
    assert c1.labels == {"role": "client"}
    assert c1.volumes == (Volume(source="conf/c1", target="/etc/c1", read_only=True), Volume(source="clab-srlceos01/c_1/x", target="/x"))
    assert [(lan.name, lan.kind, [(m.node, m.interface) for m in lan.members]) for lan in made.lans] == [
        ("srl-c-1", "link", [("srl", "eth1"), ("c-1", "eth1")]), ("srl-srl2", "link", [("srl", "e1-2"), ("srl2", "e1-2")]),
        ("srl-c-1-2", "link", [("srl", "e1-3"), ("c-1", "eth2")]), ("srl-dum0", "lan", [("srl", "dum0")])]
    assert [m.addresses for m in made.lans[1].members] == [("192.168.0.1/24", "2001:db8::1/64"), ("192.168.0.2/24",)]
    assert made.lans[2].members[0].mac == "aa:bb:cc:00:00:01" and made.lans[2].members[1].addresses == ("10.0.0.2/30",)


def test_what_containerlab_would_run_becomes_agents(tmp_path: Path) -> None:
    made = clab(SRL, tmp_path).spec
    assert [(a.name, a.command) for a in made.agents if isinstance(a, ProgramAgent)] == [
        ("c-1-cmd", '/bin/sh -c "sleep 9"'), ("c-1-exec", "ip route add 10.0.0.0/8 dev eth1\nping -c 1 c-1")]
    assert [(e.at_s, e.target, e.verb) for e in made.events] == [(5, "c-1-cmd", "start"), (5, "c-1-exec", "start")]


def test_one_warning_says_what_became_of_each_kind_image_and_key(tmp_path: Path) -> None:
    said = warnings(clab(SRL, tmp_path))
    for expected in ("lab.clab.yml:14: nodes of kind 'nokia_srlinux' become containers",
                     "lab.clab.yml:28: nodes of kind 'bridge' become containers; to join its links into one network, use lans",
                     "lab.clab.yml:8: image 'ghcr.io/nokia/srlinux' is a registry's; its nodes get the base 'host'",
                     "lab.clab.yml:9: image 'alpine:3' is a registry's", "lab.clab.yml:2: 'prefix' has no effect here",
                     "lab.clab.yml:3: 'mgmt' has no effect here", "lab.clab.yml:15: 'startup-config' has no effect here",
                     "lab.clab.yml:16: 'ports' has no effect here", "lab.clab.yml:8: 'type' has no effect here",
                     "lab.clab.yml:17: 'license' has no effect here",
                     "lab.clab.yml:27: bind '/lib/modules:/lib/modules' has no effect here",
                     "lab.clab.yml:18: node 'c_1' is called 'c-1'", "'ethernet-1/1' cannot be the name of a Linux interface",
                     "a link of type 'macvlan' leads out of the experiment", "a link of type 'host' leads out of the experiment",
                     "lab.clab.yml:31: 'mtu' has no effect here",
                     "lab.clab.yml: binds of files beside this one make its whole directory"):
        assert len([line for line in said if expected in line]) == 1, expected
    assert not any("network-mode" in line for line in said), "none is what a node has here"


def test_files_beside_the_topology_are_the_datastore(tmp_path: Path) -> None:
    assert clab(SRL, tmp_path).datastore == tmp_path
    assert clab("topology: {nodes: {a: {kind: linux}}}", tmp_path).datastore is None


@pytest.mark.parametrize(("image", "kind", "becomes"), [
    ("alpine", "linux", "host"), ("alpine:3", "linux", "host"), ("ghcr.io/a/b", "nokia_srlinux", "host"), ("host", "linux", "host"),
    ("/srv/rootfs", "linux", "/srv/rootfs"), ("tiny", "vm", "tiny"), ("debian", "container", "debian"),
    ("alpine:3", "container", "host")])
def test_images(image: str, kind: str, becomes: str) -> None:
    made = clab(f"topology: {{nodes: {{a: {{kind: {kind}, image: '{image}'}}}}}}").spec
    assert made.nodes[0].image == becomes and made.nodes[0].kind == ("vm" if kind == "vm" else "container")


def test_an_image_directory_may_be_relative_to_the_file(tmp_path: Path) -> None:
    assert clab("topology: {nodes: {a: {image: ./rootfs}}}", tmp_path).spec.nodes[0].image == str(tmp_path / "rootfs")


def test_our_extensions_stand_in_the_same_file() -> None:
    made = clab("""\
parameters: {DELAY: 5ms}
topology:
  nodes: {a: {kind: linux, failure: nonfatal}, b: {kind: linux}}
  links: [{endpoints: ["a:eth1", "b:eth1"], delay: "${DELAY}", backward: {loss: 1%}}]
lans: {l: {members: [a, b]}}
agents: {p: {node: a, command: "ping b"}}
timeline: [{1s: p start}]
""").spec
    assert made.nodes[0].failure == "nonfatal" and made.lans[0].members[0].downlink.loss > 0 and len(made.lans) == 2 and made.events


@pytest.mark.parametrize(("text", "line", "message"), [
    ("topology:\n  nodes:\n    a: {imgae: x}\n", 3, "unknown key 'imgae' in a node. Did you mean 'image'?"),
    ("topology:\n  nodes: {a: }\n  links:\n  - {type: vetch, endpoints: [a, a]}\n", 4,
     "expected veth or veth-stitch or dummy, not 'vetch'"),
    ("topology:\n  nodes: {a: }\n  links:\n  - {type: dummy, endpoints: [a]}\n", 4, "a link of type dummy lacks its endpoint"),
    ("topology:\n  nodes: {a: {startup-delay: soon}}\n", 2, "startup-delay is a number of seconds, not 'soon'"),
    ("topology:\n  nodes: {a: , b: }\n  links:\n  - endpoints: [a:eth1, b:eth1]\n  - endpoints: [a:eth1, b:eth2]\n", 5,
     "interface 'eth1' of node 'a' is used twice"),
    ("name: ${LAB}\ntopology: {nodes: {a: }}\n", 1, "there is no parameter 'LAB' (declare it under parameters")])
def test_what_is_wrong_is_refused(text: str, line: int, message: str) -> None:
    with pytest.raises(InvalidInput) as error:
        clab(text)
    assert error.value.where == f"lab.clab.yml:{line}" and message in str(error.value)
