"""A node on a person's own streams: `python -m nodeops exec`, terminals, captures, and the way to init from another machine."""

from __future__ import annotations

import contextlib
import os
import pty
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from models.protocol.host import ChangeInstance
from nodeops import cgroups
from nodeops.init.client import InitClient
from nodeops.init.files import NodeFiles
from nodeops.layout import InstanceLayout
from nodeops.reach import init_socket
from nodeops.session import Here, HostSession
from tests.nodeops.instances import Make, lan_spec, run, wait_until

AGENT = (sys.executable, "-m", "nodeops")


@pytest.fixture
def layout(make: Make) -> InstanceLayout:
    return make(lan_spec("a", "b"), daemons=("wires",))


def execute(layout: InstanceLayout, *words: str, data: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    return subprocess.run([*AGENT, "exec", str(layout.root), *words], input=data, capture_output=True, timeout=30)


def test_exec_passes_streams_and_exit_code(layout: InstanceLayout) -> None:
    done = execute(layout, "a", "--", "sh", "-c", "cat; echo err >&2; exit 5", data=b"line\n" * 100_000)
    assert (done.returncode, len(done.stdout), done.stderr) == (5, 500_000, b"err\n")
    assert execute(layout, "-u", "nobody", "-d", "/tmp", "-e", "X=1 2", "a", "--", "sh", "-c", "id -un; pwd; echo $X").stdout == (
        b"nobody\n/tmp\n1 2\n")
    assert execute(layout, "a", "--", "/no/such").returncode == 127
    missing = execute(layout, "zz", "--", "true")
    assert missing.returncode == 4
    assert b"never started" in missing.stderr


def test_exec_ends_when_nobody_reads_it(layout: InstanceLayout) -> None:
    process = subprocess.Popen([*AGENT, "exec", str(layout.root), "a", "--", "yes"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
    assert process.stdout
    assert process.stdout.read(4) == b"y\ny\n"
    process.stdout.close()
    assert process.wait(10) == 128 + signal.SIGPIPE
    wait_until(lambda: b"yes" not in run(layout, "a", "cat /proc/[0-9]*/comm").stdout.split())


def test_signals_reach_the_program(layout: InstanceLayout) -> None:
    program = "trap 'echo caught; exit 3' TERM; echo ready; while :; do sleep .1; done"
    command = [*AGENT, "exec", str(layout.root), "a", "--", "sh", "-c", program]
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
    assert process.stdout
    assert process.stdout.readline() == b"ready\n"
    process.terminate()
    assert process.stdout.read() == b"caught\n"
    assert process.wait(10) == 3
    process.stdout.close()


class Screen:
    """A terminal and what was written on it."""

    def __init__(self, command: list[str]):
        self.fd, other = pty.openpty()
        self.seen = b""
        self.process = subprocess.Popen(command, stdin=other, stdout=other, stderr=other, start_new_session=True)
        os.close(other)

    def until(self, text: bytes) -> None:
        while text not in self.seen:
            self.seen += os.read(self.fd, 4096)

    def type(self, keys: bytes) -> None:
        os.write(self.fd, keys)


@pytest.mark.timeout(60)
def test_a_terminal_has_its_keys_and_its_size(layout: InstanceLayout) -> None:
    screen = Screen([*AGENT, "exec", "-t", str(layout.root), "a", "--", "sh", "-c", "tty; stty size; echo rea''dy; exec sleep 100"])
    try:
        screen.until(b"ready")
        assert b"/dev/pts/0\r\n24 80\r\n" in screen.seen
        screen.type(b"\x03")
        assert screen.process.wait(10) == 128 + signal.SIGINT
    finally:
        screen.process.kill()
        screen.process.wait()
        os.close(screen.fd)


@pytest.mark.timeout(60)
def test_a_terminal_lasts_over_a_parting_of_its_node(layout: InstanceLayout) -> None:
    """As at a swap: init parts from everybody, and the program goes on later."""
    screen = Screen([*AGENT, "exec", "-t", str(layout.root), "a", "--", "sh", "-c", "echo rea''dy; read word; echo got $word; exit 6"])
    try:
        screen.until(b"ready")
        with init_socket(layout.node("a")) as path:
            InitClient(path).quiesce()
        screen.type(b"hello\n")
        screen.until(b"got hello")
        assert screen.process.wait(10) == 6
    finally:
        screen.process.kill()
        screen.process.wait()
        os.close(screen.fd)


@pytest.mark.parametrize(("interface", "address", "link"), [("eth1", "b", "virtual"), ("lo", "127.0.0.1", "wall-clock")])
def test_captures(layout: InstanceLayout, tmp_path: Path, interface: str, address: str, link: str) -> None:
    file = tmp_path / "capture.pcapng"
    command = [*AGENT, "capture", "-c", "4", "-f", "icmp or icmp6", str(layout.root), "a", interface]
    with file.open("wb") as out:
        process = subprocess.Popen(command, stdout=out)
        wait_until(lambda: file.stat().st_size > 0)
        run(layout, "a", f"ping -q -c 2 -i .01 {address}")
        assert process.wait(10) == 0
    assert link.encode() in file.read_bytes()[:200]
    read = subprocess.run(["tcpdump", "-nr", file], capture_output=True, text=True, check=True)
    assert len(read.stdout.splitlines()) == 4
    assert read.stdout.count("echo request") == read.stdout.count("echo reply") == 2


def test_an_interrupted_capture_is_whole_and_one_of_a_destroyed_instance_ends(layout: InstanceLayout, tmp_path: Path) -> None:
    processes = [subprocess.Popen([*AGENT, "capture", str(layout.root), "a", "lo"], stdout=subprocess.PIPE) for _ in range(2)]
    helpers = cgroups.daemon_cgroup(layout.root.name, cgroups.HELPERS)
    for process in processes:
        assert process.stdout
        assert process.stdout.read(4) == b"\n\r\r\n"
    processes[0].send_signal(signal.SIGINT)
    assert processes[0].wait(10) == 0
    assert (helpers / "cgroup.procs").read_text().split() == [str(processes[1].pid)]
    with HostSession(Here()) as session:
        session.call("destroy", ChangeInstance(instance=layout.root.name, fence=1))
    assert processes[1].wait(10) == -signal.SIGKILL
    for process in processes:
        with contextlib.suppress(AttributeError):
            process.stdout.close()  # type: ignore[union-attr]


def test_a_node_is_reached_through_a_bridge_as_from_another_machine(layout: InstanceLayout, tmp_path: Path) -> None:
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree" / "file").write_bytes(os.urandom(3_000_000))
    with HostSession(Here({"LANG": "C"})) as session, session.node(layout.root.name, "a") as client:
        assert client.run("hostname").stdout == b"a\n"
        NodeFiles(client).put(tmp_path / "tree", "/var/tree")
        NodeFiles(client).get("/var/tree", tmp_path / "back")
    assert (tmp_path / "back" / "file").read_bytes() == (tmp_path / "tree" / "file").read_bytes()

