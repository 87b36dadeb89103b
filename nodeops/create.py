"""Making an instance's share on this host: from nothing, or from whatever an earlier attempt left, to every init answering."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

from models.errors import Conflict, HostProblem, InvalidInput, NotFound, SwapbedError, TimedOut
from models.protocol.host import Create
from models.routes import Routing
from models.settings import settings
from models.spec import Node, Spec
from nodeops import cgroups, daemons, furnish, layer, node_files, node_network, outside, upper_layers
from nodeops.clock import VirtualClock
from nodeops.destroy import clear
from nodeops.identity import ProcessIdentity
from nodeops.init.client import InitClient
from nodeops.instance import InstanceRecord, holding, layout_of, read_record, the_record, write_record
from nodeops.journal import Cgroup, Journal, Process
from nodeops.launch import NodeJob, launch
from nodeops.layout import InstanceLayout
from nodeops.masks import hidden_paths, masks
from nodeops.reach import Inits, init_socket, read_inits
from nodeops.room import make_room
from nodeops.vm import machines, ports
from nodeops.whole_file import write_whole

ANSWER_S = 30.0
BOOT_S = 240.0  # of all VMs together; a guest may have to share a processor with many, without KVM
Progress = Callable[[str, int, int], None]


def create(wanted: Create, progress: Progress) -> InstanceLayout:
    """Idempotent: one that stands as wanted is left alone, one that an earlier attempt left unfinished is cleared and made anew.

    Whatever goes wrong, nothing of the instance is left. progress: what, done, total.
    """
    layout = layout_of(wanted.instance)
    nodes = chosen_nodes(wanted)
    check_host(wanted, nodes)
    try:
        make_room(layout.root.parent)
        upper_layers.check(settings().state_dir)
        layout.root.mkdir(exist_ok=True, mode=0o700)
    except OSError as error:
        raise disk_problem(error) from error
    with holding(layout, wanted.fence):
        record = read_record(layout)
        if record is not None and record.state == "ready":
            if record.spec_digest == wanted.spec.digest and record.nodes == tuple(node.name for node in nodes):
                return layout
            raise Conflict("the instance stands already, with another spec", where=wanted.instance)
        clear(layout)
        try:
            _make(layout, wanted, nodes, progress)
        except BaseException as error:
            clear(layout, entirely=True)
            if isinstance(error, OSError):
                raise disk_problem(error) from error
            raise
    return layout


def chosen_nodes(wanted: Create) -> list[Node]:
    """The spec's nodes that are placed here. Raises InvalidInput for what this host cannot make."""
    names = {node.name for node in wanted.spec.nodes}
    if wanted.nodes is not None and (unknown := set(wanted.nodes) - names):
        raise InvalidInput(f"there is no node '{min(unknown)}' in the spec", where=wanted.instance)
    return [node for node in wanted.spec.nodes if wanted.nodes is None or node.name in wanted.nodes]


def base_of(node: Node, images: dict[str, str]) -> Path:
    """The directory with a node's root file system. Raises NotFound."""
    if node.image == "host":
        return Path("/")
    path = Path(images.get(node.image, node.image))
    if not path.is_absolute() or not path.is_dir():
        raise NotFound(f"no image '{node.image}' on this host", where=node.name,
                       next="See `swapbed image`, or name a directory by its full path")
    return path


def check_host(wanted: Create, nodes: Sequence[Node]) -> None:
    """Raises what keeps this host from making them, before anything is made."""
    if os.geteuid() != 0:
        raise HostProblem("nodes can only be made by root", next="Run as root")
    if wanted.datastore is not None and not Path(wanted.datastore).is_dir():
        raise NotFound("the datastore is not there", where=wanted.datastore)
    for node in nodes:
        if node.kind == "vm":
            machines.check(node, wanted.images, Path(wanted.datastore) if wanted.datastore else None)
        else:
            base_of(node, wanted.images)
            if node.outside:
                outside.check_tool()
        furnish.check(node, Path(wanted.datastore or "/nonexistent"))
    there = settings().state_dir
    while not there.exists():
        there = there.parent
    space, wanted_bytes = os.statvfs(there), settings().free_space_bytes
    if (free := space.f_bavail * space.f_frsize) < wanted_bytes:
        raise HostProblem(f"only {free >> 20} MiB of disk are free, {wanted_bytes >> 20} are wanted", where=str(settings().state_dir),
                          next="Make room, or lower free_space_bytes in the settings")


def disk_problem(error: OSError) -> SwapbedError:
    return HostProblem(f"a file cannot be written: {error.strerror}", where=str(error.filename or settings().state_dir),
                       next="See `swapbed doctor`")


def _make(layout: InstanceLayout, wanted: Create, nodes: Sequence[Node], progress: Progress) -> None:
    record = InstanceRecord(instance=wanted.instance, name=wanted.name, project=wanted.project, state="creating", fence=wanted.fence,
                            created_at=datetime.now(UTC), spec_digest=wanted.spec.digest, nodes=tuple(node.name for node in nodes),
                            images=wanted.images, daemons=wanted.daemons)
    write_record(layout, record)
    layout.spec.write_text(wanted.spec.model_dump_json())
    journal = Journal(layout.journal)
    progress("files", 0, len(nodes))
    node_files.make_directories(layout, nodes, wanted.datastore)
    _make_cgroups(journal, wanted, nodes)
    progress("network", 0, len(nodes))
    start_nodes(layout, journal, wanted.spec, nodes, wanted.images)
    write_whole(layout.clock, VirtualClock().state.model_dump_json().encode())
    progress("daemons", 0, len(wanted.daemons))
    for daemon in wanted.daemons:
        daemons.begin(layout, daemon)
    await_answers(layout, [node.name for node in nodes], progress)
    for node in nodes:
        furnish.furnish(layout, node)
    for daemon in wanted.daemons:
        daemons.await_ready(layout, daemon)
    write_record(layout, record.model_copy(update={"state": "ready"}))


def _make_cgroups(journal: Journal, wanted: Create, nodes: Sequence[Node]) -> None:
    where = cgroups.hierarchies()
    limits = [limit for node in nodes for limit in cgroups.limits_of(wanted.instance, node, where)]
    paths = cgroups.paths_needed(wanted.instance, cgroups.leaves(node.name for node in nodes), limits, where)
    if taken := next((path for path in paths if path.exists()), None):
        raise Conflict("somebody else has a cgroup of this instance's id", where=str(taken), next="Another state directory's, perhaps")
    journal.intend(Cgroup(path=str(path)) for path in paths)
    journal.made(cgroups.make(paths))
    cgroups.limit(limits, where)


def start_nodes(layout: InstanceLayout, journal: Journal, spec: Spec, nodes: Sequence[Node],
                images: dict[str, str]) -> None:
    """Networks, then inits, whose cgroups must be there: they are born in them."""
    routing = Routing(spec)
    containers, vms = [node for node in nodes if node.kind == "container"], [node for node in nodes if node.kind == "vm"]
    started = machines.start(layout, spec, routing, vms, images)
    plans = node_network.plan(spec, [node.name for node in containers], routing)
    node_network.make_room_for_neighbours(spec)
    networks = node_network.build(plans)
    try:
        for base in dict.fromkeys(base_of(node, images) for node in containers):
            started |= _launch_on(layout, base, spec, routing, [node for node in containers if base_of(node, images) == base], networks)
    finally:
        for network in networks.values():
            os.close(network)
    write_whole(layout.inits, Inits(nodes=read_inits(layout) | started).model_dump_json().encode())
    journal.made(Process(role=f"init {name}", identity=identity) for name, identity in started.items())
    for node in containers:
        if node.outside:
            outside.plug(layout.node(node.name), spec)


def _launch_on(layout: InstanceLayout, base: Path, spec: Spec, routing: Routing, nodes: Sequence[Node],
               networks: dict[str, int]) -> dict[str, ProcessIdentity]:
    where = cgroups.hierarchies()
    hidden = masks(hidden_paths(settings())) if base == Path("/") else []
    with layer.mounted(layout, base, hidden, node_files.files_of(spec, routing, nodes), the_record(layout).wall_shift_ns) as layers:
        jobs = []
        for node in nodes:
            tasks = {limit.cgroup / "tasks" for limit in cgroups.limits_of(layout.root.name, node, where)
                     if not limit.cgroup.is_relative_to(where.unified)}
            at = layout.node(node.name)
            jobs.append(NodeJob(node.name, at, networks[node.name], cgroups.node_cgroup(layout.root.name, node.name), tuple(sorted(tasks)),
                                layers.of(node.name), layers.mount_point, node.virtual_wall_clock))
        return launch(jobs, cgroups.daemon_cgroup(layout.root.name, cgroups.HELPERS))


def await_answers(layout: InstanceLayout, nodes: Sequence[str], progress: Progress, *, timeout_s: float = ANSWER_S) -> None:
    """Returns when every node's init has said hello. Raises the last node's error when time is up."""
    began = time.monotonic()
    for done, name in enumerate(nodes):
        node = layout.node(name)
        vm = ports.is_vm(node.root)
        while True:
            try:
                with init_socket(node) as path, InitClient(path) as client:
                    client.hello()
                break
            except (NotFound, TimedOut, Conflict) as error:
                over = isinstance(error, Conflict) or time.monotonic() > began + (BOOT_S if vm else timeout_s)
                if over and vm:
                    said = machines.end_of_console(node)
                    raise HostProblem(f"the machine does not come up ({error.what}): {said}", where=name) from error
                if over:
                    raise
                time.sleep(0.002)
        if done % 25 == 0:
            progress("nodes answer", done, len(nodes))


