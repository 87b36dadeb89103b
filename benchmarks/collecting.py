"""What `collect` costs where files stay in a living node: putting 72 MB aside for a record, with the state directory on ext4 and on btrfs.

`python -m benchmarks.collecting [--quick]`: quick is once, not published. Needs root, mkfs.ext4, mkfs.btrfs and a kernel that mounts
both; the file systems are in files of this machine's disk. Timed is the host's part of stopping a run, which `run stop` waits for.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.table import Report, Row
from models.protocol.control import Nothing
from models.protocol.host import ChangeInstance, Create, InstanceStatus
from models.protocol.init import PIECE_BYTES
from models.protocol.runs import ForgetRun, KeepRun, KeptRun, PrepareRun
from models.settings import settings
from models.spec import Collect, Node, Spec
from nodeops.init.files import NodeFiles
from nodeops.session import Here, HostSession

SYSTEMS = ("ext4", "btrfs")
SIZE_BYTES = 72_000_000
DISK_BYTES = 4 << 30
ROUNDS = 5
INSTANCE, FILE = "i-collecting", "root/live"
WAYS = {"`collect: [/root/live]`": Collect(paths={"*": (f"/{FILE}",)}), "`collect: all`": Collect(everything=True)}


@dataclass
class Once:
    """Seconds and bytes of the disk that putting the file aside took, and seconds that `cp --reflink=auto` takes for it."""

    keep_s: float
    disk_bytes: int
    peer_s: float


@contextmanager
def state_on(system: str) -> Iterator[Path]:
    """A state directory on a file system of its own."""
    with tempfile.TemporaryDirectory(prefix="swapbed-collecting-", dir="/var/lib") as directory:
        disk, place = Path(directory) / "disk", Path(directory) / "mounted"
        place.mkdir()
        with disk.open("wb") as file:
            file.truncate(DISK_BYTES)
        subprocess.run([f"mkfs.{system}", "-q", disk], check=True, capture_output=True)
        subprocess.run(["mount", "-o", "loop", disk, place], check=True)
        try:
            os.environ["SWAPBED_STATE_DIR"] = str(place / "state")
            settings.cache_clear()
            yield place / "state"
        finally:
            subprocess.run(["umount", place], check=True)


def measure(state: Path, collect: Collect, rounds: int) -> list[Once]:
    spec = Spec(nodes=(Node(name="a"),), collect=collect)
    with HostSession(Here()) as session:
        session.do("create", Create(instance=INSTANCE, name="collecting", spec=spec, daemons=("wires",)), InstanceStatus)
        try:
            return [once(session, state, number) for number in range(1, rounds + 1)]
        finally:
            session.call("destroy", ChangeInstance(instance=INSTANCE))


def once(session: HostSession, state: Path, number: int) -> Once:
    run = f"r-round{number}"
    session.do("prepare_run", PrepareRun(instance=INSTANCE, run=run, number=number), Nothing)
    with session.node(INSTANCE, "a") as init:
        NodeFiles(init).write(f"/{FILE}", (os.urandom(PIECE_BYTES) for _ in range(SIZE_BYTES // PIECE_BYTES)))
    free = _free(state)
    begun = time.monotonic()
    kept = session.do("keep_run", KeepRun(instance=INSTANCE, run=run, number=number), KeptRun)
    keep_s = time.monotonic() - begun
    taken = free - _free(state)
    assert kept.copied_bytes >= SIZE_BYTES - PIECE_BYTES and not kept.left_out, kept
    (found,) = (state / "spool" / "runs" / run).rglob(FILE)
    peer_s = _copying(found, state / "copy")
    session.do("forget_run", ForgetRun(run=run), Nothing)
    return Once(keep_s, taken, peer_s)


def _free(state: Path) -> int:
    os.sync()
    found = os.statvfs(state)
    return found.f_bfree * found.f_frsize


def _copying(source: Path, target: Path) -> float:
    begun = time.monotonic()
    subprocess.run(["cp", "--reflink=auto", source, target], check=True)
    lasted = time.monotonic() - begun
    target.unlink()
    return lasted


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    quick = parser.parse_args().quick
    report = Report("collecting", "Collecting 72 MB that stay in a living node")
    for system in SYSTEMS:
        with state_on(system) as state:
            for way, collect in WAYS.items():
                rounds = measure(state, collect, 1 if quick else ROUNDS)
                report.add(Row(f"{way} on {system}", "s", [one.keep_s for one in rounds], [one.peer_s for one in rounds],
                               "cp --reflink=auto"))
                report.add(Row(f"– disk that it takes, on {system}", "MB", [one.disk_bytes / 1e6 for one in rounds]))
    report.notes.append("the host's part of stopping a run; the file systems are in files on an ext4 disk, and nothing is synced")
    print(report.text()) if quick else report.publish()


if __name__ == "__main__":
    main()
