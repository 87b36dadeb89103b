"""A node's way to the outside: `pasta` (package passt), which carries its connections on through sockets of this host.

Nothing of the host's own network is changed: no forwarding, no address translation, no rule that could be left behind; it is one
process in the instance's cgroup. No way leads to the host's loopback, and none into the node. Every node's way is the same little
network: nodes cannot see each other by it.
"""

from __future__ import annotations

import ipaddress
import os
import shutil
import socket
import subprocess
import time
from pathlib import Path

from models.errors import HostProblem
from models.spec import Spec
from nodeops import cgroups
from nodeops.identity import ProcessIdentity
from nodeops.journal import Journal, Process
from nodeops.layout import NodeLayout
from nodeops.linux import network_namespace
from nodeops.reach import open_network

INTERFACE = "outside0"
CANDIDATES = tuple(ipaddress.IPv4Network(text) for text in ("100.64.0.0/29", "100.127.255.0/29", "198.18.0.0/29", "198.19.255.0/29"))
READY_S = 10.0
NO_PORTS = ("-t", "none", "-u", "none", "-T", "none", "-U", "none", "--no-map-gw")


def little_network(spec: Spec) -> ipaddress.IPv4Network:
    """Of addresses that nobody routes (RFC 6598, RFC 2544) and the experiment does not use. Host, node and resolver are its 1, 2 and 3."""
    used = [interface.network for lan in spec.lans for member in lan.members for interface in map(ipaddress.ip_interface, member.addresses)]
    for candidate in CANDIDATES:
        if not any(network.version == 4 and network.overlaps(candidate) for network in used):
            return candidate
    raise HostProblem("the experiment uses all address ranges that a way outside could have", where=", ".join(map(str, CANDIDATES)))


def resolver(spec: Spec) -> str:
    return str(little_network(spec)[3])


def check_tool() -> str:
    """Raises HostProblem if pasta is missing."""
    if (path := shutil.which("pasta")) is None:
        raise HostProblem("a node's way outside needs 'pasta'", next="Install the package passt, or leave out `outside`")
    return path


def plug(node: NodeLayout, spec: Spec) -> None:
    """Returns when the node has its interface and its default route. The node lives."""
    network = little_network(spec)
    namespace = open_network(node)
    log = str(node.instance.root / f"outside.{node.name}.log")
    command = [check_tool(), "--foreground", "--quiet", "--runas", "0", "--log-file", log, "--netns", f"/proc/self/fd/{namespace}",
               "--config-net", "-4", "--ns-ifname", INTERFACE, "-a", str(network[2]), "-n", str(network.prefixlen), "-g", str(network[1]),
               "--dns-forward", str(network[3]), *NO_PORTS]
    try:
        with cgroups.joining(cgroups.daemon_cgroup(node.instance.root.name, cgroups.HELPERS)) as join:
            process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd="/",
                                       pass_fds=[namespace], start_new_session=True, preexec_fn=join)
        Journal(node.instance.journal).made([Process(role=f"outside {node.name}", identity=ProcessIdentity.of(process.pid))])
        _await_route(namespace, process, Path(log))
    finally:
        os.close(namespace)


def unplug(node: NodeLayout) -> None:
    """Nothing if it was not plugged."""
    journal = Journal(node.instance.journal)
    for each in journal.standing():
        if isinstance(each, Process) and each.role == f"outside {node.name}" and each.identity is not None:
            each.identity.end()
            journal.gone([each])


def _await_route(namespace: int, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + READY_S
    while not _has_route(namespace):
        if process.poll() is not None or time.monotonic() > deadline:
            said = log.read_text(errors="replace").strip() if log.exists() else ""
            raise HostProblem(f"pasta does not give the node its way outside: {said or f'exit code {process.returncode}'}",
                              next="Does this host have an IPv4 default route?")
        time.sleep(0.01)


def _has_route(namespace: int) -> bool:
    with network_namespace(namespace):
        try:
            socket.if_nametoindex(INTERFACE)
        except OSError:
            return False
        routes = (line.split() for line in Path("/proc/thread-self/net/route").read_text().splitlines()[1:])
        return any(fields[0] == INTERFACE and fields[1] == "00000000" for fields in routes)
