"""What a host must have in common with the one where a checkpoint was made."""

from __future__ import annotations

import hashlib
import platform
import subprocess
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path

from models.errors import HostProblem
from models.protocol.checkpoint import Requirements
from models.protocol.init import PROTOCOL
from models.settings import settings
from models.spec import Node
from nodeops.checkpoint.vm_nodes import qemu_version
from nodeops.create import base_of
from nodeops.vm.machines import accelerator, image_of

IDENTIFYING = ("etc/os-release", "usr/lib/os-release", "var/lib/dpkg/status", "lib/apk/db/installed", "var/lib/rpm/rpmdb.sqlite",
               "usr/lib/sysimage/rpm/rpmdb.sqlite")


def of_this_host(nodes: Iterable[Node], images: Mapping[str, str]) -> Requirements:
    """Raises HostProblem if CRIU or QEMU is missing where it is needed.

    VMs bring their own kernel; those that QEMU emulates do not even see this CPU. In bases their images have `vm:` in front.
    """
    nodes = list(nodes)
    containers, vms = [node for node in nodes if node.kind == "container"], [node for node in nodes if node.kind == "vm"]
    bases = {name: _identity(path) for name, path in {node.image: base_of(node, dict(images)) for node in containers}.items()}
    bases |= {f"vm:{node.image}": image_of(node, images).identity for node in vms}
    sees_cpu = bool(containers) or (bool(vms) and accelerator() == "kvm")
    return Requirements(architecture=platform.machine(), kernel=platform.release() if containers else "",
                        criu=_criu_version() if containers else "", cpu_features=_cpu_features() if sees_cpu else (), bases=bases,
                        qemu=f"{qemu_version()}, {accelerator()}" if vms else None, init=PROTOCOL)


def check(wanted: Requirements, here: Requirements, where: str, *, diskless: Collection[str] = ()) -> None:
    """Raises HostProblem, saying what differs. More CPU features than were there are no hindrance.

    diskless: images of which nothing is needed before a machine boots again, for all that it had of them is in its RAM.
    """
    if wanted.init not in (None, here.init):
        raise HostProblem(f"the checkpoint's nodes speak another protocol with Swapbed: {wanted.init}, here it is {here.init}", where=where,
                          next="Restore it with the release of Swapbed that made it")
    for what, before, now in (("CPU architecture", wanted.architecture, here.architecture), ("kernel", wanted.kernel, here.kernel),
                              ("version of CRIU", wanted.criu, here.criu), ("QEMU", wanted.qemu, here.qemu)):
        if before != now:
            raise HostProblem(f"the checkpoint was made with another {what}: {before}, here it is {now}", where=where,
                              next="Restore it on a host like the one it was made on")
    if lacking := set(wanted.cpu_features) - set(here.cpu_features):
        raise HostProblem(f"this CPU lacks what the checkpoint's processes may use: {', '.join(sorted(lacking))}", where=where,
                          next="Restore it on a host like the one it was made on")
    for name, identity in wanted.bases.items():
        kind, _, image = name.partition(":")
        if kind == "vm" and image not in diskless and here.bases.get(name) != identity:
            raise HostProblem(f"the machines' image '{image}' is not the one that the checkpoint was made with", where=where,
                              next="Import that one under this name: see `swapbed image`")
        if kind != "vm" and here.bases.get(name) != identity:
            raise HostProblem(f"the base '{name}' is not what it was when the checkpoint was made: other packages are installed",
                              where=where, next="Restore it on a host with the same base")


def _criu_version() -> str:
    try:
        done = subprocess.run([settings().criu, "--version"], stdin=subprocess.DEVNULL, capture_output=True, text=True)
    except OSError as error:
        raise HostProblem("nodes can only be checkpointed with CRIU", where=str(settings().criu), next="See `swapbed doctor`") from error
    return next((line.partition(":")[2].strip() for line in done.stdout.splitlines() if line.startswith("Version:")), "unknown")


def _cpu_features() -> tuple[str, ...]:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    return tuple(sorted(next((line.partition(":")[2].split() for line in lines if line.startswith(("flags", "Features"))), [])))


def _identity(base: Path) -> str:
    """Of its release and of the packages installed in it; a directory with neither is told by its name alone."""
    digest = hashlib.sha256()
    for name in IDENTIFYING:
        if (base / name).is_file():
            digest.update(name.encode() + b"\0" + (base / name).read_bytes())
    return digest.hexdigest()
