"""How late a VM was let go once is made up for the next time; its distance to virtual time is that of the first cut."""

from __future__ import annotations

import struct
from pathlib import Path

from models.protocol.checkpoint import NodeManifest, SavedMachine
from nodeops.checkpoint import machine_clock
from nodeops.checkpoint.spool import Spool
from nodeops.layout import InstanceLayout
from nodeops.vm import machines
from nodeops.vm.machine import Machine, MachineFiles

MS = 1_000_000


def devices(reads_ns: int) -> bytes:
    """As QEMU 7.2 writes them, with something before and behind."""
    return b"QEVM\0\0\0\3" + machine_clock.TIMERS + struct.pack(">qqq", -5, 0, reads_ns) + b"\x7e\0\0\0\1"


def cut(directory: Path, virtual_ns: int, asked_after_ns: int, reads_ns: int) -> NodeManifest:
    layout, spool = InstanceLayout(directory / "instance"), Spool(directory / "spool")
    files, node = MachineFiles(layout.node("v").root), spool.node("v")
    if not files.machine.exists():
        files.root.mkdir(parents=True)
        node.vm.mkdir(parents=True)
        files.machine.write_text(Machine(image="tiny", identity="x", kernel=Path("/k"), initramfs=Path("/i"), accelerator="tcg")
                                 .model_dump_json())
    saved = SavedMachine(memory_bytes=1 << 20, cpus=1, accelerator="tcg", disk=False)
    node.manifest.write_text(NodeManifest(node="v", frozen_after_ns=asked_after_ns, machine=saved).model_dump_json())
    node.devices.write_bytes(devices(reads_ns))
    later_ns = machine_clock.date(layout, spool, ["v"], virtual_ns)
    found = node.read()
    assert later_ns == {"v": found.frozen_after_ns}
    assert found.machine is not None and found.machine.ahead_ns == machines.machine_of(layout.node("v")).ahead_ns
    return found


def ahead_ms(manifest: NodeManifest) -> int:
    assert manifest.machine is not None and manifest.machine.ahead_ns is not None
    return manifest.machine.ahead_ns // MS


def test_it_is_let_go_sooner_by_what_it_was_late_and_later_by_what_it_was_soon(tmp_path: Path) -> None:
    first = cut(tmp_path, 1000 * MS, 20 * MS, 720 * MS)
    assert (first.frozen_after_ns, ahead_ms(first)) == (20 * MS, -300)
    late = cut(tmp_path, 3000 * MS, 20 * MS, 2708 * MS)
    assert (late.frozen_after_ns, ahead_ms(late)) == (8 * MS, -300)
    soon = cut(tmp_path, 4000 * MS, 20 * MS, 3725 * MS)
    assert (soon.frozen_after_ns, ahead_ms(soon)) == (25 * MS, -300)


def test_not_before_time_goes_on_and_not_what_somebody_else_has_taken_from_it(tmp_path: Path) -> None:
    cut(tmp_path, 1000 * MS, 20 * MS, 720 * MS)
    very_late = cut(tmp_path, 3000 * MS, 20 * MS, 2600 * MS)
    assert (very_late.frozen_after_ns, ahead_ms(very_late)) == (0, -300)
    stopped_meanwhile = cut(tmp_path, 9000 * MS, 20 * MS, 3000 * MS)
    assert (stopped_meanwhile.frozen_after_ns, ahead_ms(stopped_meanwhile)) == (20 * MS, -6020)
