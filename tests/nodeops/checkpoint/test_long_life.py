"""Twenty swaps in a row of one experiment: nothing drifts and nothing grows."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from models.protocol.wires import SavedPipe
from nodeops.checkpoint.node_clock import offset_ns
from nodeops.checkpoint.spool import Spool
from nodeops.clock import ClockState
from nodeops.instance import the_record
from nodeops.layout import InstanceLayout
from nodeops.reach import read_inits
from nodeops.wall import file_of, host_wall_ns
from tests.nodeops.checkpoint.test_swap import assert_flows_on, delayed_spec, flow, swap_in, swap_out
from tests.nodeops.instances import Make

SWAPS = 20


def ahead_ns(layout: InstanceLayout) -> dict[str, int]:
    """Node → how far its CLOCK_MONOTONIC is ahead of the instance's virtual clock."""
    origin_ns = ClockState.model_validate_json(layout.clock.read_bytes()).origin_ns
    return {node: offset_ns(identity.pid)[0] + origin_ns for node, identity in read_inits(layout).items()}


def born_ns(layout: InstanceLayout) -> int:
    """What the nodes' wall clock read when virtual time began, as their programs find it."""
    shift_ns, origin_ns = the_record(layout).wall_shift_ns, ClockState.model_validate_json(layout.clock.read_bytes()).origin_ns
    for identity in read_inits(layout).values():
        assert Path(f"/proc/{identity.pid}/root/swapbed/wall").read_bytes() == file_of(shift_ns)
    return host_wall_ns(origin_ns) + shift_ns


def sizes(spool: Spool) -> dict[str, int]:
    """By kind of state: bytes of CRIU's images, processes, frames held, files of the nodes (but for those just being written)."""
    nodes = [spool.node(name) for name in spool.read().nodes]
    pipes = [SavedPipe.model_validate_json(path.read_bytes()) for path in spool.wires.rglob("*.json")]
    return {"images": sum(file.stat().st_size for node in nodes for file in node.images.iterdir()),
            "processes": sum(len(node.read().processes) for node in nodes),
            "frames": sum(len(pipe.pipe.held) + len(pipe.early) for pipe in pipes),
            "files": sum(1 for node in nodes for file in node.upper.rglob("*") if file.suffix != ".new"),
            "conductor": sum(file.stat().st_size for file in spool.conductor.iterdir())}


@pytest.mark.timeout(300)
def test_twenty_swaps(make: Make, state_dir: Path) -> None:
    layout = make(delayed_spec(0.02), daemons=("wires", "conductor"))
    flow(layout)
    spool = Spool(state_dir / "spool" / "c-1")
    seen: list[dict[str, int]] = []
    ahead: list[dict[str, int]] = []
    born = [born_ns(layout)]
    for epoch in range(SWAPS):
        swap_out(layout, spool, epoch)
        seen.append(sizes(spool))
        swap_in(layout, spool)
        ahead.append(ahead_ns(layout))
        born.append(born_ns(layout))
        shutil.rmtree(spool.root)
    assert_flows_on(layout)
    assert len({each["a"] - each["b"] for each in ahead}) == 1, "two nodes' clocks have come apart"
    assert len({each["a"] for each in ahead}) == 1, "a node's clock and the virtual clock have come apart"
    assert max(born) - min(born) < 5_000_000, "the wall clock and the virtual clock have come apart"
    assert {each["processes"] for each in seen[2:]} == {seen[2]["processes"]} and {each["files"] for each in seen[2:]} == {seen[2]["files"]}
    assert seen[-1]["images"] < 1.5 * seen[1]["images"]
    assert max(each["frames"] for each in seen) < 500
    grown = seen[-1]["conductor"] - seen[1]["conductor"]
    assert grown < SWAPS * 1000, "two lines among the events for each swap, no more"
