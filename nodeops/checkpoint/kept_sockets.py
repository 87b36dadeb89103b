"""What CRIU leaves out of TCP sockets, or brings back otherwise than it was: read from frozen processes, put back before restored ones run.

Of each process and descriptor: two that share a socket say the same of it, and it does no harm to do that twice.
"""

from __future__ import annotations

import socket
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass

from models.protocol.checkpoint import SavedSocket
from nodeops.checkpoint import congestion, tcp_timestamps
from nodeops.checkpoint.foreign_sockets import tcp_sockets
from nodeops.checkpoint.preflight import Found

MAPPED = "::ffff:"  # of IPv4, as a socket of IPv6 names it
End = tuple[str, int]


@dataclass(frozen=True)
class Looked:
    """sockets: of a node's processes, listening ones too. unaccepted: servers that connections wait for, which CRIU does not dump, with
    their ports."""

    sockets: tuple[SavedSocket, ...]
    unaccepted: tuple[tuple[Found, int], ...]


def look(found: Iterable[Found], instant_ns: int) -> Looked:
    """At a node's processes. instant_ns: of the cut.

    Connections within the node keep the clock that CRIU gives them: when it lets go of them they exchange segments at once, and each
    other's clock must not go back from then on.
    """
    sockets: list[tuple[tuple[End, End] | None, SavedSocket]] = []
    unaccepted = []
    for one in found:
        for fd, held in tcp_sockets(one.pid):
            timestamp = tcp_timestamps.reading(held, instant_ns)
            sockets.append((None if timestamp is None else _ends(held),
                            SavedSocket(pid=one.inner, fd=fd, congestion=congestion.chosen(held), timestamp=timestamp)))
            if tcp_timestamps.look_at(held).unaccepted:
                unaccepted.append((one, held.getsockname()[1]))
    known = {ends for ends, _ in sockets if ends}
    return Looked(tuple(each.model_copy(update={"timestamp": None}) if ends and ends[::-1] in known else each for ends, each in sockets),
                  tuple(unaccepted))


def bring_back(found: Iterable[Found], sockets: Iterable[SavedSocket], instant_ns: int, node: str) -> None:
    """Of restored processes that have not run yet, and will at that instant. Raises HostProblem."""
    wanted = {(each.pid, each.fd): each for each in sockets}
    for one in found:
        for fd, held in tcp_sockets(one.pid):
            if (each := wanted.get((one.inner, fd))) is None:
                continue
            if each.congestion:
                congestion.choose(held, each.congestion, f"{one.name} ({one.inner})", node)
            if each.timestamp is not None:
                tcp_timestamps.go_on_from(held, each.timestamp, instant_ns)


def _ends(one: socket.socket) -> tuple[End, End] | None:
    with suppress(OSError):  # it has lost its peer
        (address, port), (other, its_port) = one.getsockname()[:2], one.getpeername()[:2]
        return (address.removeprefix(MAPPED), port), (other.removeprefix(MAPPED), its_port)
    return None
