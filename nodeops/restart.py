"""Starting nodes anew in an instance that lives: what ran in them is gone, their files stay, the wires attach again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from models.errors import NotFound
from nodeops import cgroups, daemons, outside
from nodeops.create import await_answers, start_nodes
from nodeops.instance import read_spec, the_record
from nodeops.journal import Cgroup, Journal
from nodeops.launch import forget_previous_mount
from nodeops.layout import InstanceLayout
from nodeops.wires.client import WiresClient


def restart_nodes(layout: InstanceLayout, names: Sequence[str], progress: Callable[[str, int, int], None]) -> None:
    """The caller holds the instance. Raises NotFound for a node that is not here."""
    record, spec, journal = the_record(layout), read_spec(layout), Journal(layout.journal)
    if unknown := set(names) - set(record.nodes):
        raise NotFound(f"no node '{min(unknown)}' on this host", where=record.instance)
    nodes = [node for node in spec.nodes if node.name in names]
    paths = {str(cgroups.node_cgroup(record.instance, name)) for name in names}
    for cgroup in [each for each in journal.standing() if isinstance(each, Cgroup) and each.path in paths]:
        cgroups.kill(cgroup)
        cgroups.remove([cgroup])
    where = cgroups.hierarchies()
    journal.intend(Cgroup(path=path) for path in sorted(paths))
    journal.made(cgroups.make(map(Path, sorted(paths))))
    cgroups.limit([limit for node in nodes for limit in cgroups.limits_of(record.instance, node, where)], where)
    for name in names:
        outside.unplug(layout.node(name))
        forget_previous_mount(layout.node(name))
    start_nodes(layout, journal, spec, nodes, record.images)
    await_answers(layout, names, progress)
    if daemons.status(layout, "wires").alive:
        with WiresClient(layout) as wires:
            wires.reload()
