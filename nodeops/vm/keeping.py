"""What a run left in a VM, fetched for its record: nothing of a VM's files can be linked from outside."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from models.errors import Conflict, NotFound, TimedOut
from models.protocol.init import RUN_DIRECTORY
from nodeops.init.client import InitClient
from nodeops.init.files import NodeFiles
from nodeops.layout import NodeLayout
from nodeops.reach import init_socket
from nodeops.staging import NO_FILE, Staged

PARTS = ("logs", "archive")


def keep(node: NodeLayout, number: int, target: Path, staged: Staged) -> None:
    """Logs and archive of the run of that number, below target. What a machine that has ended held is lost, and said to be."""
    try:
        with init_socket(node) as path, InitClient(path) as client:
            files = NodeFiles(client)
            put_away = f"{RUN_DIRECTORY}/runs/{number}"
            base = put_away if files.exists(put_away) else RUN_DIRECTORY
            for part in PARTS:
                if files.exists(f"{base}/{part}"):
                    target.mkdir(parents=True, exist_ok=True)
                    staged.left_out += files.get(f"{base}/{part}", target)
                if base == put_away:
                    staged.left_out += [f"{part}/{path}: {NO_FILE}" for path in _passed_over(files, f"{RUN_DIRECTORY}/{part}")]
    except (Conflict, NotFound, TimedOut) as error:
        staged.left_out.append(f"logs and archive: {error.what}")
    for part in PARTS:
        for file in (target / part).rglob("*"):
            if file.is_file() and not file.is_symlink():
                staged.files += 1
                staged.copied_bytes += file.stat().st_size


def _passed_over(files: NodeFiles, directory: str, path: str = "") -> Iterator[str]:
    """FIFOs, sockets and devices, which `rotate` leaves where they are; relative to the directory."""
    names: list[str] = []
    with contextlib.suppress(NotFound):
        names = files.names(f"{directory}/{path}")
    for name in names:
        below = f"{path}/{name}" if path else name
        with contextlib.suppress(NotFound):  # gone meanwhile
            kind = files.stat(f"{directory}/{below}").type
            if kind == "directory":
                yield from _passed_over(files, directory, below)
            elif kind not in ("file", "symlink"):
                yield below
