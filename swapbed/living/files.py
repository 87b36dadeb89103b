"""Files into and out of the nodes of a living instance."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from models.errors import InvalidInput, NotFound, SwapbedError
from nodeops.init.files import NodeFiles
from swapbed.living.access import Access
from swapbed.present.progress import Report, quiet


def read(access: Access, node: str, path: str) -> bytes:
    """The content of a regular file."""
    with _files(access, node) as files:
        info = files.stat(path, follow=True)
        if info.type != "file":
            raise InvalidInput(f"this is a {info.type}, not a file", where=f"{node}:{path}")
        return b"".join(files.read(path, info.size))


def put(access: Access, node: str, source: Path, target: str, *, report: Report = quiet) -> list[str]:
    """A file or tree of this machine, with modes, owners and times. Returns what was left out: sockets, devices, FIFOs."""
    if not source.exists() and not source.is_symlink():
        raise NotFound("there is no such file", where=str(source))
    with _files(access, node) as files:
        return files.put(source, target, lambda path, done: report(f"copying to {node}:{path}", done, 0))


def get(access: Access, node: str, source: str, target: Path, *, report: Report = quiet) -> list[str]:
    """A file or tree of the node. Returns what was left out."""
    if not source.startswith("/"):
        raise InvalidInput(f"'{source}' is not an absolute path in the node", where=node)
    with _files(access, node) as files:
        return files.get(source, target, lambda path, done: report(f"copying from {node}:{path}", done, 0))


@contextmanager
def _files(access: Access, node: str) -> Iterator[NodeFiles]:
    """An error's place is given as the caller would write it."""
    with access.host_of(node).node(access.instance_id, node) as client:
        try:
            yield NodeFiles(client)
        except SwapbedError as error:
            error.where = error.where and error.where.replace(str(client.path), node)
            raise
