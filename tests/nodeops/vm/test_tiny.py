"""The image `tiny` really boots, its init answers over the channel, and its devices' state can be saved and loaded."""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from models.protocol.init import HEADER, decode, encode
from models.settings import settings
from nodeops.layer import BINARY
from nodeops.vm.accelerator import Probe, probe
from nodeops.vm.machine import Image, MachineFiles, Nic, command
from nodeops.vm.qmp import Qmp
from nodeops.vm.tiny import ready

BOOT_S = 60
NICS = (Nic(interface="eth1", mac="02:00:00:00:00:01"),)


@pytest.fixture(scope="module")
def image() -> Image:
    return ready(settings().cache_dir / "tiny", BINARY)


@pytest.fixture
def files(tmp_path: Path) -> Iterator[MachineFiles]:
    ram = Path("/dev/shm") / f"swapbed-test-{tmp_path.parent.name}-{tmp_path.name}.ram"
    yield MachineFiles(tmp_path, ram)
    ram.unlink(missing_ok=True)


@pytest.fixture
def machines() -> Iterator[list[subprocess.Popen[bytes]]]:
    """Whatever QEMU processes a test started end with it."""
    started: list[subprocess.Popen[bytes]] = []
    yield started
    for process in started:
        process.kill()
        process.wait()


def hello(files: MachineFiles) -> dict[str, list[str]]:
    """What init answers, asked until the guest has booted."""
    with socket.socket(socket.AF_UNIX) as channel:
        channel.connect(str(files.channel))
        channel.settimeout(0.5)
        deadline, received = time.monotonic() + BOOT_S, b""
        while time.monotonic() < deadline:
            channel.sendall(encode([("op", "hello"), ("request", "1")]))
            try:
                received += channel.recv(65536)
            except TimeoutError:
                continue
            if len(received) >= HEADER.size and len(received) >= HEADER.size + (size := HEADER.unpack_from(received)[0]):
                return decode(received[HEADER.size:HEADER.size + size])[0]
    raise AssertionError(f"no guest in {BOOT_S} s; its console says: {files.console.read_text(errors='replace')[-500:]}")


def test_a_guest_boots_and_comes_back_with_its_memory(image: Image, files: MachineFiles, machines: list[subprocess.Popen[bytes]]) -> None:
    boot = command("n1", image, files, NICS, accelerator="tcg", memory_bytes=96 << 20)
    machines.append(subprocess.Popen(boot, cwd=files.root))
    with Qmp(files.monitor, timeout_s=30) as monitor:
        before = hello(files)
        assert before["protocol"] == ["1"]
        monitor.execute("stop")
        monitor.save_device_state(files.root / "devices")
        assert (files.root / "devices").stat().st_size < 4 << 20  # the RAM is not in it
        monitor.execute("quit")
    machines[0].wait(10)

    machines.append(subprocess.Popen([*boot, "-incoming", "defer"], cwd=files.root))
    with Qmp(files.monitor, timeout_s=30) as monitor:
        monitor.load_device_state(files.root / "devices")
        monitor.execute("cont")
        after = hello(files)
    assert after["incarnation"] == before["incarnation"]  # drawn at boot: this is the same process
    assert int(after["monotonic_ns"][0]) > int(before["monotonic_ns"][0])


def test_what_was_found_about_kvm_is_kept_for_this_kernel(image: Image, tmp_path: Path) -> None:
    cache = tmp_path / "accelerator.json"
    found = probe(image, cache)
    assert found.accelerator in ("kvm", "tcg") and found.reason
    cache.write_text(found.model_copy(update={"reason": "as kept"}).model_dump_json())
    assert probe(image, cache).reason == "as kept"
    cache.write_text(Probe(kernel="another", qemu=found.qemu, accelerator="kvm", reason="").model_dump_json())
    assert probe(image, cache).accelerator == found.accelerator


def test_an_image_is_built_once(image: Image, tmp_path: Path) -> None:
    assert image.kernel is not None and image.initramfs is not None
    for path in (image.kernel, image.initramfs):
        shutil.copy2(path, tmp_path / path.name)
    assert ready(tmp_path, BINARY).kernel == tmp_path / "kernel"
    assert {path.name for path in tmp_path.iterdir()} == {"kernel", "initramfs"}
