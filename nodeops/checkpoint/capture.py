"""One consistent cut of an instance on this host, into a local directory. Until it is released, the instance can go on where it is."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from pathlib import Path

from models.errors import Conflict, HostProblem, SwapbedError
from models.protocol.checkpoint import Captured, CheckpointManifest, Life, NodeManifest
from models.settings import settings
from nodeops import daemons
from nodeops.checkpoint import machine_clock, preflight, programs, requirements, shared_memory, timers, vm_nodes
from nodeops.checkpoint.closed_connections import await_acknowledged
from nodeops.checkpoint.copying import copy_tree, how_files_are_copied
from nodeops.checkpoint.cut_off import tell_of_closed, tell_of_outside
from nodeops.checkpoint.dumps import Dumps
from nodeops.checkpoint.giving_up import live_on
from nodeops.checkpoint.hindrances import await_accepted, dumpable
from nodeops.checkpoint.kept_sockets import Looked
from nodeops.checkpoint.node_clock import offset_ns
from nodeops.checkpoint.patience import NEVER, USUAL, Probes, with_probes
from nodeops.checkpoint.preflight import Found
from nodeops.checkpoint.spool import Spool
from nodeops.checkpoint.standing_still import Cut, go_on, stand_still
from nodeops.checkpoint.wires_state import save_wires
from nodeops.conductor.client import ConductorClient
from nodeops.create import Progress
from nodeops.instance import read_spec, the_record
from nodeops.layout import InstanceLayout
from nodeops.reach import init_identity
from nodeops.wall import host_wall_ns
from nodeops.whole_file import write_whole


def capture(layout: InstanceLayout, spool: Spool, life: Life, progress: Progress, *, live: bool = False,
            begin: Path | None = None) -> Captured:
    """The caller holds the instance. When this returns, spool.root is a checkpoint, and the instance stands still: then either
    `go_on_in_place`, or `nodeops.destroy`. live: it goes on as soon as nothing of it has to be read any more. begin: of its run.
    Whatever goes wrong, the instance goes on, and nothing is left in the spool.

    Raises Conflict for what cannot be checkpointed, before anything is stopped; HostProblem.
    """
    record, spec = the_record(layout), read_spec(layout)
    nodes = [node for node in spec.nodes if node.name in record.nodes]
    required = requirements.of_this_host(nodes, record.images)
    if record.state != "ready" or "wires" not in record.daemons:
        raise Conflict("only an instance that stands, and has its wires, can be checkpointed", where=record.instance)
    if ended := daemons.missing(layout, record.daemons):
        raise HostProblem(f"the {ended[0]} of this instance does not run", where=record.instance, next="`swapbed mend` starts it again")
    required = required.model_copy(update={"bases": required.bases | vm_nodes.images_of(layout, record.nodes)})
    standing = preflight.check(layout, nodes)
    files_bytes = sum(shared_memory.used_bytes(layout.node(node)) for node in standing)
    _check_room(standing, files_bytes + vm_nodes.memory_bytes(layout, record.nodes))
    await_accepted(standing)
    spool.root.mkdir(parents=True, mode=0o700)
    names = [node.name for node in nodes]
    later_ns = dict.fromkeys(names, 0)
    try:
        containers = {node.name: init_identity(layout.node(node.name)).pid for node in nodes if node.kind == "container"}
        carried = _copy_what_stays(layout, spool, containers, begin)
        if not live and record.conducted:
            tell_of_outside(layout, spec, nodes)
        with Probes(layout, names) as probes, Dumps(layout, spool, list(containers)) as dumps:
            cut_off = await_acknowledged(containers)
            if not live and record.conducted:
                tell_of_closed(layout, cut_off)
            progress("standing still", 0, len(nodes))
            cut = stand_still(layout, names, partial(probes.set, NEVER))
            wall_ns = host_wall_ns(cut.instant_ns) + record.wall_shift_ns
            steps = Steps(cut.instant_ns)
            steps.done("freeze")
            cut, found, looked = dumpable(layout, nodes, cut)
            later_ns = {node: frozen_ns - cut.instant_ns for node, frozen_ns in cut.frozen_ns.items()}
            _write_nodes(layout, spool, cut, found, looked, carried)
            steps.done("look")
            with ThreadPoolExecutor(1) as beside:
                saving = beside.submit(_save_conductor, layout, spool) if record.conducted else None
                dumped_ns = dumps.write(found, progress)
            if saving is not None:
                saving.result()
            steps.done("dump")
            if vms := vm_nodes.vms_of(layout, names):
                progress("saving machines", 0, len(vms))
                dumped_ns |= vm_nodes.save(layout, {node: spool.node(node) for node in vms})
                later_ns |= machine_clock.date(layout, spool, vms, cut.virtual_ns)
                steps.done("machines")
            frames = save_wires(layout, spool.wires, {node: at - cut.instant_ns for node, at in dumped_ns.items()})
            steps.done("network")
            if live:
                probes.set(USUAL)
                steps.done("go on", go_on(layout, later_ns))
        for node in found:
            timers.put_off(spool.node(node).images, dumped_ns[node] - cut.frozen_ns[node])
        manifest = CheckpointManifest(spec_digest=spec.digest, virtual_ns=cut.virtual_ns, wall_ns=wall_ns, life=life, nodes=tuple(names),
                                      conducted=record.conducted, frames=frames, requirements=required)
        write_whole(spool.manifest, manifest.model_dump_json(indent=1).encode())
    except BaseException:
        with suppress(SwapbedError):  # of which `spooled.give_up` tells, which does it again
            live_on(layout, spool, later_ns)
        shutil.rmtree(spool.root)
        raise
    return Captured(manifest=manifest, stood_ns=steps.all_ns if live else None, steps_ns=steps.taken_ns,
                    copying=how_files_are_copied(spool.root))


class Steps:
    """How long each step took, from the cut's instant on: altogether as long as time, and each node, stood still."""

    def __init__(self, instant_ns: int):
        self._last_ns = instant_ns
        self.taken_ns: dict[str, int] = {}

    def done(self, step: str, at_ns: int | None = None) -> None:
        at_ns = at_ns or time.monotonic_ns()
        self.taken_ns[step], self._last_ns = at_ns - self._last_ns, at_ns

    @property
    def all_ns(self) -> int:
        return sum(self.taken_ns.values())


def go_on_in_place(layout: InstanceLayout, spool: Spool) -> None:
    """The instance lives on where it stood still. Its nodes' clocks show the pause, for the kernel sets no living process's clock back."""
    manifest = spool.read()
    with_probes(layout, manifest.nodes)
    go_on(layout, {node: spool.node(node).read().frozen_after_ns for node in manifest.nodes})


def _copy_what_stays(layout: InstanceLayout, spool: Spool, containers: Iterable[str], begin: Path | None) -> dict[str, dict[str, str]]:
    """What does not change while the instance goes on. Returns each node's `NodeManifest.programs`."""
    shutil.copyfile(layout.spec, spool.spec)
    if begin is not None and begin.exists():
        shutil.copyfile(begin, spool.run)
    copy_tree(layout.datastore, spool.datastore, share=True)
    return programs.save(layout, containers, spool)


def _check_room(found: Mapping[str, Sequence[Found]], beside_bytes: int) -> None:
    """Raises HostProblem if what is to be written would not leave the room that the settings want. beside_bytes: besides processes."""
    page = os.sysconf("SC_PAGE_SIZE")
    resident = sum(_resident_pages(one.pid) for processes in found.values() for one in processes) * page + beside_bytes
    space = os.statvfs(settings().state_dir)
    if (free := space.f_bavail * space.f_frsize) < resident + settings().free_space_bytes:
        raise HostProblem(f"the nodes' memory is {resident >> 20} MiB, and only {free >> 20} MiB of disk are free",
                          where=str(settings().state_dir), next="Make room, or lower free_space_bytes in the settings")


def _resident_pages(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    except (FileNotFoundError, ProcessLookupError):
        return 0


def _save_conductor(layout: InstanceLayout, spool: Spool) -> None:
    spool.conductor.mkdir()
    with ConductorClient(layout) as conductor:
        conductor.save(spool.conductor)


def _write_nodes(layout: InstanceLayout, spool: Spool, cut: Cut, found: Mapping[str, Sequence[Found]], looked: Mapping[str, Looked],
                 carried: Mapping[str, dict[str, str]]) -> None:
    boot_ahead_ns = time.clock_gettime_ns(time.CLOCK_BOOTTIME) - time.monotonic_ns()
    for node, frozen_ns in cut.frozen_ns.items():
        if node not in found:
            manifest = NodeManifest(node=node, frozen_after_ns=frozen_ns - cut.instant_ns, machine=vm_nodes.describe(layout, node))
            spool.node(node).root.mkdir(parents=True)
            spool.node(node).manifest.write_text(manifest.model_dump_json(indent=1))
            continue
        monotonic, boottime = offset_ns(init_identity(layout.node(node)).pid)
        manifest = NodeManifest(node=node, frozen_after_ns=frozen_ns - cut.instant_ns, monotonic_ns=frozen_ns + monotonic,
                                boottime_ns=frozen_ns + boot_ahead_ns + boottime, processes=tuple(one.saved() for one in found[node]),
                                sockets=looked[node].sockets, programs=carried[node])
        spool.node(node).manifest.write_text(manifest.model_dump_json(indent=1))
