"""RSpecs as CloudLab's portal has them: what is understood, warned of, refused, and never fetched or expanded."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from languages.evaluate import Evaluation, Source, evaluate, parameters_of
from models.errors import InvalidInput

HEAD = ('<rspec xmlns="http://www.geni.net/resources/rspec/3" xmlns:emulab="http://www.protogeni.net/resources/rspec/ext/emulab/1" '
        'xmlns:delay="http://www.protogeni.net/resources/rspec/ext/delay/1" type="request">\n')  # so a body's first line is line 2

PAIR = """<node client_id="a" exclusive="true"><interface client_id="a:if0"/></node>
<node client_id="b" exclusive="true"><interface client_id="b:if0"/></node>
"""


@pytest.fixture
def rspec() -> Callable[..., Evaluation]:
    return lambda body, **values: evaluate(Source("test.rspec", f"{HEAD}{body}\n</rspec>\n", "rspec"), values)


@pytest.fixture
def refusal(rspec) -> Callable[[str], InvalidInput]:
    def refused(body: str) -> InvalidInput:
        with pytest.raises(InvalidInput) as caught:
            rspec(body)
        return caught.value

    return refused


def link(inner: str, ends: str = "ab", name: str = "l") -> str:
    refs = "".join(f'<interface_ref client_id="{end}:if0"/>' for end in ends)
    return f'<link client_id="{name}">{refs}{inner}</link>\n'


def pipes(evaluation: Evaluation, name: str = "l") -> dict:
    lan = next(lan for lan in evaluation.spec.lans if lan.name == name)
    return {m.node: [(s.bandwidth_bps, round(s.delay_s * 1000, 6), round(s.loss, 9)) for s in (m.uplink, m.downlink)] for m in lan.members}


def test_a_whole_profile(rspec):
    evaluation = rspec("""
      <rspec_tour xmlns="http://www.protogeni.net/resources/rspec/ext/apt-tour/1"><description type="markdown">Three
        machines.</description></rspec_tour>
      <node client_id="server_1" exclusive="false">
        <sliver_type name="emulab-xen">
          <disk_image name="urn:publicid:IDN+emulab.net+image+emulab-ops//UBUNTU22-64-STD"/>
          <emulab:xen cores="2" ram="512"/>
        </sliver_type>
        <services>
          <execute shell="sh" command="/local/repository/setup.sh"/>
          <execute shell="bash" command="echo 'two'"/>
          <install url="data/tools.tgz" install_path="/opt"/>
        </services>
        <interface client_id="server_1:if0"><ip address="192.168.3.1" netmask="255.255.255.0" type="ipv4"/></interface>
        <emulab:failure_action action="nonfatal"/>
      </node>
      <node client_id="c1"><sliver_type name="raw-pc"><disk_image name="urn:publicid:IDN+emulab.net+image+proj:mine"/></sliver_type>
        <hardware_type name="m510"/><interface client_id="c1:if0"/>
        <services><execute shell="sh" command="sleep 1"/></services></node>
      <node client_id="c2"><interface client_id="c2:if0"/></node>
      <link client_id="lan">
        <interface_ref client_id="server_1:if0"/><interface_ref client_id="c1:if0"/><interface_ref client_id="c2:if0"/>
        <link_type name="lan"/>
      </link>
      <data_set xmlns="http://www.protogeni.net/resources/rspec/ext/profile-parameters/1">
        <data_item name="emulab.net.parameter.COUNT">2</data_item></data_set>
    """)
    spec = evaluation.spec
    server, c1, _ = spec.nodes
    assert spec.description == "Three machines."
    assert (server.name, server.image, server.cpus, server.memory_bytes, server.failure) == ("server-1", "host", 2, 512 << 20, "nonfatal")
    assert server.labels == {"emulab.sliver_type": "emulab-xen", "emulab.osname": "UBUNTU22-64-STD"}
    assert [(t.directory, t.path) for t in server.tarballs] == [("/opt", "data/tools.tgz")]
    assert (c1.image, c1.hardware) == ("mine", "m510")
    lan, = spec.lans
    assert (lan.kind, [m.addresses for m in lan.members]) == ("lan", [("192.168.3.1/24",), ("192.168.3.2/24",), ("192.168.3.3/24",)])
    assert [(a.name, a.node, a.command) for a in spec.agents] == [
        ("server-1-execute-1", "server-1", "/local/repository/setup.sh"),
        ("server-1-execute-2", "server-1", "bash -c 'echo '\"'\"'two'\"'\"''"),
        ("c1-execute-1", "c1", "sleep 1"),
    ]
    assert [(s.name, [(e.target, e.verb) for e in s.steps]) for s in spec.sequences] == [
        ("server-1-services", [("server-1-execute-1", "run"), ("server-1-execute-2", "run")])]
    assert [(e.target, e.verb, e.at_s) for e in spec.events] == [("server-1-services", "start", 0), ("c1-execute-1", "start", 0)]
    assert [(p.name, p.value) for p in spec.parameters] == [("COUNT", "2")]
    assert sorted(str(w).split(": ")[1] for w in evaluation.warnings) == ["client_id 'server_1'", "disk_image", "hardware_type"]


def test_properties_are_of_one_way(rspec):
    evaluation = rspec(PAIR + link('<property source_id="a:if0" dest_id="b:if0" capacity="10000" latency="20" packet_loss="0.19"/>'
                                   '<property source_id="b:if0" dest_id="a:if0" capacity="2000" latency="5.5"/>'))
    assert pipes(evaluation) == {"a": [(10_000_000, 10, 0.1), (2_000_000, 2.75, 0)], "b": [(2_000_000, 2.75, 0), (10_000_000, 10, 0.1)]}
    assert evaluation.warnings == ()
    assert evaluation.spec.lans[0].kind == "link"


def test_one_way_alone_is_said(rspec):
    evaluation = rspec(PAIR + link('<property source_id="a:if0" dest_id="b:if0" latency="20"/>'))
    assert pipes(evaluation)["b"] == [(0, 0, 0), (0, 10, 0)]
    assert "only one way" in evaluation.warnings[0].text


THREE = PAIR + '<node client_id="c"><interface client_id="c:if0"/></node>\n'


def ways(latency: Callable[[str, str], int]) -> str:
    return "".join(f'<property source_id="{s}:if0" dest_id="{d}:if0" capacity="1000" latency="{latency(s, d)}"/>'
                   for s in "abc" for d in "abc" if s != d)


def test_a_lan_with_the_same_properties_everywhere(rspec):
    evaluation = rspec(THREE + link(ways(lambda s, d: 8), "abc"))
    assert set(map(tuple, pipes(evaluation).values())) == {((1_000_000, 4, 0), (1_000_000, 4, 0))}
    assert evaluation.warnings == ()


def test_a_lan_whose_pairs_differ_takes_the_worse_and_says_so(rspec):
    evaluation = rspec(THREE + link(ways(lambda s, d: 30 if s + d == "ab" else 8), "abc"))
    assert pipes(evaluation)["a"][0] == (1_000_000, 15, 0)
    assert "the worse counts" in evaluation.warnings[0].text


def test_delay_nodes_become_the_links_own_shaping(rspec):
    evaluation = rspec(PAIR + """<node client_id="bridge"><sliver_type name="delay"><delay:sliver_type_shaping>
        <delay:pipe source="bridge:if0" dest="bridge:if1" capacity="5000" latency="30" packet_loss="0.19"/>
        <delay:pipe source="bridge:if1" dest="bridge:if0" capacity="1000" latency="10"/>
        </delay:sliver_type_shaping></sliver_type><interface client_id="bridge:if0"/><interface client_id="bridge:if1"/></node>
      <link client_id="left"><interface_ref client_id="a:if0"/><interface_ref client_id="bridge:if0"/></link>
      <link client_id="right"><interface_ref client_id="bridge:if1"/><interface_ref client_id="b:if0"/></link>""")
    assert [n.name for n in evaluation.spec.nodes] == ["a", "b"]
    assert pipes(evaluation, "left") == {"a": [(5_000_000, 15, 0.1), (1_000_000, 5, 0)], "b": [(1_000_000, 5, 0), (5_000_000, 15, 0.1)]}


def test_what_means_nothing_is_warned_of_once(rspec):
    evaluation = rspec(f"""<node client_id="a" component_id="urn:pc1"><emulab:routable_control_ip/><emulab:blockstore name="x"/>
        <interface client_id="a:if0"/><services><login authentication="ssh-keys"/><install url="http://x/y.tgz" install_path="/"/>
        </services></node>
      <node client_id="b" component_id="urn:pc2"><emulab:routable_control_ip/><emulab:frobnicator/>
        <interface client_id="b:if0"/><interface client_id="b:if1"/></node>
      {link('<component_manager name="x"/><emulab:vlan_tagging enabled="true"/><link_type name="gre-tunnel"/><emulab:shared_vlan/>')}""")
    keys = [w.text.split(": ")[0] for w in evaluation.warnings]
    assert sorted(keys) == [
        "blockstore",
        "component_id",
        "frobnicator",
        "install",
        "interface 'b:if1'",
        "link_type",
        "login",
        "routable_control_ip",
        "shared_vlan",
        "vlan_tagging",
    ]


def test_a_link_named_like_a_node(rspec):
    evaluation = rspec(PAIR + link("", name="a"))
    assert evaluation.spec.lans[0].name == "a-link"


def test_parameters_can_be_asked_for_and_given(rspec):
    body = '<data_set><data_item name="emulab.net.parameter.N">4</data_item></data_set>' + PAIR
    assert [p.name for p in parameters_of(Source("t.rspec", f"{HEAD}{body}</rspec>", "rspec"))] == ["N"]
    assert rspec(body, N="5").spec.parameters[0].value == "5"
    with pytest.raises(InvalidInput, match="no parameter 'M'"):
        rspec(body, M="5")


@pytest.mark.parametrize(
    ("body", "line", "message"),
    [
        (
            PAIR + "<link client_id='l'><interface_ref client_id='a:if9'/><interface_ref client_id='b:if0'/></link>",
            4,
            "unknown interface 'a:if9'",
        ),
        (PAIR + link("", "a"), 4, "1 interface instead of at least 2"),
        (PAIR + "<link><interface_ref client_id='a:if0'/></link>", 4, "no client_id"),
        (
            PAIR + link('\n<property source_id="a:if0" dest_id="c:if0" latency="1"/>'),
            5,
            "the dest_id 'c:if0', which is not one of its interfaces",
        ),
        (PAIR + link('\n<property source_id="a:if0" dest_id="b:if0" latency="soon"/>'), 5, "latency 'soon' is not a number"),
        (
            PAIR + link('\n<property source_id="a:if0" dest_id="b:if0" packet_loss="1.5"/>'),
            5,
            "packet_loss '1.5' is not a number from 0 to 1",
        ),
        (PAIR + link('\n<property source_id="a:if0" dest_id="b:if0" capacity="-1"/>'), 5, "capacity '-1'"),
        ("<node/>", 2, "no client_id"),
        ("<node client_id='a'/>\n<node client_id='a'/>", 3, "used twice"),
        ("<node client_id='a b'/>", 2, "not a DNS label"),
        ("<node client_id='a'><interface client_id='x'/>\n<interface client_id='x'/></node>", 3, "declared twice"),
        (
            PAIR.replace('"a:if0"/>', '"a:if0"><ip address="10.1.1.300" netmask="255.255.255.0"/></interface>') + link(""),
            2,
            "not an IP address",
        ),
        (
            PAIR.replace('"a:if0"/>', '"a:if0"><ip address="10.1.1.1" netmask="255.0.255.0"/></interface>') + link(""),
            2,
            "not an IP address",
        ),
        ("<node client_id='a'><services><execute shell='sh'/></services></node>", 2, "no command"),
        ("<node client_id='a'><sliver_type name='x'><emulab:xen cores='many'/></sliver_type></node>", 2, "cores 'many'"),
        ("<node client_id='d'><sliver_type name='delay'/><interface client_id='d:if0'/></node>", 2, "does not stand between two links"),
        ("<node client_id='a'>", 3, "not well-formed XML: mismatched tag"),
        ("<a>" * 100 + "</a>" * 100, 2, "nested more than 64 deep"),
    ],
)
def test_bad_documents_are_refused_at_their_line(refusal, body, line, message):
    error = refusal(body)
    assert error.where == f"test.rspec:{line}"
    assert message in error.what


@pytest.mark.parametrize("text", [
    '<!DOCTYPE r [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;">]>\n<rspec xmlns="http://www.geni.net/resources/rspec/3">&b;</rspec>',
    '<!DOCTYPE r [<!ENTITY x SYSTEM "file:///etc/passwd">]>\n<rspec xmlns="http://www.geni.net/resources/rspec/3">&x;</rspec>',
    '<!DOCTYPE r SYSTEM "http://127.0.0.1:1/x.dtd">\n<rspec xmlns="http://www.geni.net/resources/rspec/3"/>',
])
def test_entities_are_neither_expanded_nor_fetched(text):
    with pytest.raises(InvalidInput, match="document type or entities"):
        evaluate(Source("test.rspec", text, "rspec"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no element found"),
        ("hello", "syntax error"),
        ("<x/>", "a 'x', not an RSpec"),
        ("<rspec/>", "another version"),
        ('<rspec xmlns="http://www.protogeni.net/resources/rspec/2"/>', "another version"),
        ('<rspec xmlns="http://www.geni.net/resources/rspec/3" type="advertisement"/>', "advertises"),
    ],
)
def test_other_documents_are_refused(text, message):
    with pytest.raises(InvalidInput, match=message):
        evaluate(Source("test.rspec", text, "rspec"))
