"""Reaching a living node from its host: its network namespace, its files, its init.

All three are reached through the init process, whose identity is looked at before and after something of it was opened, so
that a pid that is somebody else's by now opens nothing. What is opened stays valid whatever happens to the process.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path

from models.errors import Conflict, NotFound
from models.protocol.control import Message
from models.protocol.init import RUN_DIRECTORY
from nodeops.identity import ProcessIdentity
from nodeops.layout import InstanceLayout, NodeLayout
from nodeops.linux import open_in_root
from nodeops.vm import ports

INIT_SOCKET = f"{RUN_DIRECTORY}/run/init.sock"


class Inits(Message):
    """inits.json."""

    nodes: dict[str, ProcessIdentity] = {}


def read_inits(layout: InstanceLayout) -> dict[str, ProcessIdentity]:
    """Of all nodes that were started here, living or not."""
    try:
        file = layout.inits.stat()
    except FileNotFoundError:
        return {}
    return _parsed_inits(layout.inits, file.st_ino, file.st_mtime_ns)


@lru_cache(maxsize=4)
def _parsed_inits(path: Path, _inode: int, _mtime_ns: int) -> dict[str, ProcessIdentity]:
    """The file is only ever replaced whole, so another content is another inode."""
    return Inits.model_validate_json(path.read_bytes()).nodes


def init_identity(node: NodeLayout) -> ProcessIdentity:
    """Of the node's init, living or not. Raises NotFound if the node was never started."""
    if (identity := read_inits(node.instance).get(node.name)) is None:
        raise NotFound("this node was never started on this host", where=node.name)
    return identity


def _open_of_init(node: NodeLayout, what: str, flags: int) -> int:
    identity = init_identity(node)
    fd = -1
    try:
        if not identity.alive():
            raise ProcessLookupError
        fd = os.open(f"/proc/{identity.pid}/{what}", flags | os.O_CLOEXEC)
        if not identity.alive():
            raise ProcessLookupError
    except (ProcessLookupError, FileNotFoundError):
        if fd >= 0:
            os.close(fd)
        raise Conflict("the node is dead: its init has ended", where=node.name, next="See `swapbed inspect`") from None
    return fd


def open_network(node: NodeLayout) -> int:
    """An fd of the node's network namespace, for setns(2); the namespace lives while this is open. The caller closes it."""
    return _open_of_init(node, "ns/net", os.O_RDONLY)


@contextmanager
def opened_network(node: NodeLayout) -> Iterator[int]:
    """The same, open within."""
    namespace = open_network(node)
    try:
        yield namespace
    finally:
        os.close(namespace)


@contextmanager
def opened_root(node: NodeLayout) -> Iterator[int]:
    """An fd of the node's root directory, all its mounts below it, open within. Open paths in it with `linux.open_in_root`."""
    root = _open_of_init(node, "root", os.O_PATH | os.O_DIRECTORY)
    try:
        yield root
    finally:
        os.close(root)


@contextmanager
def init_socket(node: NodeLayout) -> Iterator[Path]:
    """A path, valid within, that `nodeops.init.client` can connect to. Whatever the node put in its place, it leads nowhere outside."""
    if ports.is_vm(node.root):
        with ports.free_port(node.root, init_identity(node), node.name) as path:
            yield path
    else:
        with _socket_inside(node) as path:
            yield path


@contextmanager
def driver_socket(node: NodeLayout) -> Iterator[Path]:
    """The same for the conductor, whose connection outlives the context."""
    if ports.is_vm(node.root):
        yield ports.driver_port(node.root, init_identity(node), node.name)
    else:
        with _socket_inside(node) as path:
            yield path


@contextmanager
def _socket_inside(node: NodeLayout) -> Iterator[Path]:
    with opened_root(node) as root:
        try:
            endpoint = open_in_root(root, INIT_SOCKET, os.O_PATH)
        except OSError as error:
            raise NotFound(f"the node's init has no socket ({error.strerror})", where=node.name) from error
    try:
        yield Path(f"/proc/self/fd/{endpoint}")
    finally:
        os.close(endpoint)


@contextmanager
def network_path(node: NodeLayout) -> Iterator[Path]:
    """A path, valid within, of the node's network namespace, for whoever wants it by path."""
    with opened_network(node) as namespace:
        yield Path(f"/proc/self/fd/{namespace}")
