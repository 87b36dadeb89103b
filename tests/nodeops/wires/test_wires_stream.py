"""A VM's interface, played by this test: a unix stream of frames, as QEMU's stream netdev speaks it."""

from __future__ import annotations

import socket
import struct
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks import flood
from benchmarks.bare_network import BareNetwork, lan
from models.spec import Node, Shaping, Spec
from tests.nodeops.wires.probes import program, wait_until


class PlayedVm:
    """Listens where QEMU would; reads and writes whole frames."""

    def __init__(self, path: Path):
        path.parent.mkdir(parents=True)
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen()
        self.stream: socket.socket | None = None

    def accept(self) -> None:
        self.stream, _ = self._listener.accept()
        self.stream.settimeout(5)

    def write(self, frame: bytes) -> None:
        self.stream.sendall(struct.pack(">I", len(frame)) + frame)

    def read(self) -> bytes:
        (length,) = struct.unpack(">I", self._exactly(4))
        return self._exactly(length)

    def _exactly(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            received = self.stream.recv(size - len(data))
            assert received, "the wires hung up"
            data += received
        return data

    def close(self) -> None:
        self._listener.close()
        if self.stream:
            self.stream.close()


@pytest.fixture
def played(tmp_path: Path) -> Iterator[tuple[BareNetwork, PlayedVm]]:
    """Container a and VM v on lan1."""
    network = BareNetwork(tmp_path / "i", [lan(1, ["a", "v"], down=Shaping(delay_s=0.001))])
    network.spec = Spec(nodes=(Node(name="a"), Node(name="v", kind="vm")), lans=network.spec.lans)
    vm = PlayedVm(network.layout.node("v").root / "lan1.wire")
    try:
        with network:
            vm.accept()
            yield network, vm
    finally:
        vm.close()


def arp_request(mac: str, own: str, wanted: str) -> bytes:
    source = bytes.fromhex(mac.replace(":", ""))
    return (b"\xff" * 6 + source + b"\x08\x06" + struct.pack(">HHBBH", 1, 0x800, 6, 4, 1) + source + socket.inet_aton(own) + bytes(6)
            + socket.inet_aton(wanted))


def test_a_vm_and_a_container_reach_each_other(played):
    network, vm = played
    a, v = network.spec.lans[0].members
    vm.write(arp_request(v.mac, "10.9.1.2", "10.9.1.1"))
    answer = vm.read()
    assert answer[:12] == bytes.fromhex(v.mac.replace(":", "")) + bytes.fromhex(a.mac.replace(":", ""))
    assert answer[20:22] == b"\0\2"


def test_a_vm_gets_finished_checksums(played):
    """A container's UDP checksum is left to the device; a VM's NIC has no such offload."""
    network, vm = played
    sender = program(network, "a", "import socket\ns = socket.socket(2, 2)\nprint('up', flush=True)\ns.sendto(b'hello', ('10.9.1.2', 7))")
    sender.communicate(timeout=5)
    frame = vm.read()
    pseudo = frame[26:34] + struct.pack(">HH", 17, len(frame) - 34)
    total = sum(struct.unpack(f">{len(pseudo + frame[34:] + b'x') // 2}H", (pseudo + frame[34:] + b"\0")[:-(len(frame) % 2 == 0) or None]))
    assert total % 0xFFFF == 0


def test_a_vm_that_does_not_read_loses_frames_and_holds_nobody_up(played):
    network, vm = played
    network.run("a", sys.executable, flood.__file__, "4000", "0.8", "1400", "10.9.1.2")
    with network.client() as wires:
        shown = next(p for p in wires.show("lan1", "v") if p.direction == "downlink")
    assert shown.refused_frames > 0
    for _ in range(shown.tally.out_frames - shown.refused_frames):
        assert len(vm.read()) > 0


def test_a_vm_that_ends_is_detached_and_found_again(played):
    network, vm = played
    vm.stream.close()
    with network.client() as wires:
        wait_until(lambda: wires.hello().detached == ("lan1:v:lan1",))
        wires.reload()
        vm.accept()
        assert wires.hello().detached == ()
