"""CRIU's part of a capture: it is begun while the nodes still run, so that they do not stand still while it starts."""

from __future__ import annotations

import shlex
import time
from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from types import TracebackType

from models.errors import Conflict
from nodeops import cgroups
from nodeops.checkpoint import kernel_facts, preflight, shared_memory
from nodeops.checkpoint.copying import copy_trees
from nodeops.checkpoint.criu import BEGUN, DUMPED, PARALLEL, Criu, await_arrival, in_turns
from nodeops.checkpoint.preflight import Found
from nodeops.checkpoint.priority import hurried, hurry
from nodeops.checkpoint.spool import Spool
from nodeops.create import Progress
from nodeops.layout import InstanceLayout
from nodeops.linux import network_namespace
from nodeops.reach import init_identity, opened_network

NAMED = "remap-fpath.img"  # CRIU's list of names that it gave to files without one
DUMPING = 64  # all of them have begun and wait: more at once than there are processors, but not a thousand
# Who is short of memory shall kill somebody else: a dump that is killed may harm what it was about to dump (proc(5))
SPARED = "echo -1000 > /proc/self/oom_score_adj || :"


class Dumps:
    """One CRIU for each container, within: held where it is about to take hold of the node's processes, until `write`.

    While it dumps, it has the node thawed, and its processes stopped by ptrace(2); it freezes it again as its last act. One that is killed
    before would let them run with their sockets in its hands, so its gate freezes the node as soon as it has dumped.

    Each is in its node's network namespace: of one that is not its own CRIU would dump the connections that a firewall tracks, for which
    the kernel looks through a table of the whole host, 20 ms a node. What programs set up by hand in a network is not carried anyway.
    """

    def __init__(self, layout: InstanceLayout, spool: Spool, nodes: Sequence[str]):
        self._layout, self._spool, self._nodes = layout, spool, nodes
        self._held: dict[str, Criu] = {}

    def __enter__(self) -> Dumps:
        if not self._nodes:  # then nobody needs CRIU
            return self
        with ExitStack() as undone:
            undone.callback(self._let_go)
            coming: deque[Criu] = deque()
            with kernel_facts.kept():
                for node in self._nodes:
                    self._held[node] = self._begin(node)
                    coming.append(self._held[node])
                    if len(coming) == PARALLEL:
                        await_arrival(coming.popleft())
            for criu in coming:
                await_arrival(criu)
            undone.pop_all()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._let_go()

    def write(self, found: Mapping[str, Sequence[Found]], progress: Progress) -> dict[str, int]:
        """The nodes stand still. Returns node → instant of this host's CLOCK_MONOTONIC at which its sockets were still held by CRIU, and
        all that CRIU writes was written. Raises Conflict for what of `found` was left out; HostProblem."""
        dumped_ns: dict[str, int] = {}
        done: list[str] = []

        def begin(node: str) -> Criu:
            criu = self._held.pop(node)
            hurry(criu.process.pid)
            criu.proceed()
            return criu

        def at_gate(node: str, _criu: Criu, _pid: int) -> None:
            """Names that CRIU gave to nameless files are there only until it goes on; then it lets go of the sockets, too."""
            dumped_ns[node] = time.monotonic_ns()
            if (self._spool.node(node).images / NAMED).exists():
                self._copy_files([node])

        def finished(node: str, _pid: int | None) -> None:
            if missing := preflight.left_out(found[node], self._spool.node(node).images):
                raise Conflict(f"{missing[0].name} ({missing[0].inner}) was left out of the dump", where=node)
            done.append(node)
            progress("dumped", len(done), len(self._nodes))

        with hurried():
            in_turns(self._nodes, begin, at_gate, finished, parallel=DUMPING)
            self._copy_files([node for node in self._nodes if not self._spool.node(node).upper.exists()])
        return dumped_ns

    def _copy_files(self, nodes: Sequence[str]) -> None:
        layers = {self._layout.node(node).upper: self._spool.node(node).upper for node in nodes}
        with shared_memory.kept(self._layout.node(node) for node in nodes) as memory:
            copy_trees(layers | {path: self._spool.node(node).memory for node, path in memory.items()})

    def _begin(self, node: str) -> Criu:
        self._spool.node(node).images.mkdir(parents=True)
        cgroup = cgroups.node_cgroup(self._layout.root.name, node)
        arguments = ("dump", "-t", str(init_identity(self._layout.node(node)).pid), "--leave-running", "--freeze-cgroup", cgroup,
                     *shared_memory.TO_DUMP)
        freeze = f"echo 1 > {shlex.quote(str(cgroup / 'cgroup.freeze'))}"
        with opened_network(self._layout.node(node)) as network, network_namespace(network):
            return Criu(node, self._spool.node(node), {BEGUN: ":", DUMPED: freeze}, arguments, before=SPARED)

    def _let_go(self) -> None:
        with ExitStack() as closing:
            for criu in self._held.values():
                closing.callback(criu.close)
            self._held = {}
