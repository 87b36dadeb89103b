"""What a spec puts into a node beforehand: volumes (copies out of the datastore) and tarballs, unpacked.

Everything is written by the node's own init, so that no name in an archive and no link that lies in the way leads out of the node.
"""

from __future__ import annotations

import os
import tarfile
from collections.abc import Iterator
from pathlib import Path

from models.errors import Denied, InvalidInput, NotFound
from models.protocol.init import PIECE_BYTES
from models.settings import settings
from models.spec import Node, Tarball, Volume
from nodeops.init.client import InitClient
from nodeops.init.files import NodeFiles
from nodeops.layout import InstanceLayout
from nodeops.masks import hidden_paths
from nodeops.reach import init_socket


def check(node: Node, datastore: Path) -> None:
    """Raises what `furnish` would, before anything is made. datastore: where the content is now."""
    for volume in node.volumes:
        _in_datastore(datastore, volume.source, node.name)
    for tarball in node.tarballs:
        if not tarfile.is_tarfile(_archive(datastore, tarball, node.name)):
            raise InvalidInput("this is no tar archive, or of an unknown compression", where=tarball.path)


def furnish(layout: InstanceLayout, node: Node) -> None:
    """The node lives; nothing runs in it yet."""
    if not node.volumes and not node.tarballs:
        return
    with init_socket(layout.node(node.name)) as path, InitClient(path) as client:
        files = NodeFiles(client)
        for volume in node.volumes:
            _place(files, _in_datastore(layout.datastore, volume.source, node.name), volume)
        for tarball in node.tarballs:
            _unpack(files, _archive(layout.datastore, tarball, node.name), tarball.directory)


def _place(files: NodeFiles, source: Path, volume: Volume) -> None:
    """target becomes source, or, if both are directories, gets what is in it."""
    if not source.is_dir():
        files.make_directory(str(Path(volume.target).parent))
        files.put(source, volume.target)
    else:
        files.make_directory(volume.target)
        for entry in sorted(source.iterdir()):
            files.put(entry, volume.target)
    if volume.read_only:
        _withhold(files, volume.target)


def _withhold(files: NodeFiles, path: str) -> None:
    info = files.stat(path)
    if info.type == "directory":
        for name in files.names(path):
            _withhold(files, f"{path}/{name}")
    if info.type != "symlink":
        files.client.ask("attributes", [("path", path), ("mode", str(info.mode & 0o555))])


def _unpack(files: NodeFiles, archive: Path, directory: str) -> None:
    files.make_directory(directory)
    with tarfile.open(archive, "r:*") as tar:
        for member in tar:
            _extract(files, tar, member, f"{directory.rstrip('/')}/{_inside(member.name, archive)}")


def _extract(files: NodeFiles, tar: tarfile.TarFile, member: tarfile.TarInfo, target: str) -> None:
    """Devices, sockets and FIFOs are left out, as `cp` does; a hard link becomes a file of its own."""
    if member.isdir():
        files.make_directory(target)
    elif member.issym():
        files.make_directory(str(Path(target).parent))
        files.remove(target)
        files.client.ask("symlink", [("path", target), ("target", member.linkname)])
    elif member.isreg() or member.islnk():
        files.make_directory(str(Path(target).parent))
        if (info := files.exists(target)) is not None and info.type == "directory":
            raise InvalidInput("a file of the archive meets a directory", where=target)
        files.write(target, _content(tar, member), member.mode & 0o7777)
    else:
        return
    mode = [] if member.issym() else [("mode", str(member.mode & 0o7777))]
    files.client.ask("attributes", [("path", target), ("user", str(member.uid)), ("group", str(member.gid)),
                                    ("mtime_ns", str(int(member.mtime) * 10**9)), *mode])


def _content(tar: tarfile.TarFile, member: tarfile.TarInfo) -> Iterator[bytes]:
    file = tar.extractfile(member)
    while file is not None and (piece := file.read(PIECE_BYTES)):
        yield piece


def _inside(name: str, archive: Path) -> str:
    parts = Path(name.lstrip("/")).parts
    if ".." in parts:
        raise InvalidInput(f"the archive names '{name}', which leads out of its directory", where=str(archive))
    return "/".join(parts)


def _in_datastore(datastore: Path, source: str, node: str) -> Path:
    """The spec promises a plain relative path; symlinks in the datastore promise nothing."""
    root, path = Path(os.path.realpath(datastore)), Path(os.path.realpath(datastore / source))
    if not path.is_relative_to(root):
        raise InvalidInput(f"'{source}' leads out of the datastore", where=node)
    if not path.exists():
        raise NotFound(f"there is no '{source}' in the datastore", where=node)
    return path


def _archive(datastore: Path, tarball: Tarball, node: str) -> Path:
    if not Path(tarball.path).is_absolute():
        return _in_datastore(datastore, tarball.path, node)
    path = Path(os.path.realpath(tarball.path))
    if any(path.is_relative_to(os.path.realpath(hidden)) for hidden in hidden_paths(settings())):
        raise Denied("this path of the host is not for nodes", where=tarball.path, next="Put the archive into the datastore")
    if not path.is_file():
        raise NotFound("no such archive on the host", where=tarball.path)
    return path
