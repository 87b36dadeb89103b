"""Noticing at once that a node has ended: a pidfd of its init, readable when that has exited (pidfd_open(2)).

The wires must let go of a dead node's devices, for their fds keep its network namespace alive.
"""

from __future__ import annotations

import os

from models.errors import Conflict
from nodeops.layout import NodeLayout
from nodeops.reach import init_identity


class Lifelines:
    """One fd per node whose devices are held."""

    def __init__(self) -> None:
        self._fds: dict[str, int] = {}
        self._nodes: dict[int, str] = {}

    def hold(self, node: NodeLayout) -> int | None:
        """The fd to watch, None if it is watched already. Raises Conflict if the node is dead, NotFound if it never was."""
        if node.name in self._fds:
            return None
        identity = init_identity(node)
        try:
            fd = os.pidfd_open(identity.pid)
        except ProcessLookupError as error:
            raise Conflict("the node is dead: its init has ended", where=node.name) from error
        if not identity.alive():
            os.close(fd)
            raise Conflict("the node is dead: its init has ended", where=node.name)
        self._fds[node.name], self._nodes[fd] = fd, node.name
        return fd

    def node(self, fd: int) -> str | None:
        """Whose fd this is."""
        return self._nodes.get(fd)

    def release(self, node: str) -> None:
        fd = self._fds.pop(node, None)
        if fd is not None:
            del self._nodes[fd]
            os.close(fd)

    def close(self) -> None:
        for node in list(self._fds):
            self.release(node)
