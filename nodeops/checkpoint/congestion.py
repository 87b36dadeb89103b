"""TCP's congestion control, which every socket may have chosen for itself (tcp(7), TCP_CONGESTION). CRIU leaves it out: a restored
connection had the host's default.
"""

from __future__ import annotations

import socket
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from models.errors import HostProblem
from models.protocol.checkpoint import SavedSocket
from nodeops.checkpoint.foreign_sockets import tcp_sockets
from nodeops.checkpoint.preflight import Found
from nodeops.linux import network_namespace

DEFAULT = Path("/proc/sys/net/ipv4/tcp_congestion_control")  # ip-sysctl.rst; per network namespace
PLAIN = "reno"  # every kernel has it, and it leaves nothing behind on a socket, as bbr leaves pacing
NAME_BYTES = 16


def chosen(found: Iterable[Found]) -> tuple[SavedSocket, ...]:
    """By every TCP socket of frozen processes, listening ones too."""
    return tuple(SavedSocket(pid=one.inner, fd=fd, congestion=held.getsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, NAME_BYTES)
                             .partition(b"\0")[0].decode()) for one in found for fd, held in tcp_sockets(one.pid))


def choose_again(found: Iterable[Found], saved: Iterable[SavedSocket], node: str) -> None:
    """For restored processes that have not run yet. Raises HostProblem if this kernel has no such congestion control."""
    wanted: Mapping[tuple[int, int], str] = {(one.pid, one.fd): one.congestion for one in saved}
    for one in found:
        for fd, held in tcp_sockets(one.pid):
            if name := wanted.get((one.inner, fd)):
                try:
                    held.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, name.encode())
                except OSError as error:
                    what = f"{one.name} ({one.inner}) uses TCP with '{name}', which this kernel lacks ({error.strerror})"
                    raise HostProblem(what, where=node, next=f"modprobe tcp_{name}, or swap in on a host that has it") from error


@contextmanager
def plain(networks: Iterable[int]) -> Iterator[None]:
    """networks: fds of namespaces in which connections are restored meanwhile."""
    before = {}
    for network in networks:
        with network_namespace(network):
            before[network] = DEFAULT.read_text()
            DEFAULT.write_text(PLAIN)
    try:
        yield
    finally:
        for network, name in before.items():
            with network_namespace(network):
                DEFAULT.write_text(name)
