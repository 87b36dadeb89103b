"""How long the kernel waits before it sends again what has not been acknowledged, while nodes stand still or come back.

Frozen programs' connections are the kernel's, and go on: their tail loss probe (RFC 8985 §7.2) goes out after two round-trip times,
which is before CRIU has come to the last node, and the restored connection sends again in turn. Without it, it is the retransmission
timer, after 200 ms and a round-trip time or more. A restored connection knows no round-trip time: the probe goes out after 1 s, the
timer after 3 s (RFC 6298 §5.7). So probes are off from just before the freeze until the node goes on.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import ExitStack, suppress
from pathlib import Path
from types import TracebackType

from models.errors import Conflict, NotFound
from nodeops.layout import InstanceLayout
from nodeops.linux import network_namespace
from nodeops.reach import opened_network
from nodeops.vm import ports

PROBES = Path("/proc/sys/net/ipv4/tcp_early_retrans")  # ip-sysctl.rst; per network namespace; IPv6 uses it, too
NEVER, USUAL = "0", "3"


class Probes:
    """Of these nodes, within. Finding a node's file takes half a millisecond, which would be too much while they stand still.

    Machines have no network namespace of ours, but QEMU the host's; dead nodes have none.
    """

    def __init__(self, layout: InstanceLayout, nodes: Iterable[str]):
        self._nodes = [layout.node(node) for node in nodes if not ports.is_vm(layout.node(node).root)]
        self._opened = ExitStack()
        self._files: list[int] = []

    def __enter__(self) -> Probes:
        with self._opened:
            for node in self._nodes:
                with suppress(Conflict, NotFound), opened_network(node) as network, network_namespace(network):
                    self._files.append(os.open(PROBES, os.O_WRONLY | os.O_CLOEXEC))
                    self._opened.callback(os.close, self._files[-1])
            self._opened = self._opened.pop_all()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._opened.close()

    def set(self, value: str) -> None:
        for file in self._files:
            with suppress(FileNotFoundError):  # the node has died, and its namespace with it
                os.pwrite(file, value.encode(), 0)


def with_probes(layout: InstanceLayout, nodes: Iterable[str]) -> None:
    """As a fresh namespace has it."""
    with Probes(layout, nodes) as probes:
        probes.set(USUAL)


def set_probes(networks: Iterable[int], value: str) -> None:
    """networks: fds of network namespaces."""
    for network in networks:
        with network_namespace(network):
            PROBES.write_text(value)
