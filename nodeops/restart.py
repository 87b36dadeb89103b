"""Starting nodes anew: what ran in them is gone, their files stay, the wires attach again. Also after a reboot of the host."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence

from models.errors import NotFound
from models.spec import Node
from nodeops import cgroups, daemons, furnish, outside
from nodeops.create import await_answers, start_nodes
from nodeops.instance import read_spec, the_record
from nodeops.journal import Cgroup, Journal
from nodeops.launch import forget_previous_mount
from nodeops.layout import InstanceLayout
from nodeops.vm import ports
from nodeops.wires.client import WiresClient


def restart_nodes(layout: InstanceLayout, names: Sequence[str], progress: Callable[[str, int, int], None], *, fresh: bool = False) -> None:
    """The caller holds the instance. fresh: with the files they had after instantiation. Raises NotFound for a node that is not here."""
    record, spec, journal = the_record(layout), read_spec(layout), Journal(layout.journal)
    if unknown := set(names) - set(record.nodes):
        raise NotFound(f"no node '{min(unknown)}' on this host", where=record.instance)
    nodes = [node for node in spec.nodes if node.name in names]
    paths = {str(cgroups.node_cgroup(record.instance, name)) for name in names}
    for cgroup in [each for each in journal.standing() if isinstance(each, Cgroup) and each.path in paths]:
        cgroups.kill(cgroup)
        cgroups.remove([cgroup])
    make_missing_cgroups(layout, journal, nodes)
    for name in names:
        if ports.is_vm(layout.node(name).root):
            if fresh:
                shutil.rmtree(layout.node(name).root)
            continue
        outside.unplug(layout.node(name))
        forget_previous_mount(layout.node(name))
        if fresh:
            _empty(layout, name)
    start_nodes(layout, journal, spec, nodes, record.images)
    await_answers(layout, names, progress)
    for node in nodes if fresh else ():
        furnish.furnish(layout, node)
    if daemons.status(layout, "wires").alive:
        with WiresClient(layout) as wires:
            wires.reload()


def make_missing_cgroups(layout: InstanceLayout, journal: Journal, nodes: Sequence[Node]) -> None:
    """Those of the nodes and of everything they need; after a reboot of the host none is there."""
    instance, where = layout.root.name, cgroups.hierarchies()
    limits = [limit for node in nodes for limit in cgroups.limits_of(instance, node, where)]
    needed = cgroups.paths_needed(instance, cgroups.leaves(node.name for node in nodes), limits, where)
    missing = [path for path in needed if not path.exists()]
    journal.intend(Cgroup(path=str(path)) for path in missing)
    journal.made(cgroups.make(missing))
    cgroups.limit(limits, where)


def _empty(layout: InstanceLayout, name: str) -> None:
    """What the node changed, which is mounted nowhere now."""
    for directory in (layout.node(name).upper, layout.node(name).work):
        shutil.rmtree(directory)
        directory.mkdir()
