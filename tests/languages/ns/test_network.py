"""Nodes, links, LANs, queues, addresses and routes of the dialect."""

from __future__ import annotations

import math

import pytest

from languages.emulab_rows import emulab_rows


def lan(evaluation, name="l"):
    return next(lan for lan in evaluation.spec.lans if lan.name == name)


def delays_ms(evaluation, name="l"):
    return {m.node: (round(m.uplink.delay_s * 1000, 6), round(m.downlink.delay_s * 1000, 6)) for m in lan(evaluation, name).members}


LAN = "set c [$ns node]\nset w [$ns make-lan \"$a $b $c\" 100Mb 6ms]\n"


# bandwidth, delay, loss

@pytest.mark.parametrize(
    ("text", "bps"),
    [
        ("10Mb", 10_000_000),
        ("1.5Mb", 1_500_000),
        ("512Kb", 512_000),
        ("512kb", 512_000),
        ("64k", 64_000),
        ("1Gb", 10**9),
        ("1Gbps", 10**9),
        ("100000000", 100_000_000),
        ("20000b", 20_000),
        ("1500500bps", 1_500_000),
        ("*", 0),
        ("10 Mb", 10_000_000),
        ("1e1Mb", 10_000_000),
    ],
)
def test_bandwidths(ns, text, bps):
    evaluation = ns(f'set a [$ns node]\nset b [$ns node]\nset l [$ns duplex-link $a $b "{text}" 0ms DropTail]')
    assert {s.bandwidth_bps for m in lan(evaluation).members for s in (m.uplink, m.downlink)} == {bps}


@pytest.mark.parametrize(
    ("text", "half_ms"), [("20ms", 10), ("35ms", 17.5), ("2.5ms", 1), ("1.5s", 750), ("2", 1000), ("5000000ns", 2.5), ("0", 0), ("0ms", 0)]
)
def test_a_links_delay_is_halved_between_its_ends(ns, text, half_ms):
    evaluation = ns(f"set a [$ns node]\nset b [$ns node]\nset l [$ns duplex-link $a $b 10Mb {text} DropTail]")
    assert delays_ms(evaluation) == {"a": (half_ms, half_ms), "b": (half_ms, half_ms)}


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ("10Mbit 1ms DropTail", "unknown unit 'Mbit' in bandwidth"),
        ("10mb 1ms DropTail", "unknown unit 'mb'"),
        ("9Kb 1ms DropTail", "too low"),
        ("-5Mb 1ms DropTail", "too low"),
        ("fast 1ms DropTail", "is not understood"),
        ("1e40Mb 1ms DropTail", "out of range"),
        ("10Mb 1us DropTail", "unknown unit 'us' in delay"),
        ("10Mb -1ms DropTail", "negative"),
        ("10Mb 0.5ms DropTail", "less than a millisecond"),
        ("10Mb soon DropTail", "is not understood"),
        ("10Mb 1ms", "expects NODE1 NODE2 BANDWIDTH DELAY TYPE"),
    ],
)
def test_bad_links_are_refused(refusal, what, message):
    error = refusal(f"set a [$ns node]\nset b [$ns node]\nset l [$ns duplex-link $a $b {what}]")
    assert error.where == "test.ns:5"
    assert message in error.what


def test_ends_of_a_link_in_different_networks_are_warned_of(pair):
    (warning,) = pair("tb-set-ip-link $a $l 10.0.0.5\ntb-set-ip-link $b $l 10.0.1.6").warnings
    assert "'l' are of several networks (10.0.0.0/24, 10.0.1.0/24)" in warning.text and warning.where == "test.ns:5"


def test_what_is_finer_than_emulabs_units_is_cut_and_said(ns):
    evaluation = ns("set a [$ns node]\nset b [$ns node]\nset l [$ns duplex-link $a $b 1500.7Kb 2.9ms DropTail]")
    assert lan(evaluation).members[0].uplink.bandwidth_bps == 1_500_000
    assert delays_ms(evaluation)["a"] == (1, 1)
    assert sorted(w.text.split(":")[0] for w in evaluation.warnings) == ["finer than whole kbit/s", "finer than whole milliseconds"]


@pytest.mark.parametrize("command", ["tb-set-link-loss $l 0.19", "tb-set-link-loss $a $b 0.19", "tb-set-link-loss $b $a .19"])
def test_a_links_loss_is_that_of_its_two_pipes_together(pair, command):
    pipes = [s for m in lan(pair(command)).members for s in (m.uplink, m.downlink)]
    assert all(math.isclose(s.loss, 0.1) for s in pipes)


def test_of_two_links_the_last_is_meant_between_two_nodes(pair):
    evaluation = pair(
        "set second [$ns duplex-link $b $a 10Mb 0ms DropTail]\ntb-set-link-loss $a $b 0.19\ntb-set-ip-interface $b $a 10.9.9.9"
    )
    assert lan(evaluation, "l").members[0].uplink.loss == 0
    assert lan(evaluation, "second").members[0].addresses == ("10.9.9.9/24",)


def test_parameters_of_lan_members(pair):
    evaluation = pair(LAN + """
        tb-set-node-lan-delay $a $w 12ms
        tb-set-node-lan-bandwidth $a $w 2Mb
        tb-set-node-lan-loss $a $w 0.25
        tb-set-node-lan-params $b $w 9ms 11Mb 0.05
        tb-set-lan-simplex-params $w $c 4ms 10Mb 0.01 8ms 5Mb 0.04
    """)
    shapes = {m.node: [(s.delay_s, s.bandwidth_bps, s.loss) for s in (m.uplink, m.downlink)] for m in lan(evaluation, "w").members}
    assert shapes == {"a": [(0.012, 2_000_000, 0.25)] * 2, "b": [(0.009, 11_000_000, 0.05)] * 2,
                      "c": [(0.004, 10_000_000, 0.01), (0.008, 5_000_000, 0.04)]}


def test_lan_loss_then_member_loss(pair):
    evaluation = pair(LAN + "tb-set-lan-loss $w 0.19\ntb-set-node-lan-loss $b $w 0.5")
    assert {m.node: round(m.uplink.loss, 9) for m in lan(evaluation, "w").members} == {"a": 0.1, "b": 0.5, "c": 0.1}


def test_simplex_parameters_of_a_link_are_of_one_direction(pair):
    evaluation = pair("tb-set-link-simplex-params $l $b 300ms 2Mb 0.19")
    a, b = lan(evaluation).members
    assert [round(x, 9) for x in (b.uplink.delay_s, a.downlink.delay_s, a.uplink.delay_s, b.downlink.delay_s)] == [0.15, 0.15, 0.01, 0.01]
    assert (b.uplink.bandwidth_bps, a.downlink.bandwidth_bps, a.uplink.bandwidth_bps, b.downlink.bandwidth_bps) == (
        2_000_000,
        2_000_000,
        10**7,
        10**7,
    )
    assert round(b.uplink.loss, 9) == round(a.downlink.loss, 9) == 0.1
    assert a.uplink.loss == b.downlink.loss == 0


def test_a_link_may_be_left_unshaped(pair):
    assert lan(pair("tb-set-noshaping $l 1")).members[0].uplink.bandwidth_bps == 0


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("tb-set-link-loss $l 1.5", "not a fraction"),
        ("tb-set-link-loss $l -0.1", "not a fraction"),
        ("tb-set-link-loss $l lots", "not a number"),
        ("tb-set-link-loss $l 0.0000001", "the least that Emulab knows"),
        ("tb-set-lan-loss $l 0.1", "'l' is a link, not a LAN"),
        ("tb-set-link-loss $a $a 0.1", "no link between a and a"),
        ("tb-set-node-lan-delay $a $l 1ms", "'l' is a link, not a LAN"),
        ("tb-set-link-simplex-params $l nosuch 1ms 1Mb 0", "no node 'nosuch'"),
        ("tb-set-node-lan-delay $a", "expects NODE LAN DELAY"),
        ('set w [$ns make-lan "$a" 10Mb 0ms]', "a LAN of 1 node"),
        ('set w [$ns make-lan "$a $b nosuch" 10Mb 0ms]', "no node 'nosuch'"),
        ("set w [$ns make-lan {$a $b} 10Mb 0ms]", "no node '$a'"),
        ("$ns cost $a nosuch 3", "no node 'nosuch'"),
        ("$l cost 0", "not more than 0"),
        ("set x_y [$ns duplex-link $a $b 1Mb 0ms DropTail]", "other characters than letters, digits and '-'"),
    ],
)
def test_bad_parameters_are_refused_at_their_line(refusal, command, message):
    error = refusal(command, pair=True)
    assert error.where == "test.ns:6"
    assert message in str(error)


# queues

def test_default_queue_is_emulabs(pair):
    queue = lan(pair("")).members[0].uplink.queue
    assert (queue.discipline, queue.limit, queue.unit, queue.red.min_threshold, queue.red.max_threshold) == (
        "droptail",
        50,
        "packets",
        5,
        15,
    )
    assert (queue.red.weight, queue.red.linear_term, queue.red.mean_packet_size_bytes, queue.red.wait) == (0.002, 10, 500, True)


def test_each_direction_of_a_link_has_a_queue_of_its_own(ns):
    evaluation = ns("""
        set a [$ns node]
        set b [$ns node]
        set l [$ns duplex-link $a $b 100Mb 0ms RED]
        set forth [[$ns link $a $b] queue]
        set back [[$ns link $b $a] queue]
        $forth set limit_ 60
        $forth set thresh_ 7
        $forth set maxthresh_ 20
        $forth set linterm_ 11
        $forth set q_weight_ 0.004
        $forth set gentle_ 1
        $back set queue-in-bytes_ true
        $back set limit_ 64000
        $back set mean_pktsize_ 1000
        $back set bytes_ 1
        $back set setbit_ 1
        $back set wait_ 0
        if {[$forth set limit_] != 60 || [$back set thresh_] != 5} { error "not what was set" }
    """)
    a, b = lan(evaluation).members
    assert a.uplink.queue == b.downlink.queue
    assert b.uplink.queue == a.downlink.queue
    forth, back = a.uplink.queue, b.uplink.queue
    assert (forth.discipline, forth.limit, forth.unit) == ("red", 60, "packets")
    assert (forth.red.min_threshold, forth.red.max_threshold, forth.red.linear_term, forth.red.weight, forth.red.gentle) == (
        7,
        20,
        11,
        0.004,
        True,
    )
    assert (back.discipline, back.limit, back.unit) == ("red", 64000, "bytes")
    assert (back.red.mean_packet_size_bytes, back.red.byte_mode, back.red.mark, back.red.wait) == (1000, True, True, False)


def test_a_lan_member_has_one_queue_for_both_ways(pair):
    evaluation = pair(LAN + "set q [[$ns lanlink $w $b] queue]\n$q set limit_ 7\nset p [$w Queue $c]\n$p set limit_ 8")
    limits = {m.node: (m.uplink.queue.limit, m.downlink.queue.limit) for m in lan(evaluation, "w").members}
    assert limits == {"a": (50, 50), "b": (7, 7), "c": (8, 8)}


@pytest.mark.parametrize(("type", "discipline", "gentle"), [("DropTail", "droptail", False), ("RED", "red", False), ("GRED", "red", True)])
def test_queue_types(ns, type, discipline, gentle):
    queue = lan(ns(f"set a [$ns node]\nset b [$ns node]\nset l [$ns duplex-link $a $b 10Mb 0ms {type}]")).members[0].uplink.queue
    assert (queue.discipline, queue.red.gentle) == (discipline, gentle)


def test_other_queue_types_are_drop_tail_with_a_warning(ns):
    evaluation = ns("set a [$ns node]\nset b [$ns node]\nset l [$ns duplex-link $a $b 10Mb 0ms SFQ]")
    assert lan(evaluation).members[0].uplink.queue.discipline == "droptail"
    assert [w.where for w in evaluation.warnings] == ["test.ns:5"]


@pytest.mark.parametrize("setting", ["limit_ 0", "limit_ many", "limit_ 1.5", "thresh_ 0", "q_weight_ 2", "linterm_ -1", "gentle_ maybe"])
def test_bad_queue_settings_are_refused(refusal, setting):
    assert refusal(f"set q [[$ns link $a $b] queue]\n$q set {setting}", pair=True).where == "test.ns:7"


def test_traces(pair):
    evaluation = pair(LAN + "$l trace\n$w trace packet \"tcp port 80\"\n$w trace_snaplen 128\n$w trace_endnode 1")
    assert lan(evaluation).trace.model_dump() == {"what": "header", "filter": "", "snap_bytes": 0, "end_nodes": False, "members": ()}
    assert lan(evaluation, "w").trace.model_dump() == {
        "what": "packet",
        "filter": "tcp port 80",
        "snap_bytes": 128,
        "end_nodes": True,
        "members": (),
    }


def test_one_member_may_be_traced_alone(pair):
    evaluation = pair("set q [[$ns link $b $a] queue]\n$q trace monitor")
    assert lan(evaluation).trace.members == ("b",)
    assert [row["vnode"] for row in emulab_rows(evaluation.spec)["virt_lans"] if "trace_type" in row] == ["b"]
    assert lan(pair("$l SetTraceParams $a packet 96 icmp")).trace.model_dump() == {
        "what": "packet", "filter": "icmp", "snap_bytes": 96, "end_nodes": False, "members": ("a",)}


def test_costs(pair):
    assert lan(pair("$ns cost $a $b 7")).cost == 7
    assert lan(pair(LAN + "$w cost 2.5"), "w").cost == 2.5


# addresses and routes

def addresses(evaluation):
    return {(lan.name, m.node): m.addresses[0] for lan in evaluation.spec.lans for m in lan.members}


def test_explicit_addresses(pair):
    found = addresses(
        pair(
            LAN
            + "tb-set-ip $c 10.1.1.77\ntb-set-ip-link $a $l 192.168.7.1\ntb-set-ip-lan $b $w 10.1.1.3\ntb-set-netmask $l 255.255.255.252"
        )
    )
    assert found == {("l", "a"): "192.168.7.1/30", ("l", "b"): "192.168.7.2/30", ("w", "a"): "10.1.1.2/24", ("w", "b"): "10.1.1.3/24",
                     ("w", "c"): "10.1.1.77/24"}


def test_numbering_steps_around_what_is_taken(pair):
    """Emulab would give 10.1.1.0 to both, since it comes upon `l` first."""
    found = addresses(pair(LAN + "tb-set-ip-lan $a $w 10.1.1.5"))
    assert found["w", "b"] == "10.1.1.2/24"
    assert found["l", "a"] == "10.1.2.2/24"


def test_large_lans_get_a_wider_network(ns):
    evaluation = ns('for {set i 0} {$i < 300} {incr i} { set n($i) [$ns node]; append all "$n($i) " }\nset w [$ns make-lan $all 100Mb 0ms]')
    assert evaluation.spec.lans[0].members[299].addresses == ("10.1.3.45/23",)
    assert emulab_rows(evaluation.spec)["virt_lans"][0]["mask"] == "255.255.254.0"


@pytest.mark.parametrize(("command", "message"), [
    ("tb-set-ip-link $a $l 300.1.2.3", "is not an IP address"), ("tb-set-ip-link $a $l 10.1.2", "is not an IP address"),
    ("tb-set-ip-link $a $l fe80::1", "is not an IP address"), ("tb-set-ip-lan $a $l 10.1.2.3", "'l' is a link, not a LAN"),
    ("tb-set-ip-link $a nosuch 10.1.2.3", "no link 'nosuch'"), ("tb-set-ip-link $a $l 10.1.1.255", "broadcast"),
    ("tb-set-ip $a 224.0.0.5", "out of range"), ("tb-set-ip $a 127.0.0.1", "out of range"),
    ("tb-set-netmask $l 255.0.0.0", "out of range"), ("tb-set-netmask $l 255.255.0.255", "is not a network mask"),
    ("tb-set-netmask $l 0.0.0.255", "is not a network mask"), ("tb-set-ip-interface $a $a 10.1.1.2", "no link between"),
])
def test_bad_addresses_are_refused_at_their_line(refusal, command, message):
    error = refusal(command, pair=True)
    assert error.where == "test.ns:6"
    assert message in error.what


@pytest.mark.parametrize(
    ("body", "line", "message"),
    [
        ("tb-set-ip-link $a $l 10.5.5.5\ntb-set-ip-link $b $l 10.5.5.5", 7, "used twice"),
        (
            "set k [$ns duplex-link $a $b 1Mb 0ms DropTail]\ntb-set-ip-link $a $l 10.5.5.5\ntb-set-ip-link $a $k 10.5.5.6",
            8,
            "is used by both 'l' and 'k'",
        ),
        ("set c [$ns node]\ntb-set-ip $c 10.1.2.3", 7, "0 links and LANs instead of one"),
        ("set c [$ns node]\n$a add-route $c $b", 7, "0 links and LANs instead of one"),
        ("set c [$ns node]\nset k [$ns duplex-link $b $c 1Mb 0ms DropTail]\n$a add-route $c $c", 8, "share no link or LAN"),
        ("$a add-route $l $b\n$a add-route $l $b", 7, "already a route"),
        ("set c [$ns link $a nosuch]", 6, "no node 'nosuch'"),
        ("set c [$ns node]\nset s [$ns link $a $c]", 7, "no link between a and c"),
    ],
)
def test_what_does_not_fit_together_is_refused(refusal, body, line, message):
    error = refusal(body, pair=True)
    assert error.where == f"test.ns:{line}"
    assert message in error.what


def test_routes_by_hand(ns):
    """The addresses are those of the image tests of Emulab's manual routing."""
    evaluation = ns("""
        foreach n {node1 node2 node3 nodeA} { set $n [$ns node] }
        set lan [$ns make-lan "$node1 $node2 $node3" 100Mb 0ms]
        set link [$ns duplex-link $node3 $nodeA 100Mb 0ms DropTail]
        tb-set-ip $node1 192.168.1.1
        tb-set-ip $node2 192.168.1.2
        tb-set-ip-lan $node3 $lan 192.168.1.3
        tb-set-netmask $lan 255.255.255.248
        tb-set-ip-link $node3 $link 192.168.1.9
        tb-set-ip-link $nodeA $link 192.168.1.10
        tb-set-netmask $link 255.255.255.252
        $node1 add-route $nodeA $node3
        $nodeA add-route $lan $node3
        $node2 add-route [$ns link $node3 $nodeA] $node3
        $ns rtproto Manual
    """)
    routes = {n.name: [(r.destination, r.via) for r in n.routes] for n in evaluation.spec.nodes}
    assert routes == {"node1": [("192.168.1.10/32", "192.168.1.3")], "node2": [("192.168.1.8/30", "192.168.1.3")], "node3": [],
                      "nodeA": [("192.168.1.0/29", "192.168.1.9")]}
    assert {(r["vname"], r["src"], r["dst"], r["dst_type"], r["dst_mask"]) for r in emulab_rows(evaluation.spec)["virt_routes"]} == {
        ("node1", "192.168.1.1", "192.168.1.10", "host", "255.255.255.252"),
        ("node2", "192.168.1.2", "192.168.1.9", "net", "255.255.255.252"),
        ("nodeA", "192.168.1.10", "192.168.1.1", "net", "255.255.255.248"),
    }


@pytest.mark.parametrize(
    ("command", "routing", "routertype"),
    [
        ("", "none", "none"),
        ("$ns rtproto Static", "static", "static"),
        ("$ns rtproto Manual", "manual", "manual"),
        ("$ns rtproto Session", "static", "ospf"),
        ("$ns rtproto Static-ddijk", "static", "static-ddijk"),
        ("tb-set-ip-routing ospf", "static", "ospf"),
        ("$ns rtproto Static\n$ns rtproto DV", "static", "static"),
    ],
)
def test_routing(pair, command, routing, routertype):
    evaluation = pair(command)
    assert {n.routing for n in evaluation.spec.nodes} == {routing}
    assert {row["routertype"] for row in emulab_rows(evaluation.spec)["virt_nodes"]} == {routertype}


def test_unknown_routing_is_refused(refusal):
    assert refusal("$ns rtproto Statik").next == "Did you mean 'Static'?"
