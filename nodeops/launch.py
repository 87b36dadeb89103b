"""Starting nodes: what `swapbed-init launch` is told, and what it answers. One process starts all nodes of an instance on a host."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from models.errors import HostProblem
from models.protocol.init import encode
from nodeops import cgroups
from nodeops.identity import ProcessIdentity, boot_id
from nodeops.layer import BINARY
from nodeops.layout import INSIDE, NodeLayout
from nodeops.masks import proc_read_only

OVERLAY = "redirect_dir=follow,index=off,metacopy=off,volatile"
PRELOADED = {"LD_PRELOAD": f"{INSIDE}/wall.so"}  # init, which is static, hands it on to programs: see nodeops/init/program.c
ENVIRONMENT = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root", "LANG": "C.UTF-8"}
TIMEOUT_S = 60


@dataclass(frozen=True)
class NodeJob:
    """network: fd of its namespace. cgroup: version 2; tasks: files of version 1 cgroups to join. lowers: topmost first.

    mount_point: a directory that all nodes may share, since each mounts on it in a mount namespace of its own.
    """

    name: str
    layout: NodeLayout
    network: int
    cgroup: Path
    tasks: tuple[Path, ...]
    lowers: tuple[Path, ...]
    mount_point: Path
    virtual_wall_clock: bool


def overlay_options(node: NodeLayout, lowers: Sequence[Path]) -> str:
    """`volatile`: a node's fsync costs nothing, since what a crash of the host leaves of a node is of no use without its memory.

    Raises HostProblem for paths that mount options cannot carry.
    """
    for path in (node.upper, *lowers):
        if any(character in str(path) for character in ":,\\"):
            raise HostProblem("':', ',' and '\\' cannot be in the paths of an overlay", where=str(path), next="Choose another state_dir")
    return f"{OVERLAY},lowerdir={':'.join(map(str, lowers))},upperdir={node.upper},workdir={node.work}"


def launch(jobs: Sequence[NodeJob], helpers: Path) -> dict[str, ProcessIdentity]:
    """Start the init of every node, in the mount namespace of this thread (`nodeops.layer.mounted`).

    helpers: the cgroup that the launcher is in, so that whoever kills the instance's cgroups stops it, too.

    Raises HostProblem if any failed; the others run then, in their cgroups, and are the caller's to kill.
    """
    read_only = proc_read_only()
    text = b"".join(encode(_items(job, read_only)) for job in jobs)
    with cgroups.joining(helpers) as join:
        done = subprocess.run([BINARY, "launch"], input=text, capture_output=True, env={}, timeout=TIMEOUT_S,
                              pass_fds=[job.network for job in jobs], preexec_fn=join)
    started, failures = {}, []
    for line in done.stdout.decode(errors="replace").splitlines():
        name, pid, rest = line.split(" ", 2)
        if pid == "-":
            failures.append((name, rest))
        else:
            started[name] = ProcessIdentity(pid=int(pid), start_ticks=int(rest), boot=boot_id())
    if failures:
        name, reason = failures[0]
        more = f" (and {len(failures) - 1} others)" if len(failures) > 1 else ""
        raise HostProblem(f"the node cannot be started: {reason}{more}", where=name)
    if len(started) != len(jobs):
        raise HostProblem(f"the launcher failed: {done.stderr.decode(errors='replace').strip() or f'exit code {done.returncode}'}")
    return started


def _items(job: NodeJob, read_only: Sequence[str]) -> list[tuple[str, str]]:
    environment = ENVIRONMENT | (PRELOADED if job.virtual_wall_clock else {})
    return [("name", job.name), ("netns", f"/proc/self/fd/{job.network}"), ("cgroup", str(job.cgroup)),
            *(("tasks", str(path)) for path in job.tasks), ("root", str(job.mount_point)),
            ("overlay", overlay_options(job.layout, job.lowers)),
            *(("readonly", path) for path in read_only), ("writable", "/proc/sys/net"),
            ("argument", f"{INSIDE}/init"), ("argument", "init"),
            *(("environment", f"{name}={value}") for name, value in environment.items())]


def forget_previous_mount(node: NodeLayout) -> None:
    """overlayfs marks the work directory of a `volatile` mount and refuses it afterwards; after a node's end its upper layer is good."""
    mark = node.work / "work" / "incompat" / "volatile"
    for path in (mark / "dirty", mark, mark.parent):
        try:
            os.unlink(path) if path.is_file() else os.rmdir(path)
        except FileNotFoundError:
            continue
