"""A living instance through the command line and through Python: what one does, the other sees."""

import json
import math
import os
import signal
import subprocess
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import swapbed
from models.errors import Conflict, ExperimentFailed, InvalidInput, NotFound, TimedOut
from nodeops.session import Here
from swapbed.living import measurement
from swapbed.living.access import Access
from tests.swapbed.conftest import COMMAND, EXAMPLES, Cli, call, offered

pytestmark = pytest.mark.usefixtures("installation")


def test_the_run_ends_and_agents_reported(net: swapbed.Instance) -> None:
    """First in this file: the others want the links idle."""
    run = net.wait(timeout_s=60)
    assert (run.number, run.outcome) == (1, "ok"), run.reason
    done = {one.agent: one for one in net.results()}
    assert set(done) == {"server1", "server2", "flow1", "flow2", "echo", "probe"}
    throughput = sum(float(done[flow].results["throughput_bps"]) for flow in ("flow1", "flow2"))
    assert 6e6 < throughput < 10e6, "two flows fill a bottleneck of 10 Mbit/s, whose frames have headers"
    assert done["flow1"].detail["code"] == 0 and done["flow1"].detail["max_rss_kib"] > 0


def test_deploy_says_what_there_is(cli: Cli, face: dict[str, Any]) -> None:
    assert face["name"] == "face" and face["state"] == "up" and face["nodes"] == 6
    assert face["template"].startswith("dumbbell@") and face["run"]["parameters"]["DURATION"] == "2"
    assert [one["name"] for one in cli("instance", "ls", "--format", "json").parsed if one["name"] == "face"] == ["face"]


def test_a_name_that_is_taken_is_refused(cli: Cli, face: dict[str, Any]) -> None:
    said = cli("deploy", str(EXAMPLES / "chain"), "--name", "face")
    assert said.returncode == Conflict.exit_code and "face" in said.stderr and "another name" in said.stderr


def test_exec_has_the_streams_and_the_exit_code_of_the_program(face: dict[str, Any]) -> None:
    said = call("exec", "face", "left1", "cat; echo gone >&2; exit 7", stdin="in\n")
    assert (said.returncode, said.stdout, said.stderr) == (7, "in\n", "gone\n")
    assert call("exec", "face", "left1", "hostname").stdout == "left1\n"
    assert call("exec", "face", "left1", "ls", "-d", "/swapbed/datastore").stdout == "/swapbed/datastore\n", "its options stay its own"
    assert call("exec", "-d", "/tmp", "-e", "A=1 2", "face", "left1", "echo $PWD $A $NODE $DURATION").stdout == "/tmp 1 2 left1 2\n"
    assert call("exec", "face", "left1", "no-such-program", "x").returncode == 127
    lost = call("exec", "face", "left9", "true")
    assert lost.returncode == NotFound.exit_code and "Did you mean 'left" in lost.stderr


def test_a_terminal_is_one(face: dict[str, Any]) -> None:
    command = f"{COMMAND} exec -t face left1 'test -t 0 && test -t 1 && echo yes'"
    said = subprocess.run(["script", "-qec", command, "/dev/null"], capture_output=True, text=True, timeout=30, stdin=subprocess.DEVNULL)
    assert "yes" in said.stdout, said.stdout


def test_run_from_python(net: swapbed.Instance) -> None:
    done = net["left1"].run("echo out; echo err >&2; exit 3")
    assert (done.exit_code, done.stdout, done.stderr) == (3, "out\n", "err\n")
    with pytest.raises(ExperimentFailed, match="exit code 3: err"):
        net["left1"].run("echo err >&2; exit 3", check=True)
    assert net["left1"].run(["echo", "a  b"]).stdout == "a  b\n"
    assert net["left1"].run("wc -c", stdin=b"\0" * 100_000).stdout.strip() == "100000"
    with pytest.raises(TimedOut):
        net["left1"].run("sleep 20", timeout_s=0.2)
    with pytest.raises(NotFound, match="left7"):
        net["left7"]


def test_files_travel_both_ways(cli: Cli, net: swapbed.Instance, tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    (tree / "below").mkdir(parents=True)
    (tree / "below" / "data").write_bytes(os.urandom(300_000))
    (tree / "below" / "data").chmod(0o640)
    (tree / "link").symlink_to("below/data")
    assert cli("cp", str(tree), "face/right1:/tmp").returncode == 0
    assert net["right1"].read("/tmp/tree/link") == (tree / "below" / "data").read_bytes()
    assert cli("cp", "face/right1:/tmp/tree", str(tmp_path / "back")).returncode == 0
    back = tmp_path / "back"
    assert (back / "below" / "data").read_bytes() == (tree / "below" / "data").read_bytes()
    assert (back / "below" / "data").stat().st_mode & 0o777 == 0o640 and (back / "link").readlink() == Path("below/data")
    said = cli("cp", "face/right1:/tmp/none", str(tmp_path))
    assert said.returncode == NotFound.exit_code and "/tmp/none" in said.stderr
    with pytest.raises(NotFound):
        net["right2"].read("/tmp/tree/link")


def _delay_s(net: swapbed.Instance, member: str = "west", direction: str = "uplink") -> float:
    return next(p.shaping.delay_s for p in net.link("bottleneck").show() if (p.node, p.direction) == (member, direction))


def test_a_link_changes_only_in_what_is_named(cli: Cli, net: swapbed.Instance) -> None:
    before = next(pipe for pipe in net.link("bottleneck").show() if (pipe.node, pipe.direction) == ("west", "uplink"))
    assert cli("link", "set", "face", "bottleneck", "delay=60ms").returncode == 0
    after = next(pipe for pipe in net.link("bottleneck").show() if (pipe.node, pipe.direction) == ("west", "uplink"))
    assert after.shaping == before.shaping.model_copy(update={"delay_s": 0.03}), "a link's delay is shared by its two pipes"
    reply = net["west"].run("ping -n -q -c 3 -i 0.2 10.1.1.3", check=True).stdout
    assert 119 < float(reply.partition(" = ")[2].split("/")[0]) < 135, reply
    net.link("bottleneck").set(member="west", direction="uplink", delay="5ms")
    assert (_delay_s(net), _delay_s(net, "east", "downlink")) == (0.005, 0.03)
    net.event("bottleneck", "reset")
    assert _delay_s(net) == 0.01
    assert "(changed)" not in cli("link", "show", "face", "bottleneck").stdout


def test_a_link_that_is_down_carries_nothing(cli: Cli, net: swapbed.Instance) -> None:
    net.link("west1").down()
    assert net["left1"].run("ping -n -q -c 2 -i 0.1 -W 0.3 10.1.2.3").exit_code == 1
    assert not any(pipe["up"] for pipe in cli("link", "show", "face", "west1", "--format", "json").parsed)
    assert cli("link", "up", "face", "west1").returncode == 0
    net["left1"].run("ping -n -q -c 1 -W 3 10.1.2.3", check=True)


@pytest.mark.parametrize(("words", "code", "said"), [
    (["link", "set", "face", "bottleneck", "dealy=60ms"], InvalidInput.exit_code, "Did you mean 'delay'?"),
    (["link", "set", "face", "bottleneck", "delay=soon"], InvalidInput.exit_code, "soon"),
    (["link", "set", "face", "bottelneck", "delay=1ms"], NotFound.exit_code, "Did you mean 'bottleneck'?"),
    (["link", "set", "face", "bottleneck", "loss=1%", "--member", "left1"], InvalidInput.exit_code, "left1"),
    (["event", "send", "face", "flow1", "strat"], InvalidInput.exit_code, "strat"),
    (["event", "send", "face", "left2/flow1", "start"], NotFound.exit_code, "Did you mean 'left1/flow1'?"),
    (["capture", "face", "left1:eth9", "-w", "x"], NotFound.exit_code, "eth9"),
    (["run", "start", "face", "-S", "DURATON=1"], InvalidInput.exit_code, "DURATON"),
    (["run", "start", "face", "-S", "PAIRS=many"], InvalidInput.exit_code, "many"),
    (["run", "stop", "face"], NotFound.exit_code, "run start face"),
])
def test_mistakes_are_named(cli: Cli, net: swapbed.Instance, words: list[str], code: int, said: str) -> None:
    found = cli(*words)
    assert (found.returncode, found.stdout) == (code, ""), found.stderr
    assert said in found.stderr and found.stderr.startswith("error: ") and "Traceback" not in found.stderr


def test_events_by_hand_are_waited_for_and_stand_among_what_happened(cli: Cli, net: swapbed.Instance) -> None:
    net.start(DURATION=30)
    begun = time.monotonic()
    said = call("exec", "face", "left1", "echo $DURATION $PAIRS").stdout
    assert said == net["left1"].run("echo $DURATION $PAIRS").stdout == "30 2\n", "what is run by hand knows the run's values, too"
    with Access(replace(net._access.where, home=Here({"SWAPBED_STATE_DIR": os.environ["SWAPBED_STATE_DIR"]}))) as by_an_agent:
        run = by_an_agent.run()
        assert run is not None and run.parameters["DURATION"] == "30", "as on another host"
    assert cli("event", "send", "face", "left1/probe", "stop", "--wait").returncode == 0
    net.event("probe", "start", environment={"DURATION": "1"})
    failed = cli("event", "send", "face", "west", "reboot", "--at", "+9000s", "--format", "json")
    assert json.loads(failed.stdout)["outcome"] is None, "nobody waits for something so late"
    lines = [json.loads(line) for line in cli("event", "ls", "face", "--format", "json").stdout.splitlines()]
    assert ("probe", "stop", "user") in [(line["target"], line["verb"], line["origin"]) for line in lines]
    stopped = net.stop()
    assert stopped.number == 2 and stopped.parameters["DURATION"] == "30" and time.monotonic() - begun < 60
    listed = cli("run", "ls", "face", "--format", "json").parsed
    assert [(run["number"], run["state"]) for run in listed] == [(1, "over"), (2, "over")]


def test_the_shell_completes_names(face: dict[str, Any]) -> None:
    assert offered("inspect fa") == ["face"]
    assert offered("exec face lef") == ["left1", "left2"]
    assert offered("link set face bott") == ["bottleneck"]
    assert offered("event send face flow") == ["flows", "flow1", "flow2"]


def test_inspect_tells_all(cli: Cli, face: dict[str, Any]) -> None:
    found = cli("inspect", "face", "--format", "json").parsed
    assert {node["name"]: node["status"]["alive"] for node in found["nodes"]} == dict.fromkeys(
        ("west", "east", "left1", "left2", "right1", "right2"), True)
    assert len(found["pipes"]) == 20 and found["problems"] == [] and found["parameters"]["DELAY"] == "20ms"
    text = cli("inspect", "face").stdout
    assert "10.1.2.2/24" in text and "bottleneck" in text and "red 60 packets" in text


def test_what_links_do_is_what_was_asked(net: swapbed.Instance) -> None:
    """Other tests keep this machine busy, so delays may be a little longer; rates hardly."""
    wanted = [lan for lan in net.spec.lans if lan.name in ("bottleneck", "east1")]
    for one in measurement.measure(net._access, wanted):
        assert one.asked_round_trip_s == (0.04 if one.lan == "bottleneck" else 0.002)
        assert one.least_round_trip_s is not None and 0 <= one.least_round_trip_s - one.asked_round_trip_s < 0.005
        assert one.asked_bps and one.achieved_bps and math.isclose(one.achieved_bps, one.asked_bps, rel_tol=0.03)


def test_frames_are_captured_in_the_node_and_on_the_wire(net: swapbed.Instance, tmp_path: Path) -> None:
    ping = "ping -n -q -c 40 -i 0.1 right1 >/dev/null"
    inside = subprocess.Popen([COMMAND, "capture", "face", "left1:eth1", "-c", "4", "-f", "icmp"], stdout=(tmp_path / "in").open("wb"))
    wire = subprocess.Popen([COMMAND, "capture", "face", "bottleneck", "-w", str(tmp_path / "wire"), "-f", "icmp"], stderr=subprocess.PIPE)
    assert net["left1"].run(ping).ok
    assert inside.wait(20) == 0
    wire.send_signal(signal.SIGINT)
    assert wire.wait(20) == 0 and b"frames captured" in (wire.stderr.read() if wire.stderr else b"")
    for name, least in (("in", 4), ("wire", 20)):
        read = subprocess.run(["tcpdump", "-n", "-r", str(tmp_path / name)], capture_output=True, text=True)
        assert read.stdout.count("ICMP echo re") >= least, read.stderr


def test_notebooks_show_pictures_and_tables(net: swapbed.Instance) -> None:
    shown = net._repr_html_()
    assert "<svg" in shown and "bottleneck" in shown and "10 Mbit/s" in shown
    assert "10.1.2.2/24" in net["left1"]._repr_html_() and "bottleneck" in net.link("bottleneck")._repr_html_()
    assert "&lt;b&gt;" in net["left1"].run("echo '<b>'")._repr_html_(), "what a program says is no HTML"
    assert "face" in swapbed.instances()._repr_html_()


def test_a_topology_built_here_lives_as_long_as_its_block() -> None:
    pair = swapbed.topology("pair")
    pair.link(pair.node("a"), pair.node("b"), name="wire", delay="3ms")
    with swapbed.deploy(pair, name="block") as net:
        assert net["a"].run("ping -c 1 -W 3 b").ok
        assert net.state == "up" and {node.name for node in net} == {"a", "b"}
    assert "block" not in [one.name for one in swapbed.instances()]
    with pytest.raises(NotFound):
        swapbed.attach("block")
