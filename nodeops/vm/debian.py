"""The image `debian`: a Debian root file system on a disk, with Python and iperf3, booted as `tiny` is. Made in a minute."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from pathlib import Path

from models.errors import HostProblem
from nodeops.vm.image import Image

PACKAGES = ("python3", "iperf3", "iproute2", "iputils-ping", "tcpdump", "procps", "netcat-openbsd")
TOOLS = {"mmdebstrap": "mmdebstrap", "mke2fs": "e2fsprogs", "qemu-img": "qemu-utils"}
SUITE, DISK_SIZE = "bookworm", "4G"


def build(directory: Path, tiny: Image) -> Image:
    """Into an existing directory. Raises HostProblem if a tool is missing or the package mirror cannot be reached."""
    for tool, package in TOOLS.items():
        if shutil.which(tool) is None:
            raise HostProblem(f"'{tool}' is not installed", next=f"apt-get install {package}")
    with tempfile.TemporaryDirectory(dir=directory) as scratch:
        root, raw = Path(scratch) / "root", Path(scratch) / "disk.raw"
        _run("mmdebstrap", "--variant=minbase", f"--include={','.join(PACKAGES)}", SUITE, str(root))
        _run("mke2fs", "-q", "-t", "ext4", "-E", "lazy_itable_init=0,lazy_journal_init=0", "-d", str(root), str(raw), DISK_SIZE)
        _run("qemu-img", "convert", "-f", "raw", "-O", "qcow2", str(raw), str(directory / "disk.qcow2"))
    for name, source in (("kernel", tiny.kernel), ("initramfs", tiny.initramfs)):
        shutil.copyfile(source, directory / name)
    return Image.describe(directory)


def _run(*command: str) -> None:
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    if done.returncode:
        raise HostProblem(f"'{command[0]}' failed: {done.stderr.strip()[-400:]}", next="Is the package mirror reachable?")
