"""A checkpoint back to life on this host: namespaces, layers, daemons and processes made anew, all nodes let go at one planned instant.

Until then every restored node is frozen, in the moment at which CRIU would have let it run. A restore that takes longer than was
planned is begun again with more time: nothing has run yet, and the checkpoint is as it was.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from models.errors import Conflict, Corrupt, HostProblem, TimedOut
from models.protocol.checkpoint import Came, CheckpointManifest, NodeManifest, SavedMachine
from models.protocol.host import DAEMONS, Create
from models.routes import Routing
from models.settings import settings
from models.spec import Node
from nodeops import cgroups, daemons, layer, node_files, node_network, outside
from nodeops.checkpoint import congestion, kept_sockets, preflight, programs, requirements, vm_nodes
from nodeops.checkpoint.copying import copy_tree
from nodeops.checkpoint.criu import PIDFILE, READY, Criu, in_turns
from nodeops.checkpoint.node_clock import Keeper
from nodeops.checkpoint.patience import NEVER, USUAL, set_probes
from nodeops.checkpoint.spool import Spool
from nodeops.checkpoint.standing_still import go_on
from nodeops.clock import ClockState
from nodeops.conductor.client import ConductorClient
from nodeops.create import base_of, disk_problem
from nodeops.destroy import clear
from nodeops.identity import ProcessIdentity
from nodeops.instance import InstanceRecord, holding, layout_of, read_record, the_record, write_record
from nodeops.journal import Cgroup, Journal, Process
from nodeops.launch import overlay_options
from nodeops.layout import InstanceLayout
from nodeops.linux import MS_NODEV, mount
from nodeops.masks import hidden_paths, masks
from nodeops.outside_connections import close_all
from nodeops.reach import Inits, read_inits
from nodeops.restart import make_missing_cgroups
from nodeops.wall import host_wall_ns
from nodeops.whole_file import write_whole
from nodeops.wires.client import WiresClient

Progress = Callable[[str, int, int], None]
ATTEMPTS = 3
PLANNED_NS, PLANNED_PER_NODE_NS, PLANNED_PER_BYTE_NS = 250_000_000, 100_000_000, 2
SPARE_NS = 40_000_000  # to tell wires and conductor of the instant
LAST_LOOK_NS = 50_000_000  # before that: whoever died while all waited for the instant is seen, too
DETACH_S = 10.0


@dataclass(frozen=True)
class Restored:
    """late_ns: how much later than planned a node was let go: so much its clocks stepped. waited_ns: from CRIU's beginning with the first
    node until time went on; see `nodeops.checkpoint.patience` for how long that may be. wall_shift_ns: see `nodeops.wall`."""

    late_ns: int
    waited_ns: int
    attempts: int
    wall_shift_ns: int


@dataclass(frozen=True)
class Revival:
    """The parts of one restore. spec, nodes, manifests and programs (node → path → content) are the checkpoint's; wanted says as what it
    comes back."""

    layout: InstanceLayout
    spool: Spool
    checkpoint: CheckpointManifest
    nodes: Sequence[Node]
    manifests: Mapping[str, NodeManifest]
    programs: Mapping[str, Mapping[str, bytes]]
    wanted: Create

    @property
    def containers(self) -> list[Node]:
        return [node for node in self.nodes if node.kind == "container"]

    @property
    def vms(self) -> list[Node]:
        return [node for node in self.nodes if node.kind == "vm"]

    @property
    def machines(self) -> dict[str, SavedMachine]:
        return {name: manifest.machine for name, manifest in self.manifests.items() if manifest.machine is not None}

    @property
    def later_ns(self) -> dict[str, int]:
        return {name: manifest.frozen_after_ns for name, manifest in self.manifests.items()}


def restore(spool: Spool, wanted: Create, progress: Progress, *, next_message: int | None = None, came: Came | None = None) -> Restored:
    """wanted: as what it comes back; its spec must be the checkpoint's. next_message, came: see `models.protocol.conductor.Restore`.

    Whatever goes wrong, nothing of the instance is left on the host, and the checkpoint is as it was. Raises Corrupt and HostProblem
    before anything is made if it can be known then.
    """
    layout = layout_of(wanted.instance)
    revival = _examine(layout, spool, wanted)
    layout.root.mkdir(parents=True, exist_ok=True, mode=0o700)
    with holding(layout, wanted.fence):
        record = read_record(layout)
        if record is not None and record.state == "ready":
            raise Conflict("the instance stands on this host", where=wanted.instance, next="Swap it out first, or restore under a new id")
        clear(layout)
        try:
            return _revive(revival, next_message, came, progress)
        except BaseException as error:
            clear(layout, entirely=True)
            if isinstance(error, OSError):
                raise disk_problem(error) from error
            raise


def examine(spool: Spool, wanted: Create) -> None:
    """Raises Corrupt or HostProblem where `restore` would before it makes anything."""
    _examine(layout_of(wanted.instance), spool, wanted)


def _examine(layout: InstanceLayout, spool: Spool, wanted: Create) -> Revival:
    checkpoint, spec = spool.read(), spool.read_spec()
    if spec.digest != checkpoint.spec_digest or wanted.spec.digest != checkpoint.spec_digest:
        raise Corrupt("the checkpoint is not of this spec", where=str(spool.root))
    nodes = [node for node in spec.nodes if node.name in checkpoint.nodes]
    manifests = {name: spool.node(name).read() for name in checkpoint.nodes}
    with_disk = {node.image for node in nodes if (machine := manifests[node.name].machine) is not None and machine.disk}
    requirements.check(checkpoint.requirements, requirements.of_this_host(nodes, wanted.images), wanted.instance,
                       diskless={node.image for node in nodes if node.kind == "vm"} - with_disk)
    for name in checkpoint.nodes:
        if (machine := manifests[name].machine) is not None:
            vm_nodes.check(spool.node(name), machine)
            continue
        for part in (spool.node(name).images / "inventory.img", spool.node(name).upper):
            if not part.exists():
                raise Corrupt("the checkpoint lacks this part of a node", where=str(part))
    return Revival(layout, spool, checkpoint, nodes, manifests, programs.load(spool, manifests), wanted)


def _revive(revival: Revival, next_message: int | None, came: Came | None, progress: Progress) -> Restored:
    layout, wanted, nodes = revival.layout, revival.wanted, revival.nodes
    daemons_wanted = DAEMONS if revival.checkpoint.conducted else DAEMONS[:1]
    record = InstanceRecord(instance=wanted.instance, name=wanted.name, project=wanted.project, state="creating", fence=wanted.fence,
                            created_at=datetime.now(UTC), spec_digest=wanted.spec.digest, nodes=revival.checkpoint.nodes,
                            images=wanted.images, daemons=daemons_wanted)
    write_record(layout, record)
    layout.spec.write_text(wanted.spec.model_dump_json())
    journal = Journal(layout.journal)
    layout.layer.mkdir()
    layout.datastore.parent.mkdir(parents=True)
    copy_tree(revival.spool.datastore, layout.datastore, share=True)
    make_missing_cgroups(layout, journal, nodes)
    state = ClockState(origin_ns=0, frozen_ns=revival.checkpoint.virtual_ns)
    write_whole(layout.clock, state.model_dump_json().encode())
    for daemon in daemons_wanted:
        daemons.begin(layout, daemon)
    for daemon in daemons_wanted:
        daemons.await_ready(layout, daemon)
    if revival.checkpoint.conducted:
        with ConductorClient(layout) as conductor:
            conductor.restore(revival.spool.conductor, next_message, came)
    machines = vm_nodes.bring_back(layout, wanted.spec, revival.vms, {name: revival.spool.node(name) for name in revival.machines},
                                   revival.machines, wanted.images)
    journal.made(Process(role=f"init {name}", identity=identity) for name, identity in machines.items())
    restored = _bring_back(revival, journal, machines, progress)
    write_record(layout, record.model_copy(update={"state": "ready", "wall_shift_ns": restored.wall_shift_ns}))
    return restored


def _bring_back(revival: Revival, journal: Journal, machines: dict[str, ProcessIdentity], progress: Progress) -> Restored:
    """machines: those of VMs, which wait."""
    planned_ns = PLANNED_NS + PLANNED_PER_NODE_NS * len(revival.containers) + PLANNED_PER_BYTE_NS * sum(
        file.stat().st_size for node in revival.containers for file in revival.spool.node(node.name).images.iterdir())
    attempts = 0
    while True:
        attempts += 1
        _prepare_files(revival)
        began_ns = time.monotonic_ns()
        start_ns = began_ns + planned_ns
        wall_ns = revival.checkpoint.wall_ns
        shift_ns = 0 if wall_ns is None else wall_ns - host_wall_ns(start_ns)
        first_ns = _restore_frozen(revival, journal, machines, start_ns, shift_ns, progress)
        time.sleep(max(0, start_ns - SPARE_NS - LAST_LOOK_NS - time.monotonic_ns()) / 1e9)
        _must_be_whole(revival.layout)
        if time.monotonic_ns() < start_ns - SPARE_NS or attempts == ATTEMPTS:
            late_ns = go_on(revival.layout, revival.later_ns, start_ns)
            return Restored(late_ns, start_ns - first_ns, attempts, shift_ns)
        planned_ns = (time.monotonic_ns() - began_ns) * 5 // 4 + SPARE_NS
        _end_nodes(revival, journal)


def _must_be_whole(layout: InstanceLayout) -> None:
    """As long as nothing has run, a node that has died can be had again from the checkpoint. Raises HostProblem."""
    if dead := sorted(name for name, identity in read_inits(layout).items() if not identity.alive()):
        raise HostProblem("the node died while it was brought back", where=dead[0], next="Try again; the checkpoint is as it was")
    if ended := daemons.missing(layout, the_record(layout).daemons):
        raise HostProblem(f"the {ended[0]} died while the nodes were brought back", where=layout.root.name,
                          next="Try again; the checkpoint is as it was")


def _prepare_files(revival: Revival) -> None:
    """Every node's upper layer is the checkpoint's; the wires hold what they held."""
    for node in revival.containers:
        at = revival.layout.node(node.name)
        at.upper.parent.mkdir(exist_ok=True)
        at.work.parent.mkdir(exist_ok=True)
        copy_tree(revival.spool.node(node.name).upper, at.upper)
        at.work.mkdir()
    with WiresClient(revival.layout) as wires:
        wires.restore(revival.spool.wires)


def _restore_frozen(revival: Revival, journal: Journal, machines: dict[str, ProcessIdentity], start_ns: int, shift_ns: int,
                    progress: Progress) -> int:
    """The nodes' processes are there and the wires hold their devices; nothing has run. For time to go on at start_ns, with a wall clock
    that is shifted by shift_ns.

    Returns when CRIU began with the first.
    """
    layout, names = revival.layout, [node.name for node in revival.containers]
    routing = Routing(revival.wanted.spec)
    node_network.make_room_for_neighbours(revival.wanted.spec)
    networks = node_network.build(node_network.plan(revival.wanted.spec, names, routing))
    keepers: dict[str, Keeper] = {}
    try:
        boot_ahead_ns = time.clock_gettime_ns(time.CLOCK_BOOTTIME) - time.monotonic_ns()
        for name, manifest in ((name, revival.manifests[name]) for name in names):
            let_go_ns = start_ns + manifest.frozen_after_ns
            keepers[name] = Keeper(layout.root.name, networks[name], manifest.monotonic_ns - let_go_ns,
                                   manifest.boottime_ns - let_go_ns - boot_ahead_ns)
        _attach_wires(revival, {name: keeper.identity for name, keeper in keepers.items()} | machines)
        outsiders = [node.name for node in revival.nodes if node.outside]
        for name in outsiders:
            outside.plug(layout.node(name), revival.wanted.spec)
        set_probes(networks.values(), NEVER)
        first_ns = time.monotonic_ns()
        with congestion.plain(networks.values()):
            restored = _run_criu(revival, routing, networks, keepers, start_ns, shift_ns, progress)
        for name in outsiders:
            close_all(networks[name], revival.wanted.spec)
        set_probes(networks.values(), USUAL)
    finally:
        for keeper in keepers.values():
            keeper.end()
        for network in networks.values():
            os.close(network)
    journal.made(Process(role=f"init {name}", identity=identity) for name, identity in restored.items())
    _attach_wires(revival, restored | machines)
    return first_ns


def _attach_wires(revival: Revival, holders: Mapping[str, ProcessIdentity]) -> None:
    """They find each node's devices by the process named. Those of holders that have ended are let go first, what they sent is kept.

    A VM's interfaces stay once they are attached.
    """
    layout, spec, deadline = revival.layout, revival.wanted.spec, time.monotonic() + DETACH_S
    staying = sum(1 for node in revival.vms for _ in spec.memberships(node.name))
    with WiresClient(layout) as wires:
        while len((hello := wires.hello()).detached) < hello.members - staying:
            if time.monotonic() > deadline:
                raise TimedOut("the wires do not let go of devices that have ended", where=layout.root.name)
            time.sleep(0.002)
        write_whole(layout.inits, Inits(nodes=dict(holders)).model_dump_json().encode())
        wires.reload()


def _run_criu(revival: Revival, routing: Routing, networks: Mapping[str, int], keepers: Mapping[str, Keeper], start_ns: int,
              shift_ns: int, progress: Progress) -> dict[str, ProcessIdentity]:
    restored: dict[str, ProcessIdentity] = {}
    bases = {node.name: base_of(node, revival.wanted.images) for node in revival.containers}
    for base in dict.fromkeys(bases.values()):
        nodes = [node for node in revival.containers if bases[node.name] == base]
        hidden = masks(hidden_paths(settings())) if base == Path("/") else []
        files = {name: dict(own) | dict(revival.programs[name])
                 for name, own in node_files.files_of(revival.wanted.spec, routing, nodes).items()}
        with layer.mounted(revival.layout, base, hidden, files, shift_ns) as layers:
            roots = {node.name: _mount_root(revival.layout, layers, node.name) for node in nodes}
            for name, identity in _restore_on(revival, nodes, roots, networks, keepers, start_ns).items():
                restored[name] = identity
                progress("restored", len(restored), len(revival.containers))
    return restored


def _mount_root(layout: InstanceLayout, layers: layer.Layers, node: str) -> Path:
    root = layers.mount_point.with_name("roots") / node
    root.mkdir(parents=True)
    mount("overlay", root, "overlay", MS_NODEV, overlay_options(layout.node(node), layers.of(node)))
    return root


def _restore_on(revival: Revival, nodes: Sequence[Node], roots: Mapping[str, Path], networks: Mapping[str, int],
                keepers: Mapping[str, Keeper], start_ns: int) -> dict[str, ProcessIdentity]:
    """CRIU's children are born in the node's cgroups; it leaves them before they are frozen."""
    layout, restored = revival.layout, dict[str, ProcessIdentity]()
    by_name = {node.name: node for node in nodes}

    def begin(name: str) -> Criu:
        arguments = ("restore", "-d", "--root", roots[name], "--inherit-fd", f"fd[{networks[name]}]:net", "--pidfile", PIDFILE,
                     "--join-ns", f"time:{keepers[name].time_namespace}")
        with ExitStack() as joined:
            joins = [joined.enter_context(cgroups.joining(path)) for path in _memberships(layout, by_name[name])]

            def join_all() -> None:
                for join in joins:
                    join()

            stands_ns = max(0, start_ns + revival.later_ns[name] - time.monotonic_ns())
            return Criu(name, revival.spool.node(name), READY, arguments, pass_fds=[networks[name]], before=join_all, put_off_ns=stands_ns)

    def at_gate(name: str, criu: Criu, script: int) -> None:
        for cgroup in [cgroups.daemon_cgroup(layout.root.name, cgroups.HELPERS), *_outer(layout, by_name[name])]:
            for pid in (criu.process.pid, script):
                (cgroup / "cgroup.procs").write_text(str(pid))
        (cgroups.node_cgroup(layout.root.name, name) / "cgroup.freeze").write_text("1")

    def finished(name: str, pid: int | None) -> None:
        if pid is None:
            raise Corrupt("CRIU does not say which process it restored", where=name)
        cgroups.freeze(cgroups.node_cgroup(layout.root.name, name), True)
        restored[name] = ProcessIdentity.of(pid)
        kept_sockets.bring_back(preflight.processes(layout, name), revival.manifests[name].sockets, start_ns, name)

    in_turns([node.name for node in nodes], begin, at_gate, finished)
    return restored


def _memberships(layout: InstanceLayout, node: Node) -> list[Path]:
    where = cgroups.hierarchies()
    limited = {limit.cgroup for limit in cgroups.limits_of(layout.root.name, node, where) if not limit.cgroup.is_relative_to(where.unified)}
    return [cgroups.node_cgroup(layout.root.name, node.name), *sorted(limited)]


def _outer(layout: InstanceLayout, node: Node) -> list[Path]:
    """Where whoever was in a limited cgroup of version 1 goes: the root of that hierarchy."""
    return [path.parents[2] for path in _memberships(layout, node)[1:]]


def _end_nodes(revival: Revival, journal: Journal) -> None:
    """For another attempt: their cgroups are new ones, since in one that was killed whole no process can be born on some kernels."""
    paths = {str(cgroups.node_cgroup(revival.layout.root.name, node.name)) for node in revival.containers}
    for cgroup in [each for each in journal.standing() if isinstance(each, Cgroup) and each.path in paths]:
        cgroups.kill(cgroup)
        cgroups.remove([cgroup])
    make_missing_cgroups(revival.layout, journal, revival.nodes)
    for node in revival.containers:
        outside.unplug(revival.layout.node(node.name))
        for path in (revival.layout.node(node.name).upper, revival.layout.node(node.name).work):
            shutil.rmtree(path)
