"""The image `tiny`: Debian's cloud kernel, and an initramfs with busybox and the nodes' init. Built in seconds, boots in one or two.

Its initramfs is also what boots images that have a disk: it mounts the disk's root file system and goes on there. Nothing of the package
is installed on the host: it is downloaded and unpacked aside. The same packages and init give the same bytes.
"""

from __future__ import annotations

import gzip
import io
import lzma
import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

from blake3 import blake3

from models.errors import HostProblem
from models.settings import settings
from nodeops.launch import ENVIRONMENT
from nodeops.layer import BINARY, CALLINGS
from nodeops.vm.cpio import Archive
from nodeops.vm.image import Image

MODULES = ("virtio_pci", "virtio_net", "virtio_console", "virtio_blk", "virtio_rng", "crc32c_generic", "ext4", "af_packet")
DIRECTORIES = ("bin", "proc", "sys", "dev", "etc", "lib", "lib/modules", "root", "run", "tmp", "disk",
               *(f"swapbed{below}" for below in ("", "/run", "/bin", "/logs", "/archive", "/datastore")))
BUSYBOX, ROOT_DEVICES = "bin/busybox", "/dev/vda1 /dev/vda"
INIT = f"""#!/bin/busybox sh
export {' '.join(f'{name}={value}' for name, value in ENVIRONMENT.items())}
umask 022
/bin/busybox --install -s /bin
mount -t proc proc /proc; mount -t sysfs sysfs /sys; mount -t devtmpfs dev /dev
mkdir -p /dev/pts /dev/shm
mount -t devpts devpts /dev/pts; mount -t tmpfs tmpfs /dev/shm
while read module; do insmod /lib/modules/$module; done </lib/modules/order
boot=/swapbed/boot
ports=$(cat $boot/ports 2>/dev/null || echo 1)
while [ "$(ls /sys/class/virtio-ports 2>/dev/null | wc -l)" -lt $ports ]; do sleep 0.05; done
[ ! -f $boot/network ] || . $boot/network
set -- /dev/vport*
root=
for device in {ROOT_DEVICES}; do
    [ -n "$root" ] || [ ! -b $device ] || ! mount -t ext4 $device /disk 2>/dev/null || root=$device
done
if [ -n "$root" ]; then
    mkdir -p /disk/swapbed/run /disk/swapbed/logs /disk/swapbed/archive /disk/proc /disk/sys /disk/dev /disk/tmp
    rm -f /disk/swapbed/init
    cp -a /swapbed/init /swapbed/bin /disk/swapbed/
    [ -e /disk/swapbed/datastore ] || cp -a /swapbed/datastore /disk/swapbed/
    cp -a $boot/root/. /disk/
    for each in dev proc sys; do mount -o move /$each /disk/$each; done
    mount -t tmpfs tmpfs /disk/run
    exec switch_root /disk /swapbed/init init "$@"
fi
[ ! -d $boot/root ] || cp -a $boot/root/. /
chmod 1777 /tmp /swapbed/archive
exec /swapbed/init init "$@"
"""


def ready(directory: Path, init: Path) -> Image:
    """The image in directory, built there if it is not yet, or is of another init. Raises as `build`."""
    image = Image.read(directory)
    if image is not None and image.made_for == _made_for(init):
        return image
    return build(directory, init)


def build(directory: Path, init: Path) -> Image:
    """Make `kernel` and `initramfs` in directory, from the package registry and the given static init binary.

    Raises HostProblem when the package cannot be had or busybox is not here.
    """
    busybox = shutil.which("busybox")
    if busybox is None:
        raise HostProblem("busybox is not installed", next="apt-get install busybox-static")
    if not init.exists():
        raise HostProblem("the nodes' init has not been built", where=str(init), next="make -C nodeops/init")
    directory.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=directory) as scratch:
        work = Path(scratch)
        unpacked = _kernel_package(work)
        (work / "initramfs").write_bytes(gzip.compress(_initramfs(unpacked, Path(busybox), init), 6, mtime=0))
        shutil.copyfile(next((unpacked / "boot").glob("vmlinuz-*")), work / "kernel")
        for name in ("kernel", "initramfs"):
            os.replace(work / name, directory / name)
    return Image.describe(directory, made_for=_made_for(init))


def _made_for(init: Path) -> str:
    """Of what is here: a later release with another init, or another way to boot, makes a new image."""
    return blake3(init.read_bytes() + INIT.encode() + repr((MODULES, DIRECTORIES)).encode()).hexdigest()


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


def _initramfs(unpacked: Path, busybox: Path, init: Path) -> bytes:
    out = io.BytesIO()
    archive = Archive(out)
    for name in DIRECTORIES:
        archive.directory(name)
    archive.file(BUSYBOX, busybox.read_bytes(), 0o755)
    archive.file("swapbed/init", init.read_bytes(), 0o755)
    for name in CALLINGS:
        archive.link(f"swapbed/bin/{name}", "../init")
    archive.file("init", INIT.encode(), 0o755)
    archive.file("etc/passwd", b"root:x:0:0:root:/root:/bin/sh\n")
    archive.file("etc/group", b"root:x:0:\n")
    order = _with_dependencies({_module_name(path): path for path in (unpacked / "lib" / "modules").glob("*/kernel/**/*.ko*")})
    for name, content in order.items():
        archive.file(f"lib/modules/{name}.ko", content)
    archive.file("lib/modules/order", "".join(f"{name}.ko\n" for name in order).encode())
    archive.close()
    return out.getvalue()


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
