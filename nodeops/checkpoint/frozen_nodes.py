"""Restored nodes as CRIU would let them run, but frozen in that moment: their namespaces, networks, layers and processes."""

from __future__ import annotations

import os
import shlex
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from models.errors import Corrupt, TimedOut
from models.routes import Routing
from models.settings import settings
from models.spec import Node
from nodeops import cgroups, layer, node_files, node_network, outside
from nodeops.checkpoint import congestion, kept_sockets, kernel_facts, preflight, shared_memory
from nodeops.checkpoint.criu import PIDFILE, READY, Criu, in_turns
from nodeops.checkpoint.node_clock import Keeper
from nodeops.checkpoint.patience import NEVER, USUAL, set_probes
from nodeops.checkpoint.revival import Revival
from nodeops.create import Progress, base_of
from nodeops.identity import ProcessIdentity
from nodeops.journal import Journal, Process
from nodeops.launch import overlay_options
from nodeops.layout import InstanceLayout
from nodeops.linux import MS_NODEV, mount, network_namespace
from nodeops.masks import hidden_paths, masks
from nodeops.outside_connections import close_all
from nodeops.reach import Inits
from nodeops.whole_file import write_whole
from nodeops.wires.client import WiresClient

DETACH_S = 10.0


def restore_frozen(revival: Revival, journal: Journal, machines: dict[str, ProcessIdentity], start_ns: int, shift_ns: int,
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
            memory = {node.name: layers.mount_point.with_name("memory") / node.name for node in nodes
                      if not shared_memory.is_criu_s(revival.spool.node(node.name))}
            for node in nodes:
                if node.name in memory:
                    shared_memory.bring_back(revival.spool.node(node.name), memory[node.name], _memberships(revival.layout, node))
            for name, identity in _restore_on(revival, nodes, roots, memory, networks, keepers, start_ns).items():
                restored[name] = identity
                progress("restored", len(restored), len(revival.containers))
    return restored


def _mount_root(layout: InstanceLayout, layers: layer.Layers, node: str) -> Path:
    root = layers.mount_point.with_name("roots") / node
    root.mkdir(parents=True)
    mount("overlay", root, "overlay", MS_NODEV, overlay_options(layout.node(node), layers.of(node)))
    return root


def _restore_on(revival: Revival, nodes: Sequence[Node], roots: Mapping[str, Path], memory: Mapping[str, Path],
                networks: Mapping[str, int], keepers: Mapping[str, Keeper], start_ns: int) -> dict[str, ProcessIdentity]:
    """CRIU's children are born in the node's cgroups; it leaves them before they are frozen. Its own network is the node's; checkpoints
    from before that was so (November 2026) name one that it is to be given."""
    layout, restored = revival.layout, dict[str, ProcessIdentity]()
    by_name = {node.name: node for node in nodes}

    def begin(name: str) -> Criu:
        arguments = ("restore", "-d", "--root", roots[name], "--inherit-fd", f"fd[{networks[name]}]:net", "--pidfile", PIDFILE,
                     "--join-ns", f"time:{keepers[name].time_namespace}",
                     *(shared_memory.to_restore(memory[name]) if name in memory else ()))
        join = " && ".join(f"echo 0 > {shlex.quote(str(path / 'cgroup.procs'))}" for path in _memberships(layout, by_name[name]))
        stands_ns = max(0, start_ns + revival.later_ns[name] - time.monotonic_ns())
        with network_namespace(networks[name]):
            return Criu(name, revival.spool.node(name), {READY: ":"}, arguments, pass_fds=[networks[name]], before=join,
                        put_off_ns=stands_ns)

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

    with kernel_facts.kept():
        in_turns([node.name for node in nodes], begin, at_gate, finished)
    return restored


def _memberships(layout: InstanceLayout, node: Node) -> list[Path]:
    where = cgroups.hierarchies()
    limited = {limit.cgroup for limit in cgroups.limits_of(layout.root.name, node, where) if not limit.cgroup.is_relative_to(where.unified)}
    return [cgroups.node_cgroup(layout.root.name, node.name), *sorted(limited)]


def _outer(layout: InstanceLayout, node: Node) -> list[Path]:
    """Where whoever was in a limited cgroup of version 1 goes: the root of that hierarchy."""
    return [path.parents[2] for path in _memberships(layout, node)[1:]]
