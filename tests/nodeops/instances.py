"""What the tests of instances share: a small spec, waiting, and looking for what must not be left."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from models.spec import Lan, Member, Node, Spec
from nodeops import cgroups
from nodeops.init.client import Finished, InitClient
from nodeops.layout import InstanceLayout
from nodeops.reach import init_socket

Make = Callable[..., InstanceLayout]


def lan_spec(*names: str, nodes: dict[str, Node] | None = None, addresses: Callable[[int], tuple[str, ...]] | None = None) -> Spec:
    """Nodes on one LAN, or on a link if they are two. addresses: of the member with that number, from 0 on."""
    given = addresses or (lambda index: (f"10.1.1.{index + 2}/24", f"fd00:1::{index + 2:x}/64"))
    members = tuple(Member(node=name, interface="eth1", mac=f"02:00:00:00:01:{index + 2:02x}", addresses=given(index))
                    for index, name in enumerate(names))
    lans = (Lan(name="net", kind="link" if len(names) == 2 else "lan", members=members),) if len(names) > 1 else ()
    return Spec(nodes=tuple((nodes or {}).get(name) or Node(name=name) for name in names), lans=lans)


def run(layout: InstanceLayout, node: str, command: str, **options: object) -> Finished:
    """A shell command in a node."""
    with init_socket(layout.node(node)) as path, InitClient(path) as client:
        return client.run(command, **options)  # type: ignore[arg-type]


def wait_until(condition: Callable[[], bool], timeout_s: float = 15) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.01)


def assert_nothing_left(layout: InstanceLayout) -> None:
    """No directory, no cgroup of any hierarchy (and so no process), no mount."""
    where = cgroups.hierarchies()
    assert not layout.root.exists()
    for root in {where.unified, *where.v1.values()}:
        assert not (root / cgroups.PARENT / layout.root.name).exists()
    assert layout.root.name not in Path("/proc/self/mountinfo").read_text()
