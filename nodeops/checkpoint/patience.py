"""How long the kernel waits before it sends again what has not been acknowledged, while nodes stand still or come back.

Frozen programs' connections are the kernel's, and go on: their tail loss probe (RFC 8985 §7.2) goes out after two round-trip times,
which is before CRIU has come to the last node, and the restored connection sends again in turn. Without it, it is the retransmission
timer, after 200 ms and a round-trip time or more. A restored connection knows no round-trip time: the probe goes out after 1 s, the
timer after 3 s (RFC 6298 §5.7). So probes are off from just before the freeze until the node goes on.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from models.errors import Conflict, NotFound
from nodeops.layout import InstanceLayout
from nodeops.linux import network_namespace
from nodeops.reach import open_network

PROBES = Path("/proc/sys/net/ipv4/tcp_early_retrans")  # ip-sysctl.rst; per network namespace; IPv6 uses it, too
NEVER, USUAL = "0", "3"


def without_probes(layout: InstanceLayout, nodes: Iterable[str]) -> None:
    """Of nodes that are about to stand still. Machines and dead nodes have no network namespace of ours."""
    _of_nodes(layout, nodes, NEVER)


def with_probes(layout: InstanceLayout, nodes: Iterable[str]) -> None:
    """As a fresh namespace has it."""
    _of_nodes(layout, nodes, USUAL)


def set_probes(networks: Iterable[int], value: str) -> None:
    """networks: fds of network namespaces."""
    for network in networks:
        with network_namespace(network):
            PROBES.write_text(value)


def _of_nodes(layout: InstanceLayout, nodes: Iterable[str], value: str) -> None:
    for node in nodes:
        with suppress(Conflict, NotFound):
            network = open_network(layout.node(node))
            try:
                set_probes([network], value)
            finally:
                os.close(network)
