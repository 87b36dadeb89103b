"""A VM and a container with a flow between them, swapped out and in again: neither notices, and the VM's clocks do not either."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

import pytest

from models.errors import Corrupt, HostProblem
from models.protocol.checkpoint import Life
from models.protocol.host import Create
from models.spec import Lan, Node, Shaping, Spec
from nodeops.checkpoint import requirements
from nodeops.checkpoint.capture import capture, go_on_in_place
from nodeops.checkpoint.patience import PROBES, Probes
from nodeops.checkpoint.restore import Restored, restore
from nodeops.checkpoint.spool import Spool
from nodeops.clock import ClockState, VirtualClock
from nodeops.destroy import destroy
from nodeops.instance import holding
from nodeops.layout import InstanceLayout
from nodeops.vm.image import Image
from nodeops.vm.machines import tiny
from tests.nodeops.instances import Make, assert_nothing_left, lan_spec, run, wait_until

SERVER = """
import os, socket, threading
total, received = 0, os.open('/received', os.O_CREAT | os.O_RDWR)
def take(peer):
    global total
    expected, rest = 1, b''
    while data := peer.recv(65536):
        *lines, rest = (rest + data).split(b'\\n')
        for line in lines:
            if int(line) != expected: open('/corrupt', 'w').write(f'{line} instead of {expected}')
            expected, total = int(line) + 1, total + 1
        os.pwrite(received, b'%015d' % total, 0)  # in place: also on a disk that is full
listener = socket.create_server(('', 5000))
while True: threading.Thread(target=take, args=listener.accept()[:1]).start()
"""
NUMBERS = "i=0; while :; do n=$((i + 100)); while [ $i -lt $n ]; do i=$((i + 1)); echo $i; done; sleep 0.02; done"


def quiet(_text: str, _done: int, _total: int) -> None:
    pass


@pytest.fixture
def spool(state_dir: Path) -> Spool:
    return Spool(state_dir / "spool" / "c-1")


@pytest.fixture
def flowing(make: Make) -> InstanceLayout:
    """v, a VM, sends rising numbers to b, a container, over a long link."""
    spec = lan_spec("v", "b", nodes={"v": Node(name="v", kind="vm", image="tiny", memory_bytes=96 << 20)})
    shaping = Shaping(delay_s=0.02)
    members = tuple(member.model_copy(update={"uplink": shaping}) for member in spec.lans[0].members)
    spec = spec.model_copy(update={"lans": (Lan.model_validate(spec.lans[0].model_dump() | {"members": members}),)})
    layout = make(Spec.model_validate(spec.model_dump()), daemons=("wires", "conductor"))
    run(layout, "b", "trap '' HUP; cat > /program.py; python3 -S /program.py > /out 2>&1 < /dev/null &", stdin=SERVER.encode())
    send(layout)
    return layout


def send(layout: InstanceLayout) -> None:
    run(layout, "v", f"trap '' HUP; (sleep 1; {NUMBERS} | nc b 5000) < /dev/null > /dev/null 2>&1 & true")


def received(layout: InstanceLayout) -> int:
    path = layout.node("b").upper / "received"
    return int(path.read_text() or 0) if path.exists() else 0


def assert_flows(layout: InstanceLayout) -> None:
    before = received(layout)
    wait_until(lambda: received(layout) > before + 2_000, 30)
    assert not (layout.node("b").upper / "corrupt").exists()


def swap_out(layout: InstanceLayout, spool: Spool, epoch: int) -> None:
    with holding(layout, 1):
        capture(layout, spool, Life(incarnation="test", epoch=epoch), quiet)
    destroy(layout, 1)


def swap_in(layout: InstanceLayout, spool: Spool, **images: str) -> Restored:
    return restore(spool, Create(instance=layout.root.name, name="test", fence=1, spec=spool.read_spec(), images=images), quiet)


def of_another_release(directory: Path) -> str:
    """The image, made anew with another init: a machine that has no disk needs nothing of it before it boots again."""
    directory.mkdir()
    shutil.copyfile(tiny().kernel, directory / "kernel")
    (directory / "initramfs").write_bytes(tiny().initramfs.read_bytes() + bytes(1 << 20))
    assert Image.describe(directory).identity != tiny().identity
    return str(directory)


def clocks(layout: InstanceLayout) -> tuple[float, int, int]:
    """How far the VM's uptime is behind virtual time, when by its wall clock it was booted, how many segments its TCP has sent again.

    The answer that came soonest is nearest to the truth.
    """
    virtual = VirtualClock(ClockState.model_validate_json(layout.clock.read_bytes()))
    answers = []
    for _ in range(5):
        words = run(layout, "v", "cat /proc/uptime; awk '/^btime/ {print $2}' /proc/stat; awk '/^Tcp: [0-9]/ {print $13}' /proc/net/snmp")
        uptime, _, booted, again = words.stdout.split()
        answers.append((virtual.now_ns() / 1e9 - float(uptime), int(booted), int(again)))
    return min(answers)


@pytest.mark.timeout(150)
def test_neither_notices(flowing: InstanceLayout, spool: Spool, tmp_path: Path) -> None:
    assert_flows(flowing)
    behind_s, booted, again = clocks(flowing)
    ahead, of_host = set(), PROBES.read_text()
    with Probes(flowing, ("v", "b")) as probes:
        assert len(probes._files) == 1, "QEMU's network is the host's"
    for epoch in range(2):
        swap_out(flowing, spool, epoch)
        assert_nothing_left(flowing)
        assert PROBES.read_text() == of_host
        assert spool.node("v").devices.stat().st_size < 4 << 20
        assert spool.node("v").ram.stat().st_blocks * 512 < 96 << 20
        machine = spool.node("v").read().machine
        assert machine is not None
        ahead.add(machine.ahead_ns)
        time.sleep(2)
        swap_in(flowing, spool, **({"tiny": of_another_release(tmp_path / "tiny")} if epoch else {}))
        assert_flows(flowing)
        now_behind_s, now_booted, now_again = clocks(flowing)
        assert abs(now_behind_s - behind_s) < 0.3
        assert abs(now_booted - booted) <= 1
        assert now_again == again
        shutil.rmtree(spool.root)
    assert len(ahead) == 1 and None not in ahead, "the machine's clock and the virtual clock come apart"
    _stands_still_and_goes_on(flowing, spool)
    _refused_when_something_is_wrong(flowing, spool)


def _stands_still_and_goes_on(layout: InstanceLayout, spool: Spool) -> None:
    with holding(layout, 1):
        capture(layout, spool, Life(incarnation="test", epoch=8), quiet)
        stood = received(layout)
        time.sleep(0.3)
        assert received(layout) == stood
        go_on_in_place(layout, spool)
    assert_flows(layout)
    shutil.rmtree(spool.root)


def _refused_when_something_is_wrong(layout: InstanceLayout, spool: Spool) -> None:
    """Before anything is made; and what QEMU itself refuses leaves nothing."""
    swap_out(layout, spool, 9)
    manifest = spool.read()
    other = manifest.model_copy(update={"requirements": manifest.requirements.model_copy(update={"qemu": "QEMU 1.0, tcg"})})
    spool.manifest.write_text(other.model_dump_json())
    with pytest.raises(HostProblem, match="another QEMU"):
        swap_in(layout, spool)
    here = requirements.of_this_host(spool.read_spec().nodes, {})
    with pytest.raises(HostProblem, match="image 'tiny' is not the one"):  # as of a machine with a disk
        requirements.check(here, here.model_copy(update={"bases": here.bases | {"vm:tiny": "another"}}), "here")
    spool.manifest.write_text(manifest.model_dump_json())
    devices = spool.node("v").devices.read_bytes()
    spool.node("v").devices.write_bytes(devices[:len(devices) // 2])
    with pytest.raises(Corrupt, match="devices"):
        swap_in(layout, spool)
    assert_nothing_left(layout)
    spool.node("v").devices.unlink()
    with pytest.raises(Corrupt, match="lacks this part"):
        swap_in(layout, spool)
