"""How long the kernel waits before it sends again what a restored connection has not had acknowledged.

A restored connection knows no round-trip time. Its retransmission timer is then 3 s (RFC 6298 §5.7), but the tail loss probe (RFC 8985
§7.2) sends after 1 s already. Without the probe, restoring all nodes of an instance may take three times as long unnoticed.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from nodeops.linux import network_namespace

PROBES = Path("/proc/sys/net/ipv4/tcp_early_retrans")  # ip-sysctl.rst; per network namespace; IPv6 uses it, too
NEVER, USUAL = "0", "3"


def without_probes(networks: Iterable[int]) -> None:
    """Of connections that are restored in these network namespaces (fds)."""
    _set(networks, NEVER)


def with_probes(networks: Iterable[int]) -> None:
    """As a fresh namespace has it."""
    _set(networks, USUAL)


def _set(networks: Iterable[int], value: str) -> None:
    for network in networks:
        with network_namespace(network):
            PROBES.write_text(value)
