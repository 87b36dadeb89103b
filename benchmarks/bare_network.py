"""Network namespaces without containers, joined by real wires: for tests and measurements of the wires alone.

A node is one idle process in its own network namespace, which stands where a node's init would.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from subprocess import CompletedProcess, Popen

from models.errors import NotFound
from models.routes import Routing
from models.spec import Lan, Member, Node, Shaping, Spec
from nodeops import node_network
from nodeops.clock import ClockState, VirtualClock
from nodeops.identity import ProcessIdentity
from nodeops.layout import InstanceLayout
from nodeops.reach import Inits
from nodeops.wires.client import WiresClient

READY_S = 20


def mac(number: int) -> str:
    return f"02:00:00:00:{number >> 8:02x}:{number & 255:02x}"


def link(number: int, left: str, right: str, up: Shaping | None = None, down: Shaping | None = None) -> Lan:
    """10.9.N.1 and .2; the interfaces are called linkN at both ends."""
    shaping = {"uplink": up or Shaping(), "downlink": down or Shaping()}
    return Lan(name=f"link{number}", kind="link", members=tuple(
        Member(node=node, interface=f"link{number}", mac=mac(number * 4 + end), addresses=(f"10.9.{number}.{end}/24",), **shaping)
        for end, node in ((1, left), (2, right))))


def lan(number: int, nodes: Sequence[str], up: Shaping | None = None, down: Shaping | None = None) -> Lan:
    """10.9.N.1 and up, in the order of nodes."""
    shaping = {"uplink": up or Shaping(), "downlink": down or Shaping()}
    return Lan(name=f"lan{number}", kind="lan", members=tuple(
        Member(node=node, interface=f"lan{number}", mac=mac((number << 10) + index), addresses=(f"10.9.{number}.{index}/24",), **shaping)
        for index, node in enumerate(nodes, 1)))


class BareNetwork:
    """`start` makes namespaces and wires of a spec; `close` ends every process this started. Use it as a context manager."""

    def __init__(self, root: Path, lans: Sequence[Lan]):
        self.layout = InstanceLayout(root)
        nodes = sorted({member.node for each in lans for member in each.members})
        self.spec = Spec(nodes=tuple(Node(name=name) for name in nodes), lans=tuple(lans))
        self.nodes: dict[str, Popen[bytes]] = {}
        self.wires: Popen[bytes] | None = None

    def start(self) -> None:
        self.layout.root.mkdir(parents=True, exist_ok=True)
        self.write_spec(self.spec)
        self.layout.clock.write_text(VirtualClock().state.model_dump_json())
        self.add_nodes(self.spec)
        self.start_wires()

    def write_spec(self, spec: Spec) -> None:
        self.spec = spec
        self.layout.spec.write_text(spec.model_dump_json())

    def write_clock(self, state: ClockState) -> None:
        self.layout.clock.write_text(state.model_dump_json())

    def add_nodes(self, spec: Spec) -> None:
        missing = [node.name for node in spec.nodes if node.name not in self.nodes]
        for name, namespace in node_network.build(node_network.plan(spec, missing, Routing(spec))).items():
            self.nodes[name] = Popen(["nsenter", f"--net=/proc/self/fd/{namespace}", "sleep", "infinity"], pass_fds=[namespace],
                                     stdin=subprocess.DEVNULL)
            os.close(namespace)
        self._wait_for_namespaces()
        self._write_inits()

    def start_wires(self) -> None:
        with self.layout.daemon("wires", "log").open("ab") as log:
            self.wires = Popen([sys.executable, "-m", "nodeops.wires", str(self.layout.root)], stdin=subprocess.DEVNULL, stderr=log,
                               cwd=Path(__file__).parent.parent)
        deadline = time.monotonic() + READY_S
        while True:
            try:
                with self.client() as client:
                    client.hello()
                    return
            except NotFound:
                if self.wires.poll() is not None or time.monotonic() > deadline:
                    raise
                time.sleep(0.01)

    def stop_wires(self, *, kill: bool = False) -> None:
        if self.wires:
            if kill:
                self.wires.kill()
            else:
                self.wires.terminate()
            self.wires.wait(10)
            self.wires = None

    def client(self) -> WiresClient:
        return WiresClient(self.layout)

    def inside(self, node: str, command: Sequence[str]) -> list[str]:
        """The command line that runs a command in a node's namespace."""
        return ["nsenter", f"--net=/proc/{self.nodes[node].pid}/ns/net", *command]

    def run(self, node: str, *command: str, timeout_s: float = 60) -> CompletedProcess[str]:
        return subprocess.run(self.inside(node, command), capture_output=True, text=True, timeout=timeout_s, check=False)

    def popen(self, node: str, *command: str) -> Popen[bytes]:
        """The caller ends it."""
        return Popen(self.inside(node, command), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    def close(self) -> None:
        self.stop_wires()
        for process in self.nodes.values():
            process.kill()
        for process in self.nodes.values():
            process.wait(10)
        self.nodes.clear()

    def __enter__(self) -> BareNetwork:
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _write_inits(self) -> None:
        inits = Inits(nodes={name: ProcessIdentity.of(process.pid) for name, process in self.nodes.items()})
        new = self.layout.inits.with_suffix(".new")
        new.write_text(inits.model_dump_json())
        new.rename(self.layout.inits)

    def _wait_for_namespaces(self) -> None:
        """Until each process has gone where nsenter takes it."""
        own = Path("/proc/self/ns/net").readlink()
        deadline = time.monotonic() + READY_S
        while any(Path(f"/proc/{process.pid}/ns/net").readlink() == own for process in self.nodes.values()):
            if time.monotonic() > deadline:
                raise TimeoutError("nsenter does not enter")
            time.sleep(0.002)
