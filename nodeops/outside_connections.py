"""What a node has open to the outside, by name; and closing it, where it has come back without those at the other ends.

The program that has such a connection is told by the kernel at its next use of it (ECONNABORTED): see sock_diag(7), SOCK_DESTROY.
"""

from __future__ import annotations

import subprocess

from models.errors import HostProblem
from models.spec import Spec
from nodeops.linux import CLONE_NEWNET, setns
from nodeops.outside import little_network


def connections(network: int, spec: Spec) -> tuple[str, ...]:
    """As `tcp 100.64.0.2:40312 → 192.0.2.7:443`. network: fd of the node's namespace."""
    return _named(_ss(network, spec, ()))


def close_all(network: int, spec: Spec) -> tuple[str, ...]:
    """Returns what was closed; sockets that nobody is at the other end of are left alone."""
    return _named(_ss(network, spec, ("-K",)))


def _ss(network: int, spec: Spec, more: tuple[str, ...]) -> str:
    address = str(little_network(spec)[2])
    command = ["ss", *more, "-H", "-n", "-t", "-u", "state", "connected", "exclude", "time-wait", "src", address]
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True,
                              preexec_fn=lambda: setns(network, CLONE_NEWNET))
    except OSError as error:
        raise HostProblem("connections to the outside can only be looked at with 'ss'", next="Install the package iproute2") from error
    if done.returncode:
        raise HostProblem(f"ss failed: {done.stderr.strip()[-300:]}", where=" ".join(command))
    return done.stdout


def _named(text: str) -> tuple[str, ...]:
    rows = (line.split() for line in text.splitlines())
    return tuple(f"{row[0]} {row[4]} → {row[5]}" for row in rows if len(row) > 5)
