"""VMs in a checkpoint: stopped and let go at dated instants, their devices, RAM and disk saved and brought back.

A machine's clocks are QEMU's virtual clock, which stands still from `stop` to `cont` (`-rtc clock=vm`), so nothing has to be set, and a
machine that was brought back waits as long as it must.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from functools import partial
from pathlib import Path

from models.errors import Conflict, Corrupt, HostProblem, NotFound, SwapbedError
from models.protocol.checkpoint import SavedMachine
from models.routes import Routing
from models.spec import Node, Spec
from nodeops.checkpoint.copying import copy_tree
from nodeops.checkpoint.spool import NodeSpool
from nodeops.identity import ProcessIdentity
from nodeops.layout import InstanceLayout
from nodeops.node_network import plan
from nodeops.reach import init_identity
from nodeops.vm import machines, ports, ram
from nodeops.vm.guest_network import script
from nodeops.vm.machine import QEMU, Machine, MachineFiles
from nodeops.vm.qmp import Qmp

PARALLEL = 2


def vms_of(layout: InstanceLayout, nodes: Sequence[str]) -> list[str]:
    return [node for node in nodes if ports.is_vm(layout.node(node).root)]


def qemu_version() -> str:
    """Raises HostProblem without QEMU."""
    try:
        return subprocess.run([QEMU, "--version"], capture_output=True, text=True, check=True).stdout.splitlines()[0]
    except (OSError, subprocess.CalledProcessError, IndexError) as error:
        raise HostProblem("QEMU is not installed", next="apt-get install qemu-system-x86 qemu-utils") from error


def memory_bytes(layout: InstanceLayout, nodes: Sequence[str]) -> int:
    """What their RAM may take on disk at most."""
    return sum(machines.machine_of(layout.node(node)).memory_bytes for node in vms_of(layout, nodes))


def images_of(layout: InstanceLayout, nodes: Sequence[str]) -> dict[str, str]:
    """As `Requirements.bases` has them, of the images that the machines were started with, whatever has become of those since."""
    found = [machines.machine_of(layout.node(node)) for node in vms_of(layout, nodes)]
    return {f"vm:{machine.image}": machine.identity for machine in found}


class Monitors:
    """Connections to the machines of an instance, opened before the instant that matters. Use it in a `with`. gone: machines that ended."""

    def __init__(self, layout: InstanceLayout, nodes: Sequence[str]):
        self._stack = ExitStack()
        self._open: dict[str, Qmp] = {}
        self.gone: list[str] = []
        for node in vms_of(layout, nodes):
            try:
                self._open[node] = self._stack.enter_context(machines.monitor(layout.node(node)))
                _end_migration(self._open[node])
            except NotFound:
                self.gone.append(node)

    def stop(self) -> dict[str, int]:
        """Node → instant of CLOCK_MONOTONIC at which its clock stood still. Raises Conflict for a machine that has ended."""
        if self.gone:
            raise Conflict("the node is dead: its machine has ended", where=self.gone[0])
        with ThreadPoolExecutor(max(1, len(self._open))) as side_by_side:
            return dict(zip(self._open, side_by_side.map(_stop, self._open.values()), strict=True))

    def to_let_go(self, instants: Mapping[str, int]) -> list[tuple[int, Callable[[], None]]]:
        """What is to be done for each at its instant, `confirm` afterwards; those that run are left as they are.

        Whose QEMU has died meanwhile is gone: that keeps no other from going on.
        """
        return [(instants[node], partial(self._unless_gone, node, qmp.post)) for node, qmp in self._open.items()]

    def confirm(self) -> None:
        """Raises HostProblem for one that does not run."""
        for node, qmp in self._open.items():
            if node not in self.gone:
                self._unless_gone(node, qmp.answer)

    def _unless_gone(self, node: str, ask: Callable[[str], object]) -> None:
        try:
            ask("cont")
        except NotFound:
            self.gone.append(node)

    def __enter__(self) -> Monitors:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()


def save(layout: InstanceLayout, spools: Mapping[str, NodeSpool]) -> dict[str, int]:
    """Of machines that stand still. Node → instant after which nothing more of what it sent can arrive."""

    def one(node: str) -> int:
        at, spool = layout.node(node), spools[node]
        identity, machine = init_identity(at), machines.machine_of(at)
        spool.vm.mkdir(parents=True)
        with machines.monitor(at) as qmp:
            qmp.save_device_state(spool.devices)
        ram.save(identity, machine.ram_fd, spool.ram)
        if machine.disk is not None:
            copy_tree(MachineFiles(at.root).disk, spool.disk)
        return time.monotonic_ns()

    with ThreadPoolExecutor(PARALLEL) as side_by_side:
        return dict(zip(spools, side_by_side.map(one, spools), strict=True))


def describe(layout: InstanceLayout, node: str) -> SavedMachine:
    machine = machines.machine_of(layout.node(node))
    return SavedMachine(memory_bytes=machine.memory_bytes, cpus=machine.cpus, accelerator=machine.accelerator,
                        disk=machine.disk is not None)


def check(spool: NodeSpool, saved: SavedMachine) -> None:
    """Raises Corrupt for a part that is missing or of the wrong size, before anything is made."""
    for part in (spool.devices, spool.ram, *([spool.disk] if saved.disk else [])):
        if not part.exists():
            raise Corrupt("the checkpoint lacks this part of a node", where=str(part))
    if spool.ram.stat().st_size != saved.memory_bytes:
        raise Corrupt("the saved RAM is of another size than the machine's", where=str(spool.ram))


def bring_back(layout: InstanceLayout, spec: Spec, nodes: Sequence[Node], spools: Mapping[str, NodeSpool],
               saved: Mapping[str, SavedMachine], images: Mapping[str, str]) -> dict[str, ProcessIdentity]:
    """Every machine is there, and stands still. Raises HostProblem, Corrupt."""
    routing = Routing(spec)
    plans = {each.node: each for each in plan(spec, [node.name for node in nodes], routing)}

    def one(node: Node) -> ProcessIdentity:
        files, spool, was = MachineFiles(layout.node(node.name).root), spools[node.name], saved[node.name]
        files.root.mkdir(parents=True, exist_ok=True)
        image = machines.image_of(node, images)
        if was.disk:
            copy_tree(spool.disk, files.disk)
        machine = Machine(image=node.image, identity=image.identity, kernel=image.kernel, initramfs=image.initramfs,
                          disk=image.disk if was.disk else None, append=image.append, accelerator=was.accelerator,
                          memory_bytes=was.memory_bytes, cpus=was.cpus, nics=machines.nics_of(spec, node.name), ahead_ns=was.ahead_ns)
        machines.write_boot(layout, node, spec, routing, image.initramfs, script(plans[node.name]))
        fd = ram.make(machine.memory_bytes)
        try:
            ram.fill(fd, spool.ram)
            identity = machines.launch(layout, node, machine, fd, "-incoming", "defer")
        finally:
            os.close(fd)
        machines.await_monitor(layout.node(node.name), identity)
        _load(files.monitor, files.log, spool.devices, node.name)
        return identity

    with ThreadPoolExecutor(PARALLEL) as side_by_side:
        return {node.name: identity for node, identity in zip(nodes, side_by_side.map(one, nodes), strict=True)}


def forget(layout: InstanceLayout, node: str) -> None:
    shutil.rmtree(layout.node(node).root, ignore_errors=True)


def _load(monitor: Path, log: Path, devices: Path, node: str) -> None:
    try:
        with Qmp(monitor) as qmp:
            qmp.load_device_state(devices)
    except SwapbedError as error:
        said = log.read_text(errors="replace").strip()[-300:] if log.exists() else ""
        raise Corrupt(f"QEMU does not take the machine's devices back: {said or error.what}", where=node) from error


def _stop(qmp: Qmp) -> int:
    """Dated when QEMU is asked: it stops the clock first, and starts it last when it is let go."""
    asked_ns = time.monotonic_ns()
    qmp.execute("stop")
    return asked_ns


def _end_migration(qmp: Qmp) -> None:
    """Whoever began one has died in the middle of it."""
    if qmp.execute("query-migrate").get("status") in ("setup", "active", "device", "pre-switchover"):
        with suppress(HostProblem):
            qmp.execute("migrate_cancel")
