"""Captures on the wire, read by tcpdump."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

from models.errors import HostProblem, InvalidInput, NotFound
from tests.nodeops.wires.probes import transfer, wait_until


def dump(file, *options: str) -> str:
    return subprocess.run(["tcpdump", *options, "-n", "-tt", "--nano", "-r", file], capture_output=True, text=True, check=True).stdout


def test_a_capture_shows_each_frame_where_it_entered_and_left_in_virtual_time(network, tmp_path):
    with network.client() as wires:
        with wires.capture("link2", tmp_path / "wire.pcapng", expression="icmp"):
            network.run("a", "ping", "-c", "2", "-i", "0.1", "10.9.2.2")
        virtual_s = wires.hello().virtual_ns / 1e9
    times = [float(found) for found in re.findall(r"^(\d+\.\d{9}) ", dump(tmp_path / "wire.pcapng"), re.M)]
    assert len(times) == 8  # request and reply, each sent and received, twice
    assert 0 < times[0] < virtual_s
    assert 0.020 <= times[1] - times[0] < 0.025


def test_a_capture_may_leave_out_what_nodes_get(network, tmp_path):
    with network.client() as wires:
        number = wires.capture_start("link1", tmp_path / "sent.pcapng", member="a", expression="icmp", sent_only=True)
        network.run("a", "ping", "-c", "2", "-i", "0.05", "10.9.1.2")
        wires.capture_stop(number)
    assert dump(tmp_path / "sent.pcapng").count("echo request") == dump(tmp_path / "sent.pcapng").count("ICMP") == 2


def test_a_captured_link_carries_real_frames_and_snaps_them(network, tmp_path):
    with network.client() as wires:
        number = wires.capture_start("link1", tmp_path / "bulk.pcapng", snap_bytes=64)
        assert transfer(network, "a", "b", "10.9.1.2", 300_000) == 300_000
        ended = wires.capture_stop(number)
    lines = dump(tmp_path / "bulk.pcapng", "-e").splitlines()
    assert ended.frames == len(lines) > 400
    assert max(int(length) for length in re.findall(r"IPv4 \(0x0800\), length (\d+)", "\n".join(lines))) == 1514
    assert (tmp_path / "bulk.pcapng").stat().st_size < len(lines) * 120 + 1000


def test_checksums_of_captured_frames_are_right(network, tmp_path):
    with network.client() as wires, wires.capture("link1", tmp_path / "sums.pcapng"):
        transfer(network, "a", "b", "10.9.1.2", 30_000)
    text = subprocess.run(["tcpdump", "-n", "-vv", "-r", tmp_path / "sums.pcapng"], capture_output=True, text=True, check=True).stdout
    assert "(correct)" in text
    assert "incorrect" not in text


def test_a_capture_streams_to_a_named_pipe_and_ends_with_its_reader(network, tmp_path):
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    with network.client() as wires:
        with pytest.raises(HostProblem, match="nobody reads"):
            wires.capture_start("link1", fifo)
        held = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
        number = wires.capture_start("link1", fifo)
        command = ["tcpdump", "-n", "-c", "2", "-r", str(fifo)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as reader:
            network.run("a", "ping", "-c", "1", "10.9.1.2")
            assert reader.communicate(timeout=10)[0].count("ICMP echo") == 2
        os.close(held)
        wait_until(lambda: network.run("a", "ping", "-c", "1", "10.9.1.2").returncode == 0 and not holds(network, fifo))
        with pytest.raises(NotFound):
            wires.capture_stop(number)


def holds(network, file) -> bool:
    """Whether the wires have it open."""
    found = subprocess.run(["readlink", *map(str, Path(f"/proc/{network.wires.pid}/fd").iterdir())], capture_output=True, text=True)
    return str(file) in found.stdout.splitlines()


def test_bad_captures_are_refused(network, tmp_path):
    with network.client() as wires:
        with pytest.raises(InvalidInput, match="does not understand"):
            wires.capture_start("link1", tmp_path / "x.pcapng", expression="ip and and")
        with pytest.raises(HostProblem, match="No such file"):
            wires.capture_start("link1", tmp_path / "missing" / "x.pcapng")
        with pytest.raises(NotFound, match="no capture 9"):
            wires.capture_stop(9)
