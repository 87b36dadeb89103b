"""What processes in a node ask of the conductor, and traffic generators."""

from __future__ import annotations

import pytest
from throwaway import Driver, ThrowawayNode, wait_until

from models.protocol.init import Exit, Petition


def petition(driver: Driver) -> Petition:
    return next(event for event in driver.events(10) if isinstance(event, Petition))


def reply(driver: Driver, to: Petition, **answer: str) -> None:
    driver.ask("answer", [("petition", str(to.petition)), *answer.items()])


def test_an_event_from_inside_waits_for_its_answer(node: ThrowawayNode):
    with Driver(node) as driver, node.client() as client:
        session = client.session(["/swapbed/init", "event", "send", "lan0", "modify", "delay_s=0.1", "--wait", "--at", "+5s"])
        asked = petition(driver)
        assert asked.items == {"what": ("event",), "target": ("lan0",), "verb": ("modify",), "argument": ("delay_s=0.1",), "wait": ("1",),
                               "at": ("+5s",)}
        reply(driver, asked, text="token 7")
        said = b""
        for event in client.events(5):
            session.note(event)
            said += getattr(event, "data", b"")
            if session.exit:
                break
        assert session.exit and session.exit.code == 0
        assert said == b"token 7\n"


def test_what_is_asked_while_nobody_drives_is_kept(node: ThrowawayNode):
    with node.client() as client:
        session = client.session(["/swapbed/init", "event", "x", "start"])
        with Driver(node) as driver:
            first = petition(driver)
        with Driver(node) as driver:
            again = petition(driver)
            assert again.petition == first.petition
            reply(driver, again, error="unknown target 'x'")
        for event in client.events(5):
            session.note(event)
            if session.exit:
                break
        assert session.exit and session.exit.code == 1


def test_template_record_runs_the_command_and_reports_it_on_success(node: ThrowawayNode):
    with Driver(node) as driver, node.client() as client:
        session = client.session(["/swapbed/init", "record", "test", "a b", "=", "a b"], directory="/tmp")
        asked = petition(driver)
        assert asked.items["what"] == ("record",)
        assert asked.items["command"] == ("test 'a b' '=' 'a b'",)
        assert asked.items["directory"] == ("/tmp",)
        assert int(asked.items["start_ns"][0]) <= int(asked.items["end_ns"][0]) <= asked.at_ns
        reply(driver, asked)
        for event in client.events(5):
            session.note(event)
            if session.exit:
                break
        assert client.run(["/swapbed/init", "record", "exit 6"]).code == 6


@pytest.mark.parametrize("arguments", ["event", "event x", "event x y z", "event x --help", "record", "record-events", "traffic"])
def test_misuse_is_told_with_exit_code_2(node: ThrowawayNode, arguments: str):
    with node.client() as client:
        done = client.run(["/swapbed/init", *arguments.split()])
        assert done.code == 2
        assert done.stderr.startswith(b"usage:")


def results(log: str) -> dict[str, float]:
    return {name: float(value) for word, name, value in map(str.split, log.splitlines()) if word == "RESULT"}


@pytest.mark.parametrize(("protocol", "port"), [("udp", 5001), ("tcp", 5002)])
def test_traffic_is_paced_and_can_be_changed(node: ThrowawayNode, protocol: str, port: int):
    with Driver(node) as driver:
        driver.run("ip link set lo up")
        driver.spawn("sink", ["/swapbed/init", "traffic", "sink", protocol, str(port), "127.0.0.1"], stdout="/swapbed/logs/sink")
        wait_until(lambda: driver.run(f"grep -q :{port:04X} /proc/net/{protocol}").code == 0)
        driver.spawn("source", ["/swapbed/init", "traffic", "source", protocol, "127.0.0.1", str(port), "size=700", "interval=0.001"],
                     stdin="pipe", stdout="/swapbed/logs/source")
        driver.run("sleep .5")
        driver.ask("input", [("invocation", "source")], b"100 0\n")
        driver.run("sleep .2")
        for name in ("source", "sink"):
            driver.signal(name, 15)
            assert driver.wait(name, Exit).code == 0
        sent, received = (results((node.root / f"swapbed/logs/{name}").read_text()) for name in ("source", "sink"))
        assert 400 < sent["sent_packets"] < 650
        assert received["received_bytes"] == sent["sent_bytes"] == 700 * sent["sent_packets"]
        if protocol == "udp":
            assert received["lost_packets"] == 0
            assert received["received_packets"] == sent["sent_packets"]
            assert received["jitter_s"] < 0.01
        assert received["received_bps"] == pytest.approx(700 * 8 / 0.001, rel=0.1)


def test_a_source_waits_for_its_sink(node: ThrowawayNode):
    with Driver(node) as driver:
        driver.run("ip link set lo up")
        driver.spawn("source", ["/swapbed/init", "traffic", "source", "tcp", "127.0.0.1", "5003", "application=ftp"],
                     stdout="/swapbed/logs/source")
        driver.run("sleep .2")
        driver.spawn("sink", ["/swapbed/init", "traffic", "sink", "tcp", "5003"], stdout="/swapbed/logs/sink")
        driver.run("sleep .3")
        driver.signal("source", 15)
        driver.wait("source", Exit)
        assert results((node.root / "swapbed/logs/source").read_text())["sent_bytes"] > 1 << 20
