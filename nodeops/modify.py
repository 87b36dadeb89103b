"""A living instance becomes another spec on this host, between two runs. What did not change is not touched (`models.spec_changes`).

The order makes it safe to be cut short: nothing is removed before all else stands, and until the end it is noted (`modifying.json`) which
spec the instance is half-way to, so that the same operation again, or the one back to the old spec, touches all that may be either.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from models.errors import Conflict
from models.protocol.host import Create
from models.spec import Node, Spec
from models.spec_changes import changes
from nodeops import cgroups, daemons, furnish, outside
from nodeops.create import Progress, await_answers, check_host, chosen_nodes, start_nodes
from nodeops.instance import InstanceRecord, holding, layout_of, read_spec, the_record, write_record
from nodeops.journal import Cgroup, Journal
from nodeops.launch import forget_previous_mount
from nodeops.layout import InstanceLayout
from nodeops.reach import Inits, read_inits
from nodeops.restart import make_missing_cgroups
from nodeops.rewire import rewire
from nodeops.whole_file import write_whole
from nodeops.wires.client import WiresClient


def modify(wanted: Create, progress: Progress) -> InstanceLayout:
    """wanted.datastore is not looked at: an instance keeps the one it was made with. The caller sees to it that no run goes on.

    Raises InvalidInput, NotFound or HostProblem before anything is changed, for what this host cannot make.
    """
    layout, nodes = layout_of(wanted.instance), chosen_nodes(wanted)
    with holding(layout, wanted.fence):
        record = the_record(layout)
        if record.state != "ready":
            raise Conflict(f"the instance is {record.state}", where=wanted.instance)
        check_host(wanted.model_copy(update={"datastore": str(layout.datastore)}), nodes)
        _change(layout, record, wanted, nodes, progress)
    return layout


def _change(layout: InstanceLayout, record: InstanceRecord, wanted: Create, nodes: Sequence[Node], progress: Progress) -> None:
    here = {node.name for node in nodes}
    olds = _specs_it_may_have(layout)
    found = [changes(old, wanted.spec) for old in olds]
    before = set.intersection(*({node.name for node in old.nodes} for old in olds))
    fresh = [node for node in nodes if node.name not in before or any(node.name in each.remade for each in found)]
    again = [node for node in nodes if node not in fresh and any(node.name in each.restarted for each in found)]
    names = {node.name for node in (*fresh, *again)}
    rewired = [node.name for node in nodes if node.name not in names and any(node.name in each.rewired for each in found)]
    record = record.model_copy(update={"images": record.images | wanted.images})
    both = (*record.nodes, *(name for name in here if name not in record.nodes))
    write_whole(_half_way(layout), wanted.spec.model_dump_json().encode())
    write_record(layout, record.model_copy(update={"nodes": both}))
    daemons.stop(layout, "conductor")  # it would take nodes for dead
    _start(layout, wanted, [*fresh, *again], {node.name for node in fresh}, progress)
    rewire(layout, olds, wanted.spec, [name for name in rewired if _lives(layout, name)])
    write_whole(layout.spec, wanted.spec.model_dump_json().encode())
    with WiresClient(layout) as wires:
        wires.reload()
    _remove(layout, [name for name in both if name not in here])
    write_record(layout, record.model_copy(update={"nodes": tuple(node.name for node in nodes), "spec_digest": wanted.spec.digest}))
    _half_way(layout).unlink()
    daemons.begin(layout, "conductor")
    daemons.await_ready(layout, "conductor")


def _half_way(layout: InstanceLayout) -> Path:
    return layout.root / "modifying.json"


def _specs_it_may_have(layout: InstanceLayout) -> list[Spec]:
    """Its own, and the one that an attempt which was cut short was to make of it."""
    half_way = _half_way(layout)
    return [read_spec(layout), *([Spec.model_validate_json(half_way.read_bytes())] if half_way.exists() else [])]


def _lives(layout: InstanceLayout, node: str) -> bool:
    identity = read_inits(layout).get(node)
    return identity is not None and identity.alive()


def _start(layout: InstanceLayout, wanted: Create, nodes: Sequence[Node], fresh: set[str], progress: Progress) -> None:
    """fresh: with the files of an instantiation, whatever was there; the others with theirs."""
    if not nodes:
        return
    journal, names = Journal(layout.journal), [node.name for node in nodes]
    _kill(layout, names)
    for node in nodes:
        at = layout.node(node.name)
        outside.unplug(at)
        if node.name in fresh:
            _empty(at.upper, at.work, at.root, make=node.kind == "container")
        forget_previous_mount(at)
    make_missing_cgroups(layout, journal, nodes)
    progress("nodes", 0, len(nodes))
    start_nodes(layout, journal, wanted.spec, nodes, wanted.images)
    await_answers(layout, names, progress)
    for node in nodes:
        if node.name in fresh:
            furnish.furnish(layout, node)


def _remove(layout: InstanceLayout, names: Sequence[str]) -> None:
    _kill(layout, names)
    for name in names:
        at = layout.node(name)
        outside.unplug(at)
        _empty(at.upper, at.work, at.root, make=False)
    left = {name: identity for name, identity in read_inits(layout).items() if name not in names}
    write_whole(layout.inits, Inits(nodes=left).model_dump_json().encode())


def _kill(layout: InstanceLayout, names: Sequence[str]) -> None:
    journal = Journal(layout.journal)
    paths = {str(cgroups.node_cgroup(layout.root.name, name)) for name in names}
    for cgroup in [each for each in journal.standing() if isinstance(each, Cgroup) and each.path in paths]:
        cgroups.kill(cgroup)
        cgroups.remove([cgroup])
        journal.gone([cgroup])


def _empty(upper: Path, work: Path, root: Path, *, make: bool) -> None:
    for directory in (upper, work, root):
        shutil.rmtree(directory, ignore_errors=True)
    for directory in (upper, work) if make else ():
        directory.mkdir(parents=True)
