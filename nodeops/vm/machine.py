"""What a VM is made of: its files on the host, and the command line that runs it. Pure but for paths.

RAM is a shared file, so that saving it is reading that file and migration carries devices alone; `-rtc clock=vm` ties
both of the guest's clocks to QEMU's own, which stands still while the machine is stopped. NICs and the channel to the
node's init are unix stream sockets that QEMU listens on, so that wires and conductor may come and go; a dgram netdev
would lose frames when the receiver's queue (net.unix.max_dgram_qlen) is full.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from models.protocol.control import Message

QEMU = "qemu-system-x86_64"
DEFAULT_MEMORY_BYTES = 256 << 20
CHANNEL = "swapbed"  # /dev/virtio-ports/swapbed in the guest


class Image(Message):
    """What a VM boots: kernel and initramfs, or a disk whose boot loader does, or a kernel with a root disk. Paths on the host."""

    kernel: Path | None = None
    initramfs: Path | None = None
    disk: Path | None = None
    append: str = ""


class Nic(Message):
    interface: str
    mac: str


@dataclass(frozen=True)
class MachineFiles:
    """root: the node's directory; ram: a file in memory (tmpfs), since a file on disk would be written back for ever."""

    root: Path
    ram: Path

    @property
    def monitor(self) -> Path:
        return self.root / "qmp.sock"

    @property
    def channel(self) -> Path:
        return self.root / "init.sock"

    @property
    def console(self) -> Path:
        return self.root / "console.log"

    @property
    def disk(self) -> Path:
        """qcow2, backed by the image's disk: exactly what the node changed."""
        return self.root / "disk.qcow2"

    def wire(self, interface: str) -> Path:
        return self.root / f"{interface}.wire"


def command(name: str, image: Image, files: MachineFiles, nics: tuple[Nic, ...], *, accelerator: str,
            memory_bytes: int = DEFAULT_MEMORY_BYTES, cpus: int = 1) -> list[str]:
    """QEMU's argv. Paths of sockets are relative: run it in files.root, since a sockaddr holds 108 bytes (unix(7)).

    With `-incoming defer` behind it, it waits for `Qmp.load_device_state` instead of booting.
    """
    argv = [QEMU, "-nodefaults", "-no-user-config", "-display", "none", "-name", name, "-m", f"{memory_bytes >> 20}",
            "-smp", str(cpus), "-rtc", "clock=vm", "-machine", f"q35,accel={accelerator},memory-backend=ram",
            "-cpu", "host" if accelerator == "kvm" else "max",
            "-object", f"memory-backend-file,id=ram,size={memory_bytes >> 20}M,share=on,mem-path={files.ram}",
            "-qmp", f"unix:{files.monitor.name},server=on,wait=off",
            "-chardev", f"file,id=console,path={files.console},append=on", "-serial", "chardev:console",
            "-device", "virtio-serial-pci,id=channels",
            "-chardev", f"socket,id=channel,path={files.channel.name},server=on,wait=off",
            "-device", f"virtserialport,bus=channels.0,chardev=channel,name={CHANNEL}",
            "-device", "virtio-rng-pci"]
    if image.kernel is not None:
        argv += ["-kernel", str(image.kernel), "-append", f"console=ttyS0 quiet panic=-1 {image.append}".strip()]
    if image.initramfs is not None:
        argv += ["-initrd", str(image.initramfs)]
    if image.disk is not None:
        argv += ["-drive", f"file={files.disk},if=virtio,format=qcow2,discard=unmap,detect-zeroes=unmap"]
    for number, nic in enumerate(nics):
        argv += ["-netdev", f"stream,id=net{number},server=on,addr.type=unix,addr.path={files.wire(nic.interface).name}",
                 "-device", f"virtio-net-pci,netdev=net{number},romfile=,mac={nic.mac},csum=off,gso=off,guest_csum=off,"
                            "guest_tso4=off,guest_tso6=off,guest_ecn=off,guest_ufo=off,host_tso4=off,host_tso6=off,host_ecn=off,host_ufo=off"]
    return argv
