"""Starting the VMs of an instance on this host: their files, and a QEMU process each, in the node's cgroup from its first instant."""

from __future__ import annotations

import math
import os
import shutil
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

from models.errors import Corrupt, HostProblem, InvalidInput, NotFound, TimedOut
from models.routes import Routing
from models.settings import settings
from models.spec import Node, Spec
from nodeops import cgroups, node_files, node_network
from nodeops.identity import ProcessIdentity
from nodeops.layer import BINARY
from nodeops.layout import InstanceLayout, NodeLayout
from nodeops.reach import init_identity
from nodeops.vm import boot_archive, guest_network, ram
from nodeops.vm.accelerator import probe
from nodeops.vm.image import Image, make_overlay
from nodeops.vm.machine import DEFAULT_MEMORY_BYTES, QEMU, Machine, MachineFiles, Nic, command
from nodeops.vm.qmp import Qmp
from nodeops.vm.tiny import ready
from nodeops.whole_file import write_whole

TINY = ("host", "tiny")  # a VM for which the spec names no image gets this host's smallest
START_S = 30.0
LEAST_MEMORY_BYTES = 64 << 20


def image_of(node: Node, images: Mapping[str, str]) -> Image:
    """What the node boots. images: name in the spec → directory here. Raises NotFound."""
    if node.image in TINY and node.image not in images:
        return tiny()
    path = Path(images.get(node.image, node.image))
    image = Image.read(path) if path.is_absolute() else None
    if image is None:
        raise NotFound(f"no image '{node.image}' for VMs on this host", where=node.name,
                       next="See `swapbed image ls`, or name a directory by its full path")
    return image


def tiny() -> Image:
    return ready(settings().cache_dir / "tiny", BINARY)


def accelerator() -> str:
    """kvm or tcg. Raises HostProblem without QEMU."""
    return probe(tiny(), settings().cache_dir / "accelerator.json").accelerator


def check(node: Node, images: Mapping[str, str], datastore: Path | None) -> None:
    """Raises what `start` would, before anything is made."""
    if shutil.which(QEMU) is None:
        raise HostProblem("QEMU is not installed", where=node.name, next="apt-get install qemu-system-x86 qemu-utils")
    image = image_of(node, images)
    memory_bytes = node.memory_bytes or DEFAULT_MEMORY_BYTES
    if node.outside:
        raise InvalidInput("only containers can have a way outside", where=node.name, next="Leave out `outside`, or make it a container")
    if memory_bytes < LEAST_MEMORY_BYTES:
        raise InvalidInput(f"a VM needs at least {LEAST_MEMORY_BYTES >> 20} MiB of memory, not {memory_bytes >> 20}", where=node.name)
    size = sum(path.lstat().st_size for path in datastore.rglob("*")) if datastore and datastore.is_dir() else 0
    if size + image.initramfs.stat().st_size > memory_bytes // 2:
        raise InvalidInput(f"the datastore of {size >> 20} MiB does not go through {memory_bytes >> 20} MiB of memory", where=node.name,
                           next="Give the VM more memory")


def start(layout: InstanceLayout, spec: Spec, routing: Routing, nodes: Sequence[Node],
          images: Mapping[str, str]) -> dict[str, ProcessIdentity]:
    """Node → its QEMU, which boots. Files that an earlier start left are gone on with: the disk. Raises HostProblem."""
    plans = {plan.node: plan for plan in node_network.plan(spec, [node.name for node in nodes], routing)}
    started: dict[str, ProcessIdentity] = {}
    for node in nodes:
        files = MachineFiles(layout.node(node.name).root)
        files.root.mkdir(parents=True, exist_ok=True)
        image = image_of(node, images)
        machine = Machine(image=node.image, identity=image.identity, kernel=image.kernel, initramfs=image.initramfs, disk=image.disk,
                          append=image.append, accelerator=accelerator(), cpus=max(1, math.ceil(node.cpus or 1)),
                          memory_bytes=(node.memory_bytes or DEFAULT_MEMORY_BYTES) >> 20 << 20, nics=nics_of(spec, node.name))
        write_boot(layout, node, spec, routing, image.initramfs, guest_network.script(plans[node.name]))
        if image.disk is not None and not files.disk.exists():
            make_overlay(files.disk, image.disk)
        fd = ram.make(machine.memory_bytes)
        try:
            started[node.name] = launch(layout, node, machine, fd)
        finally:
            os.close(fd)
    for name, identity in started.items():
        await_monitor(layout.node(name), identity)
    return started


def nics_of(spec: Spec, node: str) -> tuple[Nic, ...]:
    return tuple(Nic(interface=member.interface, mac=member.mac) for _, member in spec.memberships(node))


def write_boot(layout: InstanceLayout, node: Node, spec: Spec, routing: Routing, initramfs: Path, network: str) -> None:
    files = node_files.files_of(spec, routing, [node])[node.name]
    boot_archive.write(MachineFiles(layout.node(node.name).root).boot, initramfs, files, network, layout.datastore)


def launch(layout: InstanceLayout, node: Node, machine: Machine, ram_fd: int, *more: str) -> ProcessIdentity:
    """QEMU's process; `await_monitor` says when it listens on all its sockets. more: arguments at the end."""
    files = MachineFiles(layout.node(node.name).root)
    machine = machine.model_copy(update={"ram_fd": ram_fd})
    for stale in files.root.glob("*.sock"):
        stale.unlink()
    write_whole(files.machine, machine.model_dump_json().encode())
    with ExitStack() as joined, files.log.open("ab") as log:
        joins = [joined.enter_context(cgroups.joining(path)) for path in memberships(layout, node)]

        def join_all() -> None:
            for join in joins:
                join()

        process = subprocess.Popen([*command(node.name, machine, files), *more], stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                   cwd=files.root, pass_fds=[ram_fd], start_new_session=True, preexec_fn=join_all)
    return ProcessIdentity.of(process.pid)


def memberships(layout: InstanceLayout, node: Node) -> list[Path]:
    """The node's own cgroup, and those of version 1 that limit it."""
    where = cgroups.hierarchies()
    limited = {limit.cgroup for limit in cgroups.limits_of(layout.root.name, node, where) if not limit.cgroup.is_relative_to(where.unified)}
    return [cgroups.node_cgroup(layout.root.name, node.name), *sorted(limited)]


def await_monitor(node: NodeLayout, identity: ProcessIdentity) -> None:
    """Raises HostProblem with QEMU's own words if it ends instead."""
    files, deadline = MachineFiles(node.root), time.monotonic() + START_S
    while True:
        try:
            Qmp(files.monitor, timeout_s=0.1).close()
            return
        except (NotFound, TimedOut):
            if not identity.alive() or time.monotonic() > deadline:
                said = files.log.read_text(errors="replace").strip()[-500:] or "it says nothing"
                raise HostProblem(f"QEMU does not start: {said}", where=node.name) from None


def machine_of(node: NodeLayout) -> Machine:
    """Raises Corrupt for what cannot be read."""
    try:
        return Machine.model_validate_json(MachineFiles(node.root).machine.read_bytes())
    except (OSError, ValueError) as error:
        raise Corrupt("what the VM is made of cannot be read", where=str(node.root)) from error


def monitor(node: NodeLayout, *, timeout_s: float = 30) -> Qmp:
    """Raises Conflict, NotFound if the machine has ended."""
    if not init_identity(node).alive():
        raise NotFound("the machine has ended", where=node.name)
    return Qmp(MachineFiles(node.root).monitor, timeout_s=timeout_s)


def end_of_console(node: NodeLayout) -> str:
    path = MachineFiles(node.root).console
    return path.read_text(errors="replace").strip()[-500:] if path.exists() else ""
