"""The cgroups of an instance: one a node and one a daemon, below `swapbed/INSTANCE`.

Version 2 holds, freezes and kills (it is there even where version 1 has the controllers, as on hybrid hosts); limits go
where the controller is: version 2 if it is bound there, else version 1. Node names have no '.', so a daemon's name cannot be one.
"""

from __future__ import annotations

import contextlib
import os
import select
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from models.errors import HostProblem, TimedOut
from models.protocol.host import DAEMONS
from models.spec import Node
from nodeops.identity import boot_id
from nodeops.journal import Cgroup

PARENT, HELPERS = "swapbed", "helpers"
PERIOD_US = 100_000
CONTROLLERS = ("cpu", "memory")


@dataclass(frozen=True)
class Hierarchies:
    """unified: where version 2 is mounted; v2: controllers bound to it; v1: controller → where it is mounted."""

    unified: Path
    v2: frozenset[str]
    v1: dict[str, Path]


def hierarchies() -> Hierarchies:
    """As this host has them mounted. Raises HostProblem if version 2 is not there at all."""
    unified: Path | None = None
    v1: dict[str, Path] = {}
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        before, _, after = line.partition(" - ")
        target = Path(before.split()[4].replace("\\040", " "))
        kind, _, options = after.split(" ", 2)
        if kind == "cgroup2":
            unified = unified or target
        elif kind == "cgroup":
            v1 |= {option: target for option in options.split(",") if option in CONTROLLERS}
    if unified is None:
        raise HostProblem("no cgroup version 2 hierarchy is mounted", next="mount -t cgroup2 none /sys/fs/cgroup/unified")
    return Hierarchies(unified, frozenset((unified / "cgroup.controllers").read_text().split()), v1)


@lru_cache(maxsize=1)
def unified() -> Path:
    """Where version 2 is mounted. It is looked for once: reading the list of mounts takes half a millisecond, and each node asks for it."""
    return hierarchies().unified


def instance_cgroup(instance: str, root: Path | None = None) -> Path:
    return (root or unified()) / PARENT / instance


def node_cgroup(instance: str, node: str) -> Path:
    return instance_cgroup(instance) / node


def daemon_cgroup(instance: str, daemon: str) -> Path:
    """daemon: a daemon's name, or HELPERS: what the agent starts for the instance and that must not outlive it."""
    return instance_cgroup(instance) / f"daemon.{daemon}"


@contextlib.contextmanager
def joining(cgroup: Path) -> Iterator[Callable[[], None]]:
    """Gives what a child calls between fork and exec to be in the cgroup before it does anything."""
    procs = os.open(cgroup / "cgroup.procs", os.O_WRONLY | os.O_CLOEXEC)

    def join() -> None:
        os.write(procs, b"0")

    try:
        yield join
    finally:
        os.close(procs)


@dataclass(frozen=True)
class Limit:
    """One file of one cgroup."""

    cgroup: Path
    file: str
    value: str


def limits_of(instance: str, node: Node, where: Hierarchies) -> list[Limit]:
    """What this node's limits mean on this host. Raises HostProblem if a controller is nowhere."""
    limits = []
    if node.cpus is not None:
        quota = max(1000, round(node.cpus * PERIOD_US))
        limits += _limit(instance, node.name, where, "cpu", "cpu.max", f"{quota} {PERIOD_US}", "cpu.cfs_quota_us", str(quota))
    if node.memory_bytes is not None and node.kind == "container":  # a VM cannot have more than its RAM, and QEMU needs some beside it
        limits += _limit(instance, node.name, where, "memory", "memory.max", str(node.memory_bytes),
                         "memory.limit_in_bytes", str(node.memory_bytes))
    return limits


def _limit(instance: str, node: str, where: Hierarchies, controller: str, file2: str, value2: str, file1: str, value1: str) -> list[Limit]:
    if controller in where.v2:
        return [Limit(where.unified / PARENT / instance / node, file2, value2)]
    if controller in where.v1:
        return [Limit(where.v1[controller] / PARENT / instance / node, file1, value1)]
    raise HostProblem(f"this host has no {controller} cgroup controller, so the node cannot be limited", where=node,
                      next=f"Leave the limit out, or boot the host with the {controller} controller")


def leaves(nodes: Iterable[str]) -> list[str]:
    """Names of the cgroups that hold processes."""
    return [*nodes, *(f"daemon.{daemon}" for daemon in (*DAEMONS, HELPERS))]


def paths_needed(instance: str, names: Iterable[str], limits: Iterable[Limit], where: Hierarchies) -> list[Path]:
    """Every directory below PARENT that has to be made, parents first. names: of nodes and `daemon.NAME`."""
    top = where.unified / PARENT / instance
    paths = [top, *(top / name for name in names)]
    for path in dict.fromkeys(limit.cgroup for limit in limits):
        if path not in paths:
            paths += [each for each in (path.parent, path) if each not in paths]
    return paths


def make(paths: Iterable[Path]) -> list[Cgroup]:
    """Make directories that are not there yet. Raises HostProblem."""
    made = []
    for path in paths:
        try:
            try:
                path.mkdir()
            except FileNotFoundError:
                path.parent.mkdir(exist_ok=True)
                path.mkdir()
        except OSError as error:
            raise HostProblem(f"cannot make a cgroup: {error.strerror}", where=str(path), next="This needs root") from error
        made.append(Cgroup(path=str(path), inode=path.stat().st_ino))
    return made


def limit(limits: Iterable[Limit], where: Hierarchies) -> None:
    """Put limits in force, the controllers having been passed down to where they are needed."""
    for each in limits:
        try:
            if each.cgroup.is_relative_to(where.unified):
                controller = each.file.partition(".")[0]
                for level in (where.unified, where.unified / PARENT, each.cgroup.parent):
                    (level / "cgroup.subtree_control").write_text(f"+{controller}")
            (each.cgroup / each.file).write_text(each.value)
        except OSError as error:
            raise HostProblem(f"the limit {each.file} = {each.value} is refused: {error.strerror}", where=str(each.cgroup)) from error


def freeze(cgroup: Path, frozen: bool, *, timeout_s: float = 10) -> None:
    """Stop every process of a cgroup, or let them go; returns when they have stopped. Raises TimedOut."""
    (cgroup / "cgroup.freeze").write_text("1" if frozen else "0")
    if frozen:
        _await_event(cgroup, "frozen", "1", timeout_s)


def kill(cgroup: Cgroup, *, timeout_s: float = 20) -> None:
    """SIGKILL to everything in a version 2 cgroup and below, frozen or not; returns when all is gone. Raises TimedOut."""
    if not stands(cgroup):
        return
    path = Path(cgroup.path)
    with contextlib.suppress(FileNotFoundError):
        (path / "cgroup.kill").write_text("1")
        _await_event(path, "populated", "0", timeout_s)


def stands(cgroup: Cgroup) -> bool:
    """Whether that very directory is still there. One whose making was not confirmed is ours by its path: it holds the instance's id."""
    try:
        return cgroup.boot == boot_id() and cgroup.inode in (None, Path(cgroup.path).stat().st_ino)
    except FileNotFoundError:
        return False


def remove(cgroups: Iterable[Cgroup]) -> None:
    """Remove empty ones, children first. Raises HostProblem if one is not empty."""
    for cgroup in sorted(cgroups, key=lambda each: -len(each.path)):
        if not stands(cgroup):
            continue
        try:
            Path(cgroup.path).rmdir()
        except FileNotFoundError:
            continue
        except OSError as error:
            raise HostProblem(f"cannot remove the cgroup: {error.strerror}", where=cgroup.path) from error


def _await_event(cgroup: Path, key: str, value: str, timeout_s: float) -> None:
    """The kernel wakes whoever polls cgroup.events for exceptions when it changes (cgroup-v2.rst)."""
    deadline = time.monotonic() + timeout_s
    with (cgroup / "cgroup.events").open("rb", buffering=0) as events:
        poll = select.poll()
        poll.register(events, select.POLLPRI)
        while f"{key} {value}".encode() not in os.pread(events.fileno(), 4096, 0).splitlines():
            if time.monotonic() > deadline:
                raise TimedOut(f"not '{key} {value}' within {timeout_s:g} s", where=str(cgroup))
            poll.poll(50)
