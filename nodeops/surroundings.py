"""What a run's outcome may depend on besides the experiment itself: this host's kernel, processor, packages."""

from __future__ import annotations

import os
import platform
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path

from blake3 import blake3

from models.protocol.runs import Surroundings

DPKG_STATUS = Path("/var/lib/dpkg/status")
NAMED = ("libc6", "iproute2", "iputils-ping", "iperf3", "tcpdump", "python3", "busybox-static", "qemu-system-x86", "coreutils", "bash")


def surroundings(images: dict[str, str], nodes: tuple[str, ...]) -> Surroundings:
    """images: of the nodes, by name, as the spec calls them; nodes: those placed here."""
    digest, packages = _packages(_changed(DPKG_STATUS))
    return Surroundings(
        kernel=f"{platform.release()} {platform.version()}", machine=platform.machine(), cpu=_cpu(), cpus=os.cpu_count() or 1,
        memory_bytes=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"), system=_system(), packages_digest=digest, packages=packages,
        python=platform.python_version(), swapbed=_own_version(), images=images, nodes=nodes)


def _changed(path: Path) -> tuple[int, int] | None:
    try:
        now = path.stat()
    except FileNotFoundError:
        return None
    return now.st_ino, now.st_mtime_ns


@lru_cache(maxsize=1)
def _packages(changed: tuple[int, int] | None) -> tuple[str, dict[str, str]]:
    """Digest of all names and versions, and the versions of some; empty where dpkg does not keep them. changed: which file it is, and since
    when; None: there is none."""
    installed: dict[str, str] = {}
    name, state = "", ""
    if changed is None:
        return "", {}
    for line in DPKG_STATUS.read_text(errors="replace").splitlines():
        if line.startswith("Package: "):
            name = line[9:]
        elif line.startswith("Status: "):
            state = line[8:]
        elif line.startswith("Version: ") and state.endswith(" installed"):
            installed[name] = line[9:]
    text = "\n".join(f"{name} {installed[name]}" for name in sorted(installed))
    return blake3(text.encode()).hexdigest(), {name: installed[name] for name in NAMED if name in installed}


@lru_cache(maxsize=1)
def _own_version() -> str:
    return version("swapbed")


@lru_cache(maxsize=1)
def _cpu() -> str:
    for line in Path("/proc/cpuinfo").read_text(errors="replace").splitlines():
        key, _, value = line.partition(":")
        if key.strip() in ("model name", "Model"):
            return value.strip()
    return platform.processor()


@lru_cache(maxsize=1)
def _system() -> str:
    try:
        return platform.freedesktop_os_release().get("PRETTY_NAME", "")
    except OSError:
        return ""
