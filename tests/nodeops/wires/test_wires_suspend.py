"""The network standing still, saved, and going on elsewhere."""

from __future__ import annotations

import re
import shutil
import subprocess
import time

import pytest

from models.errors import Corrupt, HostProblem
from models.events import Arguments
from models.protocol.wires import SavedPipe
from nodeops.clock import ClockState
from tests.nodeops.wires.probes import DEADLINE_S, program, round_trip_ms, wait_until

RECEIVE = """
import socket, time
receiver = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
receiver.bind(("", 9))
print("up", flush=True)
for _ in range(40):
    print(receiver.recv(100).decode(), time.monotonic_ns(), flush=True)
"""
SEND = """
import socket, time
sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
print("up", flush=True)
for number in range(40):
    sender.sendto(f"{number} {time.monotonic_ns()}".encode(), ("10.9.2.2", 9))
    time.sleep(0.02)
"""


def held(wires) -> int:
    return sum(pipe.held_frames for pipe in wires.show("link2"))


def test_what_is_in_flight_waits_out_a_suspension(network):
    with network.client() as wires:
        wires.change("link2", Arguments(delay_s=0.6))
        ping = network.popen("a", "ping", "-n", "-c", "1", "-W", "10", "10.9.2.2")
        wait_until(lambda: held(wires) == 1)
        frozen = wires.suspend()
        assert frozen.held_frames == 1
        time.sleep(1)
        assert wires.hello().virtual_ns == frozen.virtual_ns
        assert held(wires) == 1
        wires.resume()
        text = ping.communicate(timeout=DEADLINE_S)[0].decode()
    assert 2200 <= float(re.search(r"time=([\d.]+) ms", text)[1]) < 2300  # 1.2 s there and back, and the second of standing still


def test_nothing_is_delivered_after_the_agreed_instant_and_nothing_due_before_is_left(network, tmp_path):
    directory = tmp_path / "saved"
    directory.mkdir()
    with network.client() as wires:
        wires.change("link2", Arguments(delay_s=0.3))
        number = wires.capture_start("link2", tmp_path / "link2.pcapng")
        pings = network.popen("a", "ping", "-q", "-i", "0.01", "-c", "120", "10.9.2.2")
        wait_until(lambda: held(wires) > 35)
        instant = time.monotonic_ns() + 30_000_000
        frozen = wires.suspend(instant)
        assert time.monotonic_ns() >= instant
        pings.communicate(timeout=DEADLINE_S)
        wires.capture_stop(number)
        saved = [SavedPipe.model_validate_json((directory / file).read_bytes()) for file in wires.save(directory).files]
        wires.resume()
    command = ["tcpdump", "-n", "-tt", "--nano", "-r", str(tmp_path / "link2.pcapng")]
    captured = subprocess.run(command, capture_output=True, text=True, check=True)
    last_s = max(float(line.split()[0]) for line in captured.stdout.splitlines())
    assert last_s <= frozen.virtual_ns / 1e9
    assert all(frame.due_in_ns > 0 for pipe in saved for frame in pipe.pipe.held)
    assert all(frame.due_in_ns >= 0 for pipe in saved for frame in pipe.early)
    assert sum(len(pipe.early) for pipe in saved) > 5


def test_saved_wires_go_on_in_another_process_at_another_time(network, tmp_path):
    """Datagrams in flight, and sent while the network stands still, arrive once each and in order at their virtual instants."""
    directory = tmp_path / "saved"
    directory.mkdir()
    receiver = program(network, "c", RECEIVE)
    first_origin_ns = ClockState.model_validate_json(network.layout.clock.read_text()).origin_ns
    with network.client() as wires:
        wires.change("link2", Arguments(delay_s=0.8))
        wires.change("link2", Arguments(member="a", bandwidth_bps=1_000_000))
        sender = program(network, "a", SEND)
        wait_until(lambda: held(wires) >= 20)
        frozen = wires.suspend(time.monotonic_ns() + 20_000_000)
        sender.communicate(timeout=DEADLINE_S)
        saved = wires.save(directory)
        assert (saved.virtual_ns, saved.frames) == (frozen.virtual_ns, 40)
    network.stop_wires()
    network.write_clock(ClockState(origin_ns=0, frozen_ns=frozen.virtual_ns))
    network.start_wires()
    with network.client() as wires:
        assert wires.hello().frozen
        wires.restore(directory)
        assert {pipe.shaping.delay_s for pipe in wires.show("link2")} == {0.4}
        origin_ns = wires.resume(time.monotonic_ns() + 50_000_000).origin_ns
    received = [tuple(map(int, line.split())) for line in receiver.communicate(timeout=DEADLINE_S)[0].decode().splitlines()]
    assert [number for number, _, _ in received] == list(range(40))
    in_flight_ms = [((arrived - origin_ns) - (sent - first_origin_ns)) / 1e6 for _, sent, arrived in received]
    assert all(800 < flight < 900 for flight in in_flight_ms)


def test_a_damaged_state_is_refused_and_changes_nothing(network, tmp_path):
    directory = tmp_path / "saved"
    directory.mkdir()
    with network.client() as wires:
        wires.suspend()
        wires.save(directory)
        damaged = directory / "link2" / "c.link2.downlink.json"
        damaged.write_text("{}")
        with pytest.raises(Corrupt, match="c.link2.downlink.json: .*cannot be read"):
            wires.restore(directory)
        damaged.unlink()
        with pytest.raises(Corrupt, match="lacks"):
            wires.restore(directory)
        shutil.rmtree(directory)
        with pytest.raises(HostProblem, match="No such file"):
            wires.save(directory)
        wires.resume()
        assert round_trip_ms(network, "a", "10.9.2.2") < 48
