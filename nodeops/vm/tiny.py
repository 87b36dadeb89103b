"""The image `tiny`: Debian's cloud kernel, and an initramfs with busybox and the nodes' init. Built in seconds, boots in one or two.

Nothing of the package is installed on the host: it is downloaded and unpacked aside.
"""

from __future__ import annotations

import lzma
import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

from models.errors import HostProblem
from models.settings import settings
from nodeops.layer import BINARY
from nodeops.vm.machine import CHANNEL, Image

MODULES = ("virtio_pci", "virtio_net", "virtio_console", "virtio_blk", "virtio_rng", "ext4", "af_packet")
INIT = f"""#!/bin/busybox sh
/bin/busybox --install -s /bin
mount -t proc proc /proc; mount -t sysfs sysfs /sys; mount -t devtmpfs dev /dev
mkdir -p /dev/pts /dev/shm /tmp /run /root; mount -t devpts devpts /dev/pts; mount -t tmpfs tmpfs /dev/shm; mount -t tmpfs tmpfs /tmp
while read module; do insmod /lib/modules/$module; done </lib/modules/order
ip link set lo up
for port in /sys/class/virtio-ports/*; do
    [ "$(cat $port/name)" = {CHANNEL} ] && exec /swapbed/init init 3 3<>/dev/${{port##*/}}
done
echo 'no channel to the host' >/dev/console
exec sh
"""


def ready(directory: Path, init: Path) -> Image:
    """The image in directory, built there if it is not yet, or is of another init. Raises as `build`."""
    kernel, initramfs = directory / "kernel", directory / "initramfs"
    if kernel.exists() and initramfs.exists() and initramfs.stat().st_mtime >= init.stat().st_mtime:
        return Image(kernel=kernel, initramfs=initramfs)
    return build(directory, init)


def build(directory: Path, init: Path) -> Image:
    """Make `kernel` and `initramfs` in directory, from the package registry and the given static init binary.

    Raises HostProblem when the package cannot be had or busybox is not here.
    """
    busybox = shutil.which("busybox")
    if busybox is None:
        raise HostProblem("busybox is not installed", next="apt-get install busybox-static")
    directory.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=directory) as scratch:
        work = Path(scratch)
        unpacked = _kernel_package(work)
        root = work / "root"
        _fill(root, unpacked, Path(busybox), init)
        names = "".join(f"{path.relative_to(root)}\n" for path in sorted(root.rglob("*")))
        archive = subprocess.run([busybox, "cpio", "-o", "-H", "newc"], cwd=root, input=names.encode(), stdout=subprocess.PIPE,
                                 stderr=subprocess.DEVNULL, check=True).stdout
        packed = subprocess.run([busybox, "gzip", "-c"], input=archive, stdout=subprocess.PIPE, check=True).stdout
        kernel, initramfs = directory / "kernel", directory / "initramfs"
        (work / "initramfs").write_bytes(packed)
        shutil.copyfile(next((unpacked / "boot").glob("vmlinuz-*")), work / "kernel")
        os.replace(work / "kernel", kernel)
        os.replace(work / "initramfs", initramfs)
    return Image(kernel=kernel, initramfs=initramfs)


def _kernel_package(work: Path) -> Path:
    """Debian's cloud kernel (a meta-package depends on the current one), downloaded and unpacked below work."""
    depends = _run(["apt-cache", "depends", "linux-image-cloud-amd64"], work)
    name = re.search(r"Depends: (linux-image-\S+)", depends)
    if name is None:
        raise HostProblem("Debian's cloud kernel is not in the package lists", next="apt-get update")
    _run(["apt-get", "-qq", "-o", "APT::Sandbox::User=root", "download", name[1]], work)
    _run(["dpkg", "-x", str(next(work.glob("linux-image-*.deb"))), "unpacked"], work)
    return work / "unpacked"


def _run(command: list[str], work: Path) -> str:
    done = subprocess.run(command, cwd=work, capture_output=True, text=True)
    if done.returncode:
        raise HostProblem(f"'{command[0]}' failed: {done.stderr.strip()[-300:]}", next="Are the package registries reachable?")
    return done.stdout


def _fill(root: Path, unpacked: Path, busybox: Path, init: Path) -> None:
    for name in ("bin", "proc", "sys", "dev", "etc", "lib/modules", "swapbed/run", "swapbed/logs", "swapbed/archive", "swapbed/datastore"):
        (root / name).mkdir(parents=True)
    shutil.copy2(busybox, root / "bin" / "busybox")
    shutil.copy2(init, root / "swapbed" / "init")
    (root / "init").write_text(INIT)
    (root / "init").chmod(0o755)
    (root / "etc" / "passwd").write_text("root:x:0:0:root:/root:/bin/sh\n")
    (root / "etc" / "group").write_text("root:x:0:\n")
    modules = root / "lib" / "modules"
    order = _with_dependencies({_module_name(path): path for path in (unpacked / "lib" / "modules").glob("*/kernel/**/*.ko*")})
    for name, content in order.items():
        (modules / f"{name}.ko").write_bytes(content)
    (modules / "order").write_text("".join(f"{name}.ko\n" for name in order))


def _module_name(path: Path) -> str:
    return path.name.partition(".ko")[0].replace("-", "_")


def _with_dependencies(available: dict[str, Path]) -> dict[str, bytes]:
    """The wanted modules and what they need, each after its own needs (`depends=` in a module's .modinfo section).

    A wanted module that is not there is built in, in this kernel.
    """
    loaded: dict[str, bytes] = {}

    def load(name: str) -> None:
        if name in loaded or name not in available:
            return
        path = available[name]
        content = lzma.decompress(path.read_bytes()) if path.suffix == ".xz" else path.read_bytes()
        found = re.search(rb"\0depends=([^\0]*)\0", content)
        for needed in (found[1].decode().split(",") if found and found[1] else []):
            load(needed.replace("-", "_"))
        loaded[name] = content

    for name in MODULES:
        load(name)
    return loaded


if __name__ == "__main__":
    ready(settings().cache_dir / "tiny", BINARY)
