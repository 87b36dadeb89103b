"""What cannot be dumped, by name, before anybody is stopped: processes that CRIU would leave out or could not bring back."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from models.errors import Conflict
from models.protocol.checkpoint import SavedProcess
from models.spec import Node
from nodeops import cgroups
from nodeops.layout import InstanceLayout
from nodeops.reach import init_identity

NAMESPACES = ("mnt", "net", "pid", "uts", "ipc", "user", "cgroup")
UNKEPT = {"io_uring": "an io_uring", "userfaultfd": "a userfaultfd", "bpf": "a BPF object", "perf_event": "a performance counter",
          "fanotify": "a fanotify watch"}
UNKEPT_DEVICES = ("/dev/net/tun", "/dev/fuse", "/dev/kvm", "/dev/vhost-net")


@dataclass(frozen=True)
class Found:
    """A process of a node. pid, parent, session: as the host counts them; session 0: led from outside the node."""

    pid: int
    parent: int
    session: int
    inner: int
    name: str
    state: str

    def saved(self) -> SavedProcess:
        return SavedProcess(pid=self.inner, name=self.name)


def check(layout: InstanceLayout, nodes: Sequence[Node]) -> dict[str, list[Found]]:
    """Node → its processes. Raises Conflict with the first few objections, each naming node and process."""
    found = {node.name: processes(layout, node.name) for node in nodes if node.kind == "container"}
    objections = [objection for node in nodes for objection in _objections(layout, node, found)]
    if objections:
        more = f" (and {len(objections) - 5} more)" if len(objections) > 5 else ""
        raise Conflict(f"this cannot be checkpointed: {'; '.join(objections[:5])}{more}", where=layout.root.name,
                       next="End what is named, or leave that node out of the experiment")
    return found


def processes(layout: InstanceLayout, node: str) -> list[Found]:
    """Whatever is in the node's cgroup, zombies too."""
    pids = map(int, (cgroups.node_cgroup(layout.root.name, node) / "cgroup.procs").read_text().split())
    return [one for one in map(_look_at, sorted(set(pids))) if one is not None]


def left_out(found: Iterable[Found], images: Path) -> list[Found]:
    """Those of whom CRIU has written nothing."""
    return [one for one in found if not (images / f"core-{one.inner}.img").exists()]


def orphans(found: Sequence[Found], init: int) -> Iterator[tuple[Found, str]]:
    """What follows from the tree of processes alone; pure."""
    by_pid = {one.pid: one for one in found}
    for one in found:
        if not _descends(one, by_pid, init):
            yield one, "does not descend from the node's init, so it would be left out"
        elif one.session not in by_pid and one.parent != init and one.pid != init:
            yield one, "is of a session whose leader has ended, and not a child of process 1: it could not be brought back"


def _descends(one: Found, by_pid: Mapping[int, Found], init: int) -> bool:
    seen: set[int] = set()
    while one.pid != init:
        seen.add(one.pid)
        if one.parent in seen or one.parent not in by_pid:
            return False
        one = by_pid[one.parent]
    return True


def _objections(layout: InstanceLayout, node: Node, found: Mapping[str, list[Found]]) -> Iterator[str]:
    init = init_identity(layout.node(node.name))
    if not init.alive():
        yield f"{node.name} is dead"
        return
    if node.kind == "vm":
        return
    for one, why in orphans(found[node.name], init.pid):
        yield f"{node.name}: {one.name} ({one.inner}) {why}"
    own = _namespaces(init.pid)
    for one in found[node.name]:
        for why in _unkept(one, own):
            yield f"{node.name}: {one.name} ({one.inner}) {why}"


def _unkept(one: Found, own: Mapping[str, str]) -> Iterator[str]:
    if one.state == "Z":
        return
    try:
        if other := [kind for kind, name in _namespaces(one.pid).items() if own.get(kind) != name]:
            yield f"is in namespaces of its own ({', '.join(other)})"
        for fd in os.scandir(f"/proc/{one.pid}/fd"):
            target = os.readlink(fd.path)
            if target in UNKEPT_DEVICES:
                yield f"has {target} open"
            if kind := next((text for word, text in UNKEPT.items() if target.startswith("anon_inode:") and word in target), None):
                yield f"has {kind} open"
    except (FileNotFoundError, ProcessLookupError):
        return  # it has ended meanwhile; who is there when all stand still is looked at again


def _namespaces(pid: int) -> dict[str, str]:
    return {kind: os.readlink(f"/proc/{pid}/ns/{kind}") for kind in NAMESPACES}


def _look_at(pid: int) -> Found | None:
    try:
        name, _, rest = Path(f"/proc/{pid}/stat").read_text().partition("(")[2].rpartition(")")
        inner = next(line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("NSpid:"))
    except (FileNotFoundError, ProcessLookupError):
        return None
    fields = rest.split()
    return Found(pid=pid, parent=int(fields[1]), session=int(fields[3]), inner=int(inner.split()[-1]), name=name, state=fields[0])
