"""Undoing an instance, from whatever state a crash or a failure left it in, and touching nothing else."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from models.errors import Conflict, NotFound
from nodeops import cgroups
from nodeops.instance import holding, instances_here, layout_of, read_record, room_or_not, write_record
from nodeops.journal import Cgroup, Journal, KernelObject, Process
from nodeops.layout import InstanceLayout

KEPT_TO_THE_END = ("journal.jsonl", "identity.json", "lock")
CROWDED = ("upper", "work")
REMOVERS = 8


def destroy(layout: InstanceLayout, fence: int) -> None:
    """Nothing is left of the instance on this host when this returns; nothing happens if nothing was."""
    with contextlib.suppress(NotFound), holding(layout, fence):
        record = read_record(layout)
        if record is not None:
            with room_or_not():
                write_record(layout, record.model_copy(update={"state": "destroying"}))
        clear(layout, entirely=True)


def reap(instances: Sequence[str] | None) -> list[str]:
    """Destroy the named instances, whatever their fence; None: those whose making or destroying nobody is at any more. Returns which."""
    reaped = []
    for name in instances_here() if instances is None else instances:
        layout = layout_of(name)
        if not layout.root.is_dir() or instances is None and not abandoned(layout):
            continue
        record = read_record(layout)
        destroy(layout, record.fence if record else 0)
        reaped.append(name)
    return reaped


def abandoned(layout: InstanceLayout) -> bool:
    """Half made or half destroyed, and nobody holds it: whoever was at it has died."""
    record = read_record(layout)
    if record is not None and record.state == "ready":
        return False
    try:
        with holding(layout, record.fence if record else 0, patience_s=0):
            return True
    except (Conflict, NotFound):
        return False


def clear(layout: InstanceLayout, *, entirely: bool = False) -> None:
    """End and remove everything the journal knows, then the files. entirely: the directory and the record, too.

    The order makes it safe to be killed at any point: what the journal names is undone before the journal goes.
    """
    journal = Journal(layout.journal)
    standing = journal.standing()
    _kill(standing)
    cgroups.remove(each for each in standing if isinstance(each, Cgroup))
    with room_or_not():
        journal.gone(standing)
    _remove_all(entry for entry in layout.root.iterdir() if entry.name not in KEPT_TO_THE_END)
    if entirely:
        _remove_parent(standing)
        shutil.rmtree(layout.root)


def _kill(standing: list[KernelObject]) -> None:
    """Every process of the instance is in its version 2 cgroups; the outermost are killed whole, which is one write."""
    unified = [each for each in standing if isinstance(each, Cgroup) and os.path.exists(f"{each.path}/cgroup.kill")]
    outermost = [each for each in unified if not any(each.path.startswith(other.path + "/") for other in unified)]
    for cgroup in outermost:
        cgroups.kill(cgroup)
    for process in standing:
        if isinstance(process, Process) and process.identity is not None:
            process.identity.end(patience_s=0)


def _remove_all(paths: Iterable[Path]) -> None:
    """Nodes' trees side by side, since a disk that discards freed blocks at once lets each removal wait."""
    paths = list(paths)
    with ThreadPoolExecutor(REMOVERS) as removers:
        list(removers.map(shutil.rmtree, [tree for path in paths if path.name in CROWDED for tree in path.iterdir()]))
    for path in paths:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def _remove_parent(standing: list[KernelObject]) -> None:
    """The directory that all instances share goes with the last one."""
    for parent in {Path(each.path).parent for each in standing if isinstance(each, Cgroup)}:
        if parent.name == cgroups.PARENT:
            with contextlib.suppress(OSError):
                parent.rmdir()
