"""A checkpoint back to life on this host: namespaces, layers, daemons and processes made anew, all nodes let go at one planned instant.

Until then every restored node is frozen, in the moment at which CRIU would have let it run. A restore that takes longer than was
planned is begun again with more time: nothing has run yet, and the checkpoint is as it was.
"""

from __future__ import annotations

import shutil
import time
from dataclasses import dataclass
from datetime import UTC, datetime

from models.errors import Conflict, Corrupt, HostProblem
from models.protocol.checkpoint import Came
from models.protocol.host import DAEMONS, Create
from nodeops import cgroups, daemons, outside
from nodeops.checkpoint import pace, programs, requirements, vm_nodes
from nodeops.checkpoint.copying import copy_tree, copy_trees
from nodeops.checkpoint.frozen_nodes import restore_frozen
from nodeops.checkpoint.revival import Revival
from nodeops.checkpoint.spool import Spool
from nodeops.checkpoint.standing_still import go_on
from nodeops.clock import ClockState
from nodeops.conductor.client import ConductorClient
from nodeops.create import Progress, disk_problem
from nodeops.destroy import clear
from nodeops.identity import ProcessIdentity
from nodeops.instance import InstanceRecord, holding, layout_of, read_record, the_record, write_record
from nodeops.journal import Cgroup, Journal, Process
from nodeops.layout import InstanceLayout
from nodeops.reach import read_inits
from nodeops.restart import make_missing_cgroups
from nodeops.room import make_room
from nodeops.wall import host_wall_ns
from nodeops.whole_file import write_whole
from nodeops.wires.client import WiresClient

ATTEMPTS = 3
SPARE_NS = 40_000_000  # to tell wires and conductor of the instant
LAST_LOOK_NS = 50_000_000  # before that: whoever died while all waited for the instant is seen, too


@dataclass(frozen=True)
class Restored:
    """late_ns: how much later than planned a node was let go: so much its clocks stepped. waited_ns: from CRIU's beginning with the first
    node until time went on; see `nodeops.checkpoint.patience` for how long that may be. wall_shift_ns: see `nodeops.wall`."""

    late_ns: int
    waited_ns: int
    attempts: int
    wall_shift_ns: int


def restore(spool: Spool, wanted: Create, progress: Progress, *, next_message: int | None = None, came: Came | None = None) -> Restored:
    """wanted: as what it comes back; its spec must be the checkpoint's. next_message, came: see `models.protocol.conductor.Restore`.

    Whatever goes wrong, nothing of the instance is left on the host, and the checkpoint is as it was. Raises Corrupt and HostProblem
    before anything is made if it can be known then.
    """
    layout = layout_of(wanted.instance)
    revival = _examine(layout, spool, wanted)
    make_room(layout.root.parent)
    layout.root.mkdir(exist_ok=True, mode=0o700)
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
    size_bytes = sum(revival.spool.node(node.name).memory_bytes() for node in revival.containers)
    planned_ns = pace.planned_ns(len(revival.containers), size_bytes) + SPARE_NS + LAST_LOOK_NS
    attempts = 0
    while True:
        attempts += 1
        _prepare_files(revival)
        began_ns = time.monotonic_ns()
        start_ns = began_ns + planned_ns
        wall_ns = revival.checkpoint.wall_ns
        shift_ns = 0 if wall_ns is None else wall_ns - host_wall_ns(start_ns)
        first_ns = restore_frozen(revival, journal, machines, start_ns, shift_ns, progress)
        took_ns = time.monotonic_ns() - began_ns
        time.sleep(max(0, start_ns - SPARE_NS - LAST_LOOK_NS - time.monotonic_ns()) / 1e9)
        _must_be_whole(revival.layout)
        if time.monotonic_ns() < start_ns - SPARE_NS or attempts == ATTEMPTS:
            late_ns = go_on(revival.layout, revival.later_ns, start_ns) - start_ns
            pace.remember(len(revival.containers), size_bytes, took_ns)
            return Restored(late_ns, start_ns + late_ns - first_ns, attempts, shift_ns)
        planned_ns = took_ns * 5 // 4 + SPARE_NS + LAST_LOOK_NS
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
        at.work.mkdir(parents=True)
    copy_trees({revival.spool.node(node.name).upper: revival.layout.node(node.name).upper for node in revival.containers})
    with WiresClient(revival.layout) as wires:
        wires.restore(revival.spool.wires)


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
