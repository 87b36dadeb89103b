"""What this host can and cannot do, as data, a row per check: `fail` where no node can be made, `warn` where something is missing."""

from __future__ import annotations

import os
import re
import resource
import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from models.errors import SwapbedError
from models.protocol.host import Check, DoctorReport
from models.settings import settings
from nodeops import cgroups, upper_layers
from nodeops.destroy import abandoned
from nodeops.inspect import all_status
from nodeops.instance import instances_here, layout_of
from nodeops.layer import BINARY
from nodeops.vm.accelerator import probe
from nodeops.vm.machine import QEMU
from nodeops.vm.tiny import ready
from nodeops.wall import LIBRARY

KERNEL = (5, 14)  # cgroup.kill; younger than clone3's CLONE_INTO_CGROUP (5.7), openat2 (5.6), overlayfs's volatile (5.10)
CRIU = (4, 2)
CRIU_S = 20
PROC_SYS = Path("/proc/sys")


def examine() -> DoctorReport:
    """Never raises for what it finds."""
    checks: list[Check] = []
    for look in LOOKS:
        try:
            checks += look()
        except (SwapbedError, OSError) as error:
            checks.append(Check(name=look.__name__.strip("_").replace("_", " "), status="fail", what=str(error)))
    return DoctorReport(checks=tuple(checks))


def _ok(name: str, what: str) -> Check:
    return Check(name=name, status="ok", what=what)


def _root() -> Iterator[Check]:
    if os.geteuid() == 0:
        yield _ok("root", "runs as root")
    else:
        yield Check(name="root", status="fail", what="not root: neither namespaces nor mounts can be made", next="Run as root")


def _kernel() -> Iterator[Check]:
    release = os.uname().release
    numbers = tuple(map(int, re.findall(r"\d+", release)[:2]))
    wanted = ".".join(map(str, KERNEL))
    if numbers >= KERNEL:
        yield _ok("kernel", release)
    else:
        yield Check(name="kernel", status="fail", what=f"{release} is older than {wanted}", next=f"Boot a kernel of at least {wanted}")
    filesystems = {line.split()[-1] for line in Path("/proc/filesystems").read_text().splitlines()}
    if "overlay" in filesystems:
        yield _ok("overlayfs", "there")
    else:
        yield Check(name="overlayfs", status="fail", what="the kernel has no overlayfs, or has not loaded it", next="modprobe overlay")
    if Path("/dev/net/tun").exists():
        yield _ok("tun", "/dev/net/tun is there")
    else:
        yield Check(name="tun", status="fail", what="/dev/net/tun is missing", next="modprobe tun")
    if (PROC_SYS / "net/ipv6").is_dir():
        yield _ok("ipv6", "there")
    else:
        yield Check(name="ipv6", status="warn", what="the kernel has no IPv6: LANs can have IPv4 alone", next="modprobe ipv6")


def _control_groups() -> Iterator[Check]:
    where = cgroups.hierarchies()
    probe = next((path for path in where.unified.iterdir() if (path / "cgroup.kill").exists()), None)
    yield _ok("cgroup version 2", f"at {where.unified}" + ("" if probe is None else ", freezes and kills"))
    for controller in cgroups.CONTROLLERS:
        version = 2 if controller in where.v2 else 1 if controller in where.v1 else None
        if version:
            yield _ok(f"cgroup {controller}", f"limited by version {version}")
        else:
            yield Check(name=f"cgroup {controller}", status="warn", what=f"no {controller} controller: nodes cannot be limited by it",
                        next="Boot with systemd.unified_cgroup_hierarchy=1")


def _state_directory() -> Iterator[Check]:
    there = settings().state_dir
    while not there.exists():
        there = there.parent
    if os.geteuid() == 0:
        upper_layers.check(there)
        yield _ok("state directory", f"{there} can hold the nodes' changes")
    space = os.statvfs(there)
    free, wanted = space.f_bavail * space.f_frsize, settings().free_space_bytes
    if free >= wanted:
        yield _ok("disk", f"{free >> 30} GiB free")
    else:
        yield Check(name="disk", status="fail", what=f"only {free >> 20} MiB are free, {wanted >> 20} are wanted", next="Make room")
    for what, built in (("init", BINARY), ("wall clock", LIBRARY)):
        if not built.exists():
            yield Check(name=what, status="fail", what=f"{built} has not been built", next=f"make -C nodeops/{built.parent.name}")


def _checkpointing() -> Iterator[Check]:
    criu = settings().criu
    if not criu.exists():
        yield Check(name="criu", status="warn", what=f"{criu} is missing: containers cannot be swapped out", next="scripts/setup")
        return
    said = subprocess.run([criu, "--version"], capture_output=True, text=True, timeout=CRIU_S).stdout
    found = re.search(r"Version:\s*(\d+)\.(\d+)", said)
    version = ".".join(found.groups()) if found else "unknown"
    checked = subprocess.run([criu, "check"], capture_output=True, text=True, timeout=CRIU_S)
    if found and tuple(map(int, found.groups())) >= CRIU and not checked.returncode:
        yield _ok("criu", f"version {version}, `criu check` is content")
    else:
        why = (checked.stdout + checked.stderr).strip().splitlines()[-1:] or [f"version {version}, 4.2 is wanted"]
        yield Check(name="criu", status="warn", what=f"containers cannot be swapped out: {why[0]}",
                    next="scripts/setup fetches a newer CRIU")


@dataclass(frozen=True)
class Ceiling:
    """A limit of this host that many nodes meet. wanted: for a thousand nodes."""

    name: str
    setting: str
    wanted: int
    what: str


CEILINGS = (
    Ceiling("processes", "kernel/pid_max", 32768, "process numbers for all nodes together"),
    Ceiling("threads", "kernel/threads-max", 32768, "threads for all nodes together"),
    Ceiling("neighbours", "net/ipv4/neigh/default/gc_thresh3", 8192, "neighbours that LANs of more than 128 learn, all nodes together"),
    Ceiling("inotify", "fs/inotify/max_user_instances", 1024, "files that root's programs (tail -f) watch, all nodes together"),
    Ceiling("files", "fs/file-max", 200_000, "open files"),
    Ceiling("namespaces", "user/max_net_namespaces", 2000, "network namespaces"),
)


def _virtual_machines() -> Iterator[Check]:
    if not os.access("/dev/kvm", os.R_OK | os.W_OK):
        yield _ok("kvm", "/dev/kvm is not here: virtual machines would run under TCG, slowly")
        return
    if shutil.which(QEMU) is None:
        yield Check(name="kvm", status="warn", what="/dev/kvm is here, but without QEMU no guest can be booted to see if it works",
                    next="scripts/setup")
        return
    cache = settings().cache_dir
    found = probe(ready(cache / "tiny", BINARY), cache / "accelerator.json")
    if found.accelerator == "kvm":
        yield _ok("kvm", "a guest boots under it")
    else:
        yield Check(name="kvm", status="warn", what=f"no guest boots under it ({found.reason}): virtual machines run under TCG",
                    next="Containers do not need it; for fast virtual machines take a host whose KVM works")


def _ceilings() -> Iterator[Check]:
    for each in CEILINGS:
        value = int((PROC_SYS / each.setting).read_text())
        if value >= each.wanted:
            yield _ok(f"limit: {each.name}", f"{value} {each.what}")
        else:
            yield Check(name=f"limit: {each.name}", status="warn", what=f"{value} {each.what}; a thousand nodes want {each.wanted}",
                        next=f"sysctl -w {each.setting.replace('/', '.')}={each.wanted}")
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    if hard >= 16384:
        yield _ok("limit: open files", f"{hard} in one process: enough for a thousand nodes, and to capture them")
    else:
        yield Check(name="limit: open files", status="warn", what=f"{hard} in one process: too few for a capture of a thousand nodes",
                    next="ulimit -Hn 65536")


TOOLS = {"ip": "iproute2", "tcpdump": "capture filters", "pasta": "nodes with a way outside (package passt)"}


def _tools() -> Iterator[Check]:
    for tool, use in TOOLS.items():
        if path := shutil.which(tool):
            yield _ok(f"tool: {tool}", path)
        else:
            yield Check(name=f"tool: {tool}", status="warn", what=f"missing; for {use}", next="scripts/setup")


def _instances() -> Iterator[Check]:
    for name in (name for name in instances_here() if abandoned(layout_of(name))):
        yield Check(name=f"instance {name}", status="warn", what="a crash left it half made or half destroyed",
                    next="swapbed doctor --reap")
    for status in all_status():
        if status.state != "ready":
            continue
        dead = [node.node for node in status.nodes if not node.alive] + [daemon.daemon for daemon in status.daemons if not daemon.alive]
        if dead:
            yield Check(name=f"instance {status.instance}", status="warn", what=f"'{status.name}' has lost {', '.join(dead)}",
                        next=f"swapbed inspect {status.name}")


LOOKS: tuple[Callable[[], Iterator[Check]], ...] = (
    _root, _kernel, _control_groups, _state_directory, _checkpointing, _virtual_machines, _ceilings, _tools, _instances)
