"""One consistent cut of an instance on this host, into a local directory. Until it is released, the instance can go on where it is."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from models.errors import Conflict, HostProblem, SwapbedError
from models.protocol.checkpoint import Captured, CheckpointManifest, Life, NodeManifest
from models.settings import settings
from models.spec import Node
from nodeops import cgroups, daemons
from nodeops.checkpoint import machine_clock, preflight, programs, requirements, timers, vm_nodes
from nodeops.checkpoint.closed_connections import await_acknowledged
from nodeops.checkpoint.copying import copy_tree, how_files_are_copied
from nodeops.checkpoint.criu import DUMPED, Criu, in_turns
from nodeops.checkpoint.cut_off import tell_of_closed, tell_of_outside
from nodeops.checkpoint.hindrances import await_accepted, dumpable
from nodeops.checkpoint.kept_sockets import Looked
from nodeops.checkpoint.node_clock import offset_ns
from nodeops.checkpoint.patience import with_probes, without_probes
from nodeops.checkpoint.preflight import Found
from nodeops.checkpoint.repaired_sockets import heal
from nodeops.checkpoint.spool import Spool
from nodeops.checkpoint.standing_still import Cut, go_on, stand_still
from nodeops.checkpoint.wires_state import save_wires
from nodeops.conductor.client import ConductorClient
from nodeops.create import Progress
from nodeops.instance import read_spec, the_record
from nodeops.layout import InstanceLayout
from nodeops.reach import init_identity, open_network
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
    _check_room(standing, vm_nodes.memory_bytes(layout, record.nodes))
    await_accepted(standing)
    spool.root.mkdir(parents=True, mode=0o700)
    names = [node.name for node in nodes]
    later_ns = dict.fromkeys(names, 0)
    try:
        shutil.copyfile(layout.spec, spool.spec)
        if begin is not None and begin.exists():
            shutil.copyfile(begin, spool.run)
        copy_tree(layout.datastore, spool.datastore, share=True)
        carried = programs.save(layout, [node.name for node in nodes if node.kind == "container"], spool)
        if not live and "conductor" in record.daemons:
            tell_of_outside(layout, spec, nodes)
        containers = {node.name: init_identity(layout.node(node.name)).pid for node in nodes if node.kind == "container"}
        cut_off = await_acknowledged(containers)
        if not live and "conductor" in record.daemons:
            tell_of_closed(layout, cut_off)
        progress("standing still", 0, len(names))
        without_probes(layout, names)
        cut = stand_still(layout, names)
        wall_ns = host_wall_ns(cut.instant_ns) + record.wall_shift_ns
        steps = Steps(cut.instant_ns)
        steps.done("freeze")
        cut, found, looked = dumpable(layout, nodes, cut)
        later_ns = {node: frozen_ns - cut.instant_ns for node, frozen_ns in cut.frozen_ns.items()}
        _write_nodes(layout, spool, cut, found, looked, carried)
        steps.done("look")
        dumped_ns = _dump(layout, spool, [node for node in nodes if node.name in found], found, progress)
        steps.done("dump")
        if vms := vm_nodes.vms_of(layout, names):
            progress("saving machines", 0, len(vms))
            dumped_ns |= vm_nodes.save(layout, {node: spool.node(node) for node in vms})
            later_ns |= machine_clock.date(layout, spool, vms, cut.virtual_ns)
            steps.done("machines")
        frames = save_wires(layout, spool.wires, {node: at - cut.instant_ns for node, at in dumped_ns.items()})
        if "conductor" in record.daemons:
            _save_conductor(layout, spool)
        steps.done("network and events")
        if live:
            with_probes(layout, names)
            go_on(layout, later_ns)
            steps.done("go on")
        for node in found:
            timers.put_off(spool.node(node).images, dumped_ns[node] - cut.frozen_ns[node])
        manifest = CheckpointManifest(spec_digest=spec.digest, virtual_ns=cut.virtual_ns, wall_ns=wall_ns, life=life, nodes=tuple(names),
                                      conducted="conductor" in record.daemons, frames=frames, requirements=required)
        write_whole(spool.manifest, manifest.model_dump_json(indent=1).encode())
    except BaseException:
        with suppress(SwapbedError):  # of which `spooled.give_up` tells, which does it again
            heal(layout, later_ns)
            with_probes(layout, names)
            go_on(layout, later_ns)
        shutil.rmtree(spool.root)
        raise
    return Captured(manifest=manifest, stood_ns=steps.all_ns if live else None, steps_ns=steps.taken_ns,
                    copying=how_files_are_copied(spool.root))


class Steps:
    """How long each step took, from the cut's instant on."""

    def __init__(self, instant_ns: int):
        self._last_ns = instant_ns
        self.taken_ns: dict[str, int] = {}

    def done(self, step: str) -> None:
        now_ns = time.monotonic_ns()
        self.taken_ns[step], self._last_ns = now_ns - self._last_ns, now_ns

    @property
    def all_ns(self) -> int:
        return sum(self.taken_ns.values())


def go_on_in_place(layout: InstanceLayout, spool: Spool) -> None:
    """The instance lives on where it stood still. Its nodes' clocks show the pause, for the kernel sets no living process's clock back."""
    manifest = spool.read()
    with_probes(layout, manifest.nodes)
    go_on(layout, {node: spool.node(node).read().frozen_after_ns for node in manifest.nodes})


def _check_room(found: Mapping[str, Sequence[Found]], machines_bytes: int) -> None:
    """Raises HostProblem if what is about to be written would not leave the room that the settings want."""
    page = os.sysconf("SC_PAGE_SIZE")
    resident = sum(_resident_pages(one.pid) for processes in found.values() for one in processes) * page + machines_bytes
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
        spool.node(node).images.mkdir(parents=True)
        spool.node(node).manifest.write_text(manifest.model_dump_json(indent=1))


def _spared() -> None:
    """Who is short of memory shall kill somebody else: a dump that is killed may harm what it was about to dump (proc(5))."""
    with suppress(PermissionError):
        Path("/proc/self/oom_score_adj").write_text("-1000")


def _dump(layout: InstanceLayout, spool: Spool, nodes: Sequence[Node], found: Mapping[str, Sequence[Found]],
          progress: Progress) -> dict[str, int]:
    """Node → instant of this host's CLOCK_MONOTONIC at which its sockets were still held by CRIU, and all else was written."""
    networks: dict[str, int] = {}
    dumped_ns: dict[str, int] = {}

    def begin(node: str) -> Criu:
        networks[node] = open_network(layout.node(node))
        arguments = ("dump", "-t", str(init_identity(layout.node(node)).pid), "--leave-running", "--external",
                     f"net[{os.fstat(networks[node]).st_ino}]:net", "--freeze-cgroup", cgroups.node_cgroup(layout.root.name, node))
        return Criu(node, spool.node(node), DUMPED, arguments, before=_spared)

    def at_gate(node: str, _criu: Criu, _pid: int) -> None:
        """Names that CRIU gave to nameless files are there only until it goes on; then it lets go of the sockets, too."""
        dumped_ns[node] = time.monotonic_ns()
        copy_tree(layout.node(node).upper, spool.node(node).upper)

    def finished(node: str, _pid: int | None) -> None:
        if missing := preflight.left_out(found[node], spool.node(node).images):
            raise Conflict(f"{missing[0].name} ({missing[0].inner}) was left out of the dump", where=node)
        progress("dumped", len(dumped_ns), len(nodes))

    try:
        in_turns([node.name for node in nodes], begin, at_gate, finished)
    finally:
        for network in networks.values():
            os.close(network)
    return dumped_ns
