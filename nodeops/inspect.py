"""What stands of an instance on this host."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from models.errors import Conflict, NotFound
from models.protocol.host import DAEMONS, InstanceStatus, NodeStatus
from models.spec import Spec
from nodeops import cgroups, daemons
from nodeops.instance import instances_here, layout_of, read_record, read_spec, the_record
from nodeops.layout import InstanceLayout
from nodeops.outside_connections import connections
from nodeops.reach import open_network, read_inits


def status(layout: InstanceLayout) -> InstanceStatus:
    """Raises NotFound if the instance is not here."""
    record = the_record(layout)
    where, spec = cgroups.hierarchies(), read_spec(layout) if layout.spec.exists() else None
    return InstanceStatus(instance=record.instance, name=record.name, project=record.project, state=record.state, fence=record.fence,
                          created_at=record.created_at, nodes=tuple(_node(layout, name, where, spec) for name in record.nodes),
                          daemons=tuple(daemons.status(layout, name) for name in DAEMONS if name in record.daemons))


def all_status() -> Iterator[InstanceStatus]:
    """Of every instance on this host; of one whose making was cut short before its record was written, no more than the id is true."""
    for name in instances_here():
        layout = layout_of(name)
        try:
            if read_record(layout) is None:
                born = datetime.fromtimestamp(layout.root.stat().st_mtime, UTC)
                yield InstanceStatus(instance=name, name=name, project="", state="creating", fence=0, created_at=born)
            else:
                yield status(layout)
        except (NotFound, FileNotFoundError):
            continue  # destroyed meanwhile


def _node(layout: InstanceLayout, name: str, where: cgroups.Hierarchies, spec: Spec | None) -> NodeStatus:
    identity = read_inits(layout).get(name)
    alive = identity is not None and identity.alive()
    if not alive or identity is None:
        return NodeStatus(node=name, alive=False)
    cgroup = cgroups.instance_cgroup(layout.root.name, where.unified) / name
    return NodeStatus(node=name, alive=True, pid=identity.pid, frozen=_read(cgroup / "cgroup.freeze") == "1",
                      processes=len((_read(cgroup / "cgroup.procs") or "").split()), memory_bytes=_memory(layout, name, cgroup, where),
                      outside=_outside(layout, name, spec) if spec is not None and spec.node(name).outside else ())


def _outside(layout: InstanceLayout, name: str, spec: Spec) -> tuple[str, ...]:
    try:
        network = open_network(layout.node(name))
    except Conflict:
        return ()  # it has died meanwhile
    try:
        return connections(network, spec)
    finally:
        os.close(network)


def _memory(layout: InstanceLayout, name: str, cgroup: Path, where: cgroups.Hierarchies) -> int | None:
    text = _read(cgroup / "memory.current")
    if text is None and "memory" in where.v1:
        text = _read(where.v1["memory"] / cgroups.PARENT / layout.root.name / name / "memory.usage_in_bytes")
    return int(text) if text else None


def _read(path: Path) -> str | None:
    try:
        return path.read_text().strip()
    except OSError:
        return None
