"""What nodes are given, program and traffic agents, parameters and the experiment's environment."""

from __future__ import annotations

import pytest

from languages.emulab_rows import emulab_rows
from models.errors import InvalidInput


def node(evaluation, name="a"):
    return evaluation.spec.node(name)


def agent(evaluation, name):
    return next(a for a in evaluation.spec.agents if a.name == name)


def texts(evaluation):
    return [w.text for w in evaluation.warnings]


def row(evaluation, table, name):
    return next(r for r in emulab_rows(evaluation.spec)[table] if r["vname"] == name)


def test_an_image_is_the_nodes_os(pair):
    evaluation = pair("tb-set-node-os $a my-image")
    assert node(evaluation).image == "my-image"
    assert node(evaluation, "b").image == "host"
    assert row(evaluation, "virt_nodes", "a")["osname"] == "my-image"
    assert "osname" not in row(evaluation, "virt_nodes", "b")


def test_emulabs_own_images_are_recorded_so_that_old_files_still_run(pair):
    evaluation = pair("tb-set-node-os $a UBUNTU18-64-STD\ntb-set-node-os $b FBSD410-STD")
    assert {n.image for n in evaluation.spec.nodes} == {"host"}
    assert row(evaluation, "virt_nodes", "a")["osname"] == "UBUNTU18-64-STD"
    assert row(evaluation, "virt_nodes", "b")["osname"] == "FBSD410-STD"
    assert [w.where for w in evaluation.warnings] == ["test.ns:6"]


def test_hardware_is_recorded_with_a_warning_and_vm_means_one(pair):
    evaluation = pair("tb-set-hardware $a pc850\ntb-set-hardware $b vm")
    assert (node(evaluation).hardware, node(evaluation).kind) == ("pc850", "container")
    assert node(evaluation, "b").kind == "vm"
    assert row(evaluation, "virt_nodes", "a")["type"] == "pc850"
    assert len(texts(evaluation)) == 1


def test_tar_files_and_rpms(pair):
    evaluation = pair("""
        tb-set-node-tarfiles $a /usr/local $DATASTORE/tools.tgz /opt data/set.tar.gz
        tb-set-node-tarfiles $b "/ http://example.org/x.tgz"
        tb-set-node-rpms $a /rpms/one.rpm /rpms/two.rpm
        tb-set-node-rpms $b "three.rpm four.rpm"
    """.replace("$DATASTORE", r"\$DATASTORE"))
    assert [(t.directory, t.path) for t in node(evaluation).tarballs] == [("/usr/local", "tools.tgz"), ("/opt", "data/set.tar.gz")]
    assert node(evaluation, "b").tarballs == ()
    assert row(evaluation, "virt_nodes", "a")["tarfiles"] == "/usr/local tools.tgz;/opt data/set.tar.gz"
    assert row(evaluation, "virt_nodes", "a")["rpms"] == "/rpms/one.rpm;/rpms/two.rpm"
    assert row(evaluation, "virt_nodes", "b")["rpms"] == "three.rpm;four.rpm"
    assert sorted(t.split(":")[0] for t in texts(evaluation)) == ["tarfile of a URL", "tb-set-node-rpms"]


def test_tar_files_of_the_experiment_go_to_every_node(pair):
    evaluation = pair("tb-set-tarfiles /opt all.tar\ntb-set-node-tarfiles $a /usr own.tar")
    assert [[t.path for t in n.tarballs] for n in evaluation.spec.nodes] == [["own.tar", "all.tar"], ["all.tar"]]


@pytest.mark.parametrize(
    ("action", "failure"), [("fatal", "fatal"), ("nonfatal", "nonfatal"), ("ignore", "nonfatal"), ("restart", "restart")]
)
def test_failure_actions(pair, action, failure):
    evaluation = pair(f"tb-set-node-failure-action $a {action}")
    assert node(evaluation).failure == failure
    assert node(evaluation, "b").failure == "fatal"
    assert row(evaluation, "virt_nodes", "a")["failureaction"] == action


def test_start_commands_run_when_a_run_begins(pair):
    evaluation = pair("tb-set-node-startcmd $a \"echo one\"\n$b start-command {echo two}\ntb-set-node-startup $a \"/etc/rc.mine\"")
    assert [(a.name, a.node, a.command) for a in evaluation.spec.agents] == [
        ("a_startcmd", "a", "echo one"), ("b_startcmd", "b", "echo two"), ("a_startup", "a", "/etc/rc.mine")]
    assert [(e.target, e.verb, e.at_s) for e in evaluation.spec.events] == [
        ("a_startcmd", "start", 0),
        ("b_startcmd", "start", 0),
        ("a_startup", "start", 0),
    ]
    assert row(evaluation, "virt_nodes", "a")["startupcmd"] == "/etc/rc.mine"
    rows = emulab_rows(evaluation.spec)
    assert [r["vname"] for r in rows["eventlist"]] == [r["vname"] for r in rows["virt_programs"]] == ["a_startcmd", "b_startcmd"]


def test_memory(pair):
    assert node(pair("tb-set-node-memory-size $a 512")).memory_bytes == 512 << 20


def test_sync_server(pair):
    assert pair("tb-set-sync-server $b").spec.sync_server == "b"
    assert pair("").spec.sync_server is None


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("tb-set-node-os nosuch X", "no node 'nosuch'"),
        ("tb-set-node-os $l X", "'l' is a link, not a node"),
        ("tb-set-node-failure-action $a sometimes", "unknown failure action"),
        ("tb-set-node-tarfiles $a usr/local x.tgz", "not an absolute path"),
        ("tb-set-node-tarfiles $a /usr/local x.zip", "does not end in"),
        ("tb-set-node-tarfiles $a /opt ../x.tgz", "must lie in the datastore"),
        ("tb-set-node-tarfiles $a /opt/../etc x.tgz", "without '..'"),
        ("tb-set-node-tarfiles $a /a b.tar /c", "pairs of a directory and a tar file"),
        ("tb-set-sync-server $l", "'l' is a link, not a node"),
        ("tb-set-ip-routing rip", "not one of none, ospf"),
        ("set p [$a program-agent -comand x]", "has no option '-comand'"),
        ("set p [$a program-agent -timeout soon]", "is not understood"),
        ("set p [$a program-agent -expected-exit-code 256]", "0 to 255"),
        ("set p [$a program-agent -command]", "has no value"),
        ('set p [$a program-agent -command "x\\ny"]', "one line"),
        ("set p [new Program $ns]\n", "has no node"),
        ("set p [new Program $ns]; $p set node ops", "no host 'ops'"),
        ("set p [new Program $ns]; $p set node $l", "'l' is a link, not a node"),
    ],
)
def test_bad_settings_are_refused_at_their_line(refusal, command, message):
    error = refusal(command, pair=True)
    assert error.where == "test.ns:6"
    assert message in error.what


def test_program_agents(pair):
    evaluation = pair("""
        set one [$a program-agent -command {make && ./run $DATASTORE} -dir /var/tmp -timeout 1m30s -expected-exit-code 7]
        set two [new Program $ns]
        $two set node $b
        $two set command "/bin/ls -lt >& /tmp/foo"
        $two set dir "{/tmp}"
        $two set timeout 5
        set three [$b program-agent]
        set grid(1,2) [$b program-agent -command "x"]
    """)
    assert agent(evaluation, "one").model_dump(exclude_defaults=True) == {
        "name": "one",
        "node": "a",
        "command": "make && ./run $DATASTORE",
        "directory": "/var/tmp",
        "timeout_s": 90,
        "expected_exit_code": 7,
    }
    assert agent(evaluation, "two").model_dump(exclude_defaults=True) == {
        "name": "two", "node": "b", "command": "/bin/ls -lt >& /tmp/foo", "directory": "/tmp", "timeout_s": 5}
    assert agent(evaluation, "three").command == ""
    assert agent(evaluation, "grid-1-2").node == "b"


def test_unnamed_programs_are_numbered_as_emulab_does(pair):
    """`new` counts the Simulator (1), and the link's three queues (2 to 4); the first program brings the group of all programs."""
    evaluation = pair("$a program-agent -command x\n$a program-agent -command y\nset g [$ns event-group]")
    assert [a.name for a in evaluation.spec.agents] == ["Program5", "Program7"]


TRAFFIC = """
set udp [new Agent/UDP]
$ns attach-agent $a $udp
set cbr [new Application/Traffic/CBR]
$cbr attach-agent $udp
set sink [new Agent/Null]
$ns attach-agent $b $sink
$ns connect $udp $sink
"""


def test_cbr_over_udp(pair):
    evaluation = pair(TRAFFIC + "$cbr set packetSize_ 700\n$cbr set interval_ 0.02\n$cbr set iptos_ 16")
    source, sink = agent(evaluation, "cbr"), agent(evaluation, "sink")
    assert (source.node, source.role, source.protocol, source.peer, source.port, source.address) == (
        "a",
        "source",
        "udp",
        "sink",
        5001,
        "10.1.1.2",
    )
    assert (source.packet_size_bytes, source.rate_bps, source.interval_s, source.type_of_service) == (700, 100_000_000, 0.02, 16)
    assert (sink.node, sink.role, sink.protocol, sink.peer, sink.port, sink.address) == ("b", "sink", "udp", "cbr", 5001, "10.1.1.3")
    assert "PACKETSIZE=700 RATE=100000 INTERVAL=0.02 IPTOS=16" in [r.get("arguments") for r in emulab_rows(evaluation.spec)["eventlist"]]


def test_defaults_of_cbr_are_emulabs(pair):
    source = agent(pair(TRAFFIC), "cbr")
    assert (source.packet_size_bytes, source.rate_bps, source.interval_s, source.type_of_service) == (210, 100_000_000, None, None)
    assert agent(pair(TRAFFIC + "$cbr set rate_ 0\n$cbr set interval_ 0.1"), "cbr").rate_bps is None


@pytest.mark.parametrize(("application", "kind"), [("Application/FTP", "ftp"), ("Application/Telnet", "telnet")])
def test_ftp_and_telnet_over_tcp(pair, application, kind):
    evaluation = pair(f"""
        set tcp [new Agent/TCP]
        $ns attach-agent $b $tcp
        set app [new {application}]
        $app attach-agent $tcp
        set sink [new Agent/TCPSink]
        $ns attach-agent $a $sink
        $ns connect $sink $tcp
        $ns at 3 "$app start"
    """)
    assert {(a.name, a.role, a.protocol, a.application) for a in evaluation.spec.agents} == {
        ("app", "source", "tcp", kind),
        ("sink", "sink", "tcp", kind),
    }
    assert emulab_rows(evaluation.spec)["eventlist"] == [
        {
            "time": "3",
            "vname": "app",
            "vnode": "b",
            "objecttype": "NSE",
            "eventtype": "NSEEVENT",
            "arguments": "$app start",
            "triggertype": "0",
        }
    ]


def test_ports_count_per_node(pair):
    evaluation = pair(TRAFFIC + TRAFFIC.replace("udp", "udp2").replace("cbr", "cbr2").replace("sink", "sink2").replace("$a", "$b2").replace(
        "$b $", "$a $").replace("$b2", "$b"))
    assert {(a.name, a.node, a.port) for a in evaluation.spec.agents} == {
        ("cbr", "a", 5001),
        ("sink2", "a", 5002),
        ("sink", "b", 5001),
        ("cbr2", "b", 5002),
    }


def test_simulated_tcp_becomes_the_nodes_own_with_a_warning(pair):
    evaluation = pair("""
        set src [new Agent/TCP/FullTcp]
        $ns attach-agent $a $src
        set dst [new Agent/TCP/FullTcp/Sack]
        $dst listen
        $ns attach-agent $b $dst
        $ns connect $src $dst
        set ftp [new Application/FTP]
        $ftp attach-agent $src
    """)
    assert {(a.name, a.role, a.protocol) for a in evaluation.spec.agents} == {("ftp", "source", "tcp"), ("dst", "sink", "tcp")}
    assert len(texts(evaluation)) == 2


@pytest.mark.parametrize(
    ("body", "line", "message"),
    [
        (TRAFFIC.replace("$ns connect $udp $sink", ""), 7, "attached to a but not connected"),
        (TRAFFIC.replace("$cbr attach-agent $udp", ""), 9, "is not attached to an agent"),
        (
            TRAFFIC.replace("set cbr [new Application/Traffic/CBR]", "").replace("$cbr attach-agent $udp", ""),
            7,
            "no application that sends",
        ),
        (TRAFFIC.replace("$ns attach-agent $b $sink", ""), 7, "is not attached to a node"),
        ("set udp [new Agent/UDP]\n$ns attach-agent $udp $a", 7, "'a' is a node, not a traffic agent"),
        ("set udp [new Agent/UDP]\n$ns attach-agent $a $udp\n$ns attach-agent $b $udp", 8, "already attached to a"),
        ("set cbr [new Application/Traffic/CBR]\n$cbr set packetSize_ 0", 7, "from 1 to 65507"),
        ("set cbr [new Application/Traffic/CBR]\n$cbr set rate_ 10Frob", 7, "unknown unit"),
        ("set cbr [new Application/Traffic/CBR]\n$cbr set interval_ -1", 7, "negative"),
        (
            "set c [$ns node]\nset udp [new Agent/UDP]\n$ns attach-agent $c $udp\nset s [new Agent/Null]\n"
            "$ns attach-agent $a $s\n$ns connect $udp $s\n"
            "set cbr [new Application/Traffic/CBR]\n$cbr attach-agent $udp",
            7,
            "no link and no LAN",
        ),
    ],
)
def test_incomplete_traffic_is_refused(refusal, body, line, message):
    error = refusal(body, pair=True)
    assert error.where == f"test.ns:{line}"
    assert message in error.what


def test_template_parameters(ns):
    body = """
        $ns define-template-parameter COUNT 2 "how many"
        $ns define-template-parameter RATE 8Mb
        proc define {} { global ns; $ns define-template-parameter INNER {a b}; return $INNER }
        set inner [define]
        for {set i 0} {$i < $COUNT} {incr i} { set n($i) [$ns node] }
        puts $inner
    """
    plain, given = ns(body), ns(body, COUNT="4", INNER="c")
    assert [(p.name, p.default, p.value, p.description) for p in plain.spec.parameters] == [
        ("COUNT", "2", "2", "how many"), ("RATE", "8Mb", "8Mb", ""), ("INNER", "a b", "a b", "")]
    assert (len(plain.spec.nodes), len(given.spec.nodes)) == (2, 4)
    assert [(p.name, p.value) for p in given.spec.parameters] == [("COUNT", "4"), ("RATE", "8Mb"), ("INNER", "c")]
    assert texts(given) == ["the program says: c"]
    with pytest.raises(InvalidInput, match="Did you mean 'COUNT'"):
        ns(body, COUNTS="4")


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("$ns define-template-parameter X", "expects NAME VALUE"),
        ("$ns define-template-parameter 9x 1", "not a usable name"),
        ("$ns define-template-parameter X 1 two three", "expects NAME VALUE"),
        ("$ns define-template-parameter X 1; $ns define-template-parameter X 2", "defined twice"),
    ],
)
def test_bad_parameters_are_refused(refusal, body, message):
    error = refusal(body)
    assert error.where == "test.ns:3"
    assert message in error.what


def test_opt_is_the_experiments_environment(ns):
    evaluation = ns("set opt(VERSION) 0.16\nset opt(n) 1\nincr opt(n)\nproc p {} { global opt; set opt(LATE) yes }\np\nset a [$ns node]")
    assert evaluation.spec.environment == {"VERSION": "0.16", "n": "2", "LATE": "yes"}
