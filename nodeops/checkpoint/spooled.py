"""Checkpoints in this host's spool, by id: made, brought back to life, given up, forgotten; each may be asked for again after a crash."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from models.errors import NotWhole, SwapbedError, TimedOut
from models.protocol.checkpoint import Captured, Requirements
from models.protocol.host import Capture, CheckpointRestored, Create, RestoreCheckpoint
from models.settings import settings
from nodeops import cgroups, run_files
from nodeops.checkpoint import requirements
from nodeops.checkpoint.capture import capture, go_on_in_place
from nodeops.checkpoint.criu import orphans
from nodeops.checkpoint.giving_up import live_on
from nodeops.checkpoint.rebinding import rebind
from nodeops.checkpoint.restore import examine, restore
from nodeops.checkpoint.spool import Spool
from nodeops.create import Progress, chosen_nodes
from nodeops.identity import ProcessIdentity, boot_id
from nodeops.instance import holding, layout_of, read_record, the_record
from nodeops.layout import InstanceLayout
from nodeops.room import make_room

LET_GO_S = 30.0


def spool_of(checkpoint: str) -> Spool:
    return Spool(settings().state_dir / "spool" / "checkpoints" / checkpoint)


def make(wanted: Capture, progress: Progress) -> Captured:
    """The instance stands still when this returns, or goes on if it is to live. A checkpoint that is in the spool is it; a half-made one is
    made anew."""
    layout, spool = layout_of(wanted.instance), spool_of(wanted.checkpoint)
    with holding(layout, wanted.fence):
        if _is_whole(spool):
            if wanted.live:
                go_on_in_place(layout, spool)
            return Captured(manifest=spool.read())
        if spool.root.exists():
            _give_up(layout, spool)
        begin = run_files.begin_of(wanted.run) if wanted.run else None
        try:
            make_room(spool.root.parent)
            spool.boot.write_text(boot_id())
            return capture(layout, spool, wanted.life, progress, live=wanted.live, begin=begin)
        except BaseException:
            spool.boot.unlink(missing_ok=True)
            raise


def bring_back(wanted: RestoreCheckpoint, progress: Progress) -> CheckpointRestored:
    """One that lives as wanted is left alone."""
    record = read_record(layout_of(wanted.create.instance))
    if record is not None and record.state == "ready" and record.fence == wanted.create.fence:
        return CheckpointRestored()
    spool = spool_of(wanted.checkpoint)
    if wanted.parameters:
        rebind(spool, wanted.parameters)
    if wanted.run and spool.run.exists():
        run_files.begin_as(wanted.run, spool.run)
    restored = restore(spool, wanted.create, progress, next_message=wanted.next_message, came=wanted.came)
    return CheckpointRestored(late_ns=restored.late_ns, waited_ns=restored.waited_ns, attempts=restored.attempts)


def check(wanted: RestoreCheckpoint) -> None:
    """Raises what bringing it back would before it makes anything."""
    examine(spool_of(wanted.checkpoint), wanted.create)


def suits(wanted: Requirements, create: Create, host: str) -> None:
    """Raises HostProblem for what this host, of that name, lacks to bring such a checkpoint back, before anything of it is here.

    Whether a machine needs its image's disk is known once its checkpoint is here.
    """
    nodes = chosen_nodes(create)
    requirements.check(wanted, requirements.of_this_host(nodes, create.images), host,
                       diskless={node.image for node in nodes if node.kind == "vm"})


def give_up(wanted: Capture) -> None:
    """The instance goes on where it stands, wherever its capture was interrupted; nothing of the checkpoint is left here."""
    layout = layout_of(wanted.instance)
    with holding(layout, wanted.fence):
        _give_up(layout, spool_of(wanted.checkpoint))


def whole(checkpoint: str) -> Path:
    """The directory of one that was captured here, to be stored. Raises NotWhole if the host was restarted since."""
    spool = spool_of(checkpoint)
    if not _is_whole(spool):
        raise NotWhole("the host was restarted before this checkpoint was stored, and what of it came to the disk is not known",
                       where=checkpoint, next="`swapbed checkpoint ls INSTANCE` lists those that are durable; they can be forked")
    return spool.root


def _is_whole(spool: Spool) -> bool:
    return spool.manifest.exists() and spool.boot.exists() and spool.boot.read_text() == boot_id()


def forget(checkpoint: str) -> None:
    _remove(spool_of(checkpoint))


def _remove(spool: Spool) -> None:
    _dismiss(spool)
    shutil.rmtree(spool.root, ignore_errors=True)
    spool.boot.unlink(missing_ok=True)


def _give_up(layout: InstanceLayout, spool: Spool) -> None:
    nodes = the_record(layout).nodes
    _let_go(spool, layout, nodes)
    live_on(layout, spool, {node: _frozen_after_ns(spool, node) for node in nodes})
    _remove(spool)


def _frozen_after_ns(spool: Spool, node: str) -> int:
    """0 if the capture had not come so far as to write it down."""
    try:
        return spool.node(node).read().frozen_after_ns
    except SwapbedError:
        return 0


def _let_go(spool: Spool, layout: InstanceLayout, nodes: tuple[str, ...]) -> None:
    """Nobody may be thawed before CRIU is gone: it leaves processes that it found frozen as they were."""
    with _refused(spool) as working:
        _until(lambda: not any(each.alive() for each in working)
               and not any(_is_traced(cgroups.node_cgroup(layout.root.name, node)) for node in nodes), layout.root.name)


def _dismiss(spool: Spool) -> None:
    """Who works there could be found by nobody any more."""
    with _refused(spool) as working:
        _until(lambda: not any(each.alive() for each in working), str(spool.root))


@contextmanager
def _refused(spool: Spool) -> Iterator[list[ProcessIdentity]]:
    """Within, every CRIU whose master has died is told at its gate that the dump has failed. They are given."""
    gates, working = [], list[ProcessIdentity]()
    try:
        for work in spool.root.glob("nodes/*/work"):
            working += orphans(work)
            for name in ("arrived", "go"):
                if (work / name).exists():
                    gates.append(os.open(work / name, os.O_RDWR | os.O_CLOEXEC))
                    if name == "go":
                        os.write(gates[-1], b"no\n")
        yield working
    finally:
        for gate in gates:
            os.close(gate)


def _until(gone: Callable[[], bool], where: str) -> None:
    deadline = time.monotonic() + LET_GO_S
    while not gone():
        if time.monotonic() > deadline:
            raise TimedOut("CRIU does not let go of the nodes' processes", where=where)
        time.sleep(0.01)


def _is_traced(cgroup: Path) -> bool:
    for pid in (cgroup / "cgroup.procs").read_text().split():
        try:
            if "TracerPid:\t0\n" not in Path(f"/proc/{pid}/status").read_text():
                return True
        except (FileNotFoundError, ProcessLookupError):
            continue
    return False
