"""TCP's congestion control, which every socket may have chosen for itself (tcp(7), TCP_CONGESTION). CRIU leaves it out: a restored
connection had the host's default.
"""

from __future__ import annotations

import socket
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from models.errors import HostProblem
from nodeops.linux import network_namespace

DEFAULT = Path("/proc/sys/net/ipv4/tcp_congestion_control")  # ip-sysctl.rst; per network namespace
PLAIN = "reno"  # every kernel has it, and it leaves nothing behind on a socket, as bbr leaves pacing
NAME_BYTES = 16


def chosen(one: socket.socket) -> str:
    return one.getsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, NAME_BYTES).partition(b"\0")[0].decode()


def choose(one: socket.socket, name: str, user: str, node: str) -> None:
    """user: whose socket it is. Raises HostProblem if this kernel has no such congestion control."""
    try:
        one.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, name.encode())
    except OSError as error:
        raise HostProblem(f"{user} uses TCP with '{name}', which this kernel lacks ({error.strerror})", where=node,
                          next=f"modprobe tcp_{name}, or swap in on a host that has it") from error


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
