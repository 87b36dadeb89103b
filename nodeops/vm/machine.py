"""What a VM is made of: its files on the host, and the command line that runs it. Pure but for paths.

RAM is a shared file in memory that nobody but QEMU and whoever reads it through QEMU's process knows: saving it is reading that file,
migration carries devices alone, and it is gone with the process. A file on disk would be written back for ever. `-rtc clock=vm` ties
both of the guest's clocks to QEMU's own, which stands still while the machine is stopped. NICs and the ports to the
node's init are unix stream sockets that QEMU listens on, so that wires and conductor may come and go; a dgram netdev
would lose frames when the receiver's queue (net.unix.max_dgram_qlen) is full.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from models.protocol.control import Message

QEMU = "qemu-system-x86_64"
DEFAULT_MEMORY_BYTES = 256 << 20
PORTS = 16  # to the node's init: the conductor's, and one for each session at a time; virtio-serial has at most 31
BACKING = "qcow2"


class Nic(Message):
    interface: str
    mac: str


class Machine(Message):
    """One VM as it was started: `machine.json`. disk: the image's, immutable; None: everything is in RAM. ram_fd: QEMU's, of its RAM.
    ahead_ns: how far its clock is ahead of virtual time; None until there was a checkpoint."""

    image: str
    identity: str
    kernel: Path
    initramfs: Path
    disk: Path | None = None
    append: str = ""
    accelerator: str
    memory_bytes: int = DEFAULT_MEMORY_BYTES
    cpus: int = 1
    nics: tuple[Nic, ...] = ()
    ram_fd: int = -1
    ahead_ns: int | None = None


@dataclass(frozen=True)
class MachineFiles:
    """root: the node's directory."""

    root: Path

    @property
    def machine(self) -> Path:
        """`Machine`; its being there tells that the node is a VM."""
        return self.root / "machine.json"

    @property
    def monitor(self) -> Path:
        return self.root / "qmp.sock"

    @property
    def console(self) -> Path:
        return self.root / "console.log"

    @property
    def log(self) -> Path:
        """What QEMU itself says."""
        return self.root / "qemu.log"

    @property
    def disk(self) -> Path:
        """qcow2, backed by the image's disk: exactly what the node changed."""
        return self.root / "disk.qcow2"

    @property
    def boot(self) -> Path:
        """The image's initramfs with what the node alone has behind it."""
        return self.root / "boot.cpio"

    def port(self, number: int) -> Path:
        return self.root / f"port.{number}.sock"

    def wire(self, interface: str) -> Path:
        return self.root / f"{interface}.wire"


def command(name: str, machine: Machine, files: MachineFiles) -> list[str]:
    """QEMU's argv. Paths of sockets are relative: run it in files.root, since a sockaddr holds 108 bytes (unix(7)).

    With `-incoming defer` behind it, it waits for `Qmp.load_device_state` instead of booting.
    """
    megabytes = machine.memory_bytes >> 20
    argv = [QEMU, "-nodefaults", "-no-user-config", "-display", "none", "-name", name, "-m", f"{megabytes}",
            "-smp", str(machine.cpus), "-rtc", "clock=vm", "-machine", f"q35,accel={machine.accelerator},memory-backend=ram",
            "-cpu", "host" if machine.accelerator == "kvm" else "max",
            "-object", f"memory-backend-file,id=ram,size={megabytes}M,share=on,mem-path=/proc/self/fd/{machine.ram_fd}",
            "-qmp", f"unix:{files.monitor.name},server=on,wait=off",
            "-chardev", f"file,id=console,path={files.console.name},append=on", "-serial", "chardev:console",
            "-device", f"virtio-serial-pci,id=channels,max_ports={PORTS + 1},vectors={2 * PORTS + 6}",
            "-device", "virtio-rng-pci",
            "-kernel", str(machine.kernel), "-initrd", files.boot.name,
            "-append", f"console=ttyS0 quiet panic=-1 {machine.append}".strip()]
    for number in range(PORTS):
        argv += ["-chardev", f"socket,id=port{number},path={files.port(number).name},server=on,wait=off",
                 "-device", f"virtserialport,bus=channels.0,nr={number + 1},chardev=port{number},name=swapbed.{number}"]
    if machine.disk is not None:
        argv += ["-drive", f"file={files.disk.name},if=virtio,format=qcow2,discard=unmap,detect-zeroes=unmap,"
                           f"backing.driver={BACKING},backing.file.filename={str(machine.disk).replace(',', ',,')}"]
    for number, nic in enumerate(machine.nics):
        argv += ["-netdev", f"stream,id=net{number},server=on,addr.type=unix,addr.path={files.wire(nic.interface).name}",
                 "-device", f"virtio-net-pci,netdev=net{number},romfile=,mac={nic.mac},csum=off,gso=off,guest_csum=off,"
                            "guest_tso4=off,guest_tso6=off,guest_ecn=off,guest_ufo=off,host_tso4=off,host_tso6=off,host_ecn=off,host_ufo=off"]
    return argv
