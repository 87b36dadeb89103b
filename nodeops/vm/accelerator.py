"""KVM if a guest really boots under it, else TCG.

/dev/kvm may answer on a host where no guest gets anywhere (nested virtualization half switched on), so a guest is booted
once, and the answer kept for as long as this kernel and this QEMU last.
"""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

from pydantic import ValidationError

from models.errors import HostProblem
from models.protocol.control import Message
from nodeops.vm.image import Image
from nodeops.vm.machine import QEMU

BOOT_TIME_S = 15.0  # a guest under a working KVM needs less than one second
SIGN_OF_LIFE = "swapbed-probe: the guest runs"


class Probe(Message):
    """What was found, and under which kernel and QEMU."""

    kernel: str
    qemu: str
    accelerator: str
    reason: str


def probe(image: Image, cache: Path) -> Probe:
    """`kvm` or `tcg`, probed by booting image's kernel where cache does not know yet. Raises HostProblem without QEMU."""
    if shutil.which(QEMU) is None:
        raise HostProblem("QEMU is not installed", next="apt-get install qemu-system-x86")
    qemu = subprocess.run([QEMU, "--version"], capture_output=True, text=True, check=True).stdout.splitlines()[0]
    try:
        known = Probe.model_validate_json(cache.read_text())
        if (known.kernel, known.qemu) == (platform.release(), qemu):
            return known
    except (FileNotFoundError, ValidationError):
        pass
    reason = _why_not_kvm(image)
    found = Probe(kernel=platform.release(), qemu=qemu, accelerator="tcg" if reason else "kvm", reason=reason or "a guest booted under KVM")
    cache.parent.mkdir(parents=True, exist_ok=True)
    fresh = cache.with_suffix(f".{os.getpid()}")
    fresh.write_text(found.model_dump_json())
    os.replace(fresh, cache)
    return found


def _why_not_kvm(image: Image) -> str | None:
    """None if the guest's init spoke in time. rdinit=/bin/busybox echo is a whole guest: kernel, initramfs, a process."""
    if not os.access("/dev/kvm", os.R_OK | os.W_OK):
        return "/dev/kvm is not here"
    with tempfile.TemporaryDirectory() as scratch:
        console, errors = Path(scratch) / "console", Path(scratch) / "errors"
        argv = [QEMU, "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot", "-m", "128",
                "-machine", "q35,accel=kvm", "-cpu", "host", "-kernel", str(image.kernel), "-initrd", str(image.initramfs),
                "-serial", f"file:{console}",
                "-append", f"console=ttyS0 quiet panic=-1 rdinit=/bin/busybox -- echo {SIGN_OF_LIFE}"]
        with errors.open("wb") as stderr:
            guest = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=stderr)
        try:
            deadline = time.monotonic() + BOOT_TIME_S
            while time.monotonic() < deadline and guest.poll() is None:
                if console.exists() and SIGN_OF_LIFE in console.read_text(errors="replace"):
                    return None
                time.sleep(0.02)
            if console.exists() and SIGN_OF_LIFE in console.read_text(errors="replace"):
                return None
            said = errors.read_text(errors="replace").strip().splitlines()
            return f"QEMU ended: {said[-1]}" if guest.poll() is not None and said else f"no guest booted within {BOOT_TIME_S:g} s"
        finally:
            guest.kill()
            guest.wait()
