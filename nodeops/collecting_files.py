"""What a template's `collect` names in a node, put aside for the record: globs, or everything the run changed."""

from __future__ import annotations

import fnmatch
import os
from collections.abc import Iterator
from pathlib import Path

from models.errors import Conflict, NotFound, SwapbedError
from models.spec import Spec
from nodeops.init.client import InitClient
from nodeops.init.files import NodeFiles
from nodeops.layout import NodeLayout
from nodeops.reach import init_socket
from nodeops.staging import NO_FILE, Staged, Staging
from nodeops.vm import ports

OURS = ("swapbed/logs/", "swapbed/archive/", "swapbed/runs/", "swapbed/run/")  # kept otherwise, or nobody's
WILD = frozenset("*?[")


def collect(node: NodeLayout, spec: Spec, target: Path, begin_ns: int, staged: Staged) -> None:
    """Below target with their paths in the node. begin_ns: wall clock; what changed before is not the run's doing. Of everything, `removed`
    beside target lists what the base has and the node has not any more."""
    if spec.collect.everything and ports.is_vm(node.root):
        staged.left_out.append("what a VM changed cannot be told from what it had: name paths to collect")
        return
    if spec.collect.everything:
        _changed(node, target, begin_ns, staged)
        return
    globs = [*spec.collect.paths.get("*", ()), *spec.collect.paths.get(node.name, ())]
    if not globs:
        return
    try:
        with init_socket(node) as path, InitClient(path) as client:
            files = NodeFiles(client, None if ports.is_vm(node.root) else node.upper)
            for found in sorted({found for glob in globs for found in matching(files, glob)}):
                _take(files, found, target, staged)
    except (Conflict, NotFound) as error:
        staged.left_out.append(f"{', '.join(globs)}: {error.what}")


def _changed(node: NodeLayout, target: Path, begin_ns: int, staged: Staged) -> None:
    found = Staging(take=lambda path, info: info.st_ctime_ns >= begin_ns and not path.startswith(OURS))
    found.stage(node.upper, target)
    staged.files += found.staged.files
    staged.copied_bytes += found.staged.copied_bytes
    staged.left_out += [what for what in found.staged.left_out if not what.startswith(OURS)]
    removed = [path for path in found.staged.removed if not path.startswith(OURS)]
    if removed:
        target.parent.mkdir(parents=True, exist_ok=True)
        (target.parent / "removed").write_text("".join(f"/{path}\n" for path in removed), errors="surrogateescape")


def matching(files: NodeFiles, glob: str) -> Iterator[str]:
    """Paths in the node; `*` stays within one name, `**` is any number of directories."""
    yield from _matching(files, "", [part for part in glob.split("/") if part])


def _matching(files: NodeFiles, base: str, parts: list[str]) -> Iterator[str]:
    if not parts:
        yield base or "/"
        return
    first, rest = parts[0], parts[1:]
    if first == "**":
        yield from _matching(files, base, rest)
        for name in _directories(files, base):
            yield from _matching(files, f"{base}/{name}", parts)
    elif WILD & set(first):
        for name in _names(files, base):
            if fnmatch.fnmatchcase(name, first) and (first.startswith(".") or not name.startswith(".")):
                yield from _matching(files, f"{base}/{name}", rest)
    elif _exists(files, f"{base}/{first}"):
        yield from _matching(files, f"{base}/{first}", rest)


def _names(files: NodeFiles, directory: str) -> list[str]:
    try:
        return files.names(directory or "/")
    except SwapbedError:  # no directory, or not readable: nothing in it matches
        return []


def _directories(files: NodeFiles, base: str) -> Iterator[str]:
    for name in _names(files, base):
        try:
            if files.stat(f"{base}/{name}").type == "directory":
                yield name
        except NotFound:
            continue


def _exists(files: NodeFiles, path: str) -> bool:
    try:
        files.stat(path)
    except SwapbedError:
        return False
    return True


def _take(files: NodeFiles, path: str, target: Path, staged: Staged) -> None:
    place = target / path.lstrip("/")
    if os.path.lexists(place):  # below a directory that another glob named
        return
    place.parent.mkdir(parents=True, exist_ok=True)
    try:
        staged.left_out += [f"{what}: {NO_FILE}" for what in files.get(path, place)]
    except NotFound:  # gone meanwhile
        return
    found = [place] if place.is_file() else [file for file in place.rglob("*") if file.is_file() and not file.is_symlink()]
    staged.files += len(found)
    staged.copied_bytes += sum(file.stat().st_size for file in found)
