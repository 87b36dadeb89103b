"""The cut itself: an instance stands still at one agreed instant, and goes on from it where it is."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from models.errors import TimedOut
from nodeops import cgroups, daemons
from nodeops.checkpoint.freezing import freeze, thaw
from nodeops.checkpoint.vm_nodes import Monitors, vms_of
from nodeops.clock import ClockState
from nodeops.conductor.client import ConductorClient
from nodeops.init.client import InitClient
from nodeops.layout import InstanceLayout
from nodeops.reach import init_socket
from nodeops.whole_file import write_whole
from nodeops.wires.client import WiresClient

AHEAD_NS = 50_000_000  # time for wires and conductor to hear of the instant before it comes


@dataclass(frozen=True)
class Cut:
    """instant_ns: of this host's CLOCK_MONOTONIC; virtual time stood at virtual_ns then. frozen_ns: node → when it did."""

    instant_ns: int
    virtual_ns: int
    frozen_ns: Mapping[str, int]


def stand_still(layout: InstanceLayout, nodes: Sequence[str]) -> Cut:
    """Nothing is delivered from the instant on, then every node stops. Raises SwapbedError; then `go_on` brings it back to life."""
    instant_ns = time.monotonic_ns() + AHEAD_NS
    with ThreadPoolExecutor(2) as both:
        virtual = [each.result() for each in [both.submit(suspend, layout, instant_ns) for suspend in (_suspend_wires, _suspend_conductor)]]
    readings = {reading for reading in virtual if reading is not None}
    if len(readings) != 1:
        raise TimedOut("wires and conductor did not stand still at one instant", where=layout.root.name, next="Try again")
    state = ClockState.model_validate_json(layout.clock.read_bytes())
    write_whole(layout.clock, ClockState(origin_ns=state.origin_ns, frozen_ns=readings.pop()).model_dump_json().encode())
    for node in nodes:
        with init_socket(layout.node(node)) as path:
            InitClient(path).quiesce()
    with Monitors(layout, nodes) as machines, ThreadPoolExecutor(1) as beside:
        stopping = beside.submit(machines.stop)
        frozen_ns = freeze(_containers(layout, nodes)) | stopping.result()
    return Cut(instant_ns, instant_ns - state.origin_ns, frozen_ns)


def go_on(layout: InstanceLayout, frozen_after_ns: Mapping[str, int], at_ns: int | None = None) -> int:
    """Time goes on from at_ns (default: in a moment), each node as much later as it had stood still later; says how late one was, if any.

    Also for an instance that only partly stands still, after whoever stopped it has died: what runs is left as it is.
    """
    with Monitors(layout, list(frozen_after_ns)) as machines:
        at_ns = time.monotonic_ns() + AHEAD_NS // 2 if at_ns is None else at_ns
        _start_time(layout, at_ns)
        instants = {node: at_ns + after for node, after in frozen_after_ns.items()}
        late_ns = thaw({path: instants[node] for node, path in _containers(layout, list(instants)).items()}, machines.to_let_go(instants))
        machines.confirm()
        return late_ns


def _containers(layout: InstanceLayout, nodes: Sequence[str]) -> dict[str, Path]:
    """With their cgroups."""
    vms = set(vms_of(layout, nodes))
    return {node: cgroups.node_cgroup(layout.root.name, node) for node in nodes if node not in vms}


def _start_time(layout: InstanceLayout, at_ns: int) -> None:
    """Wires and conductor get one clock again, whatever each of them had come to when whoever stopped them died."""
    state = ClockState.model_validate_json(layout.clock.read_bytes())
    with ExitStack() as both:
        wires = both.enter_context(WiresClient(layout)) if daemons.status(layout, "wires").alive else None
        conductor = both.enter_context(ConductorClient(layout)) if daemons.status(layout, "conductor").alive else None
        if state.frozen_ns is None:  # never did both stand still: for the one that does it is as if it had not
            if wires and (hello := wires.hello()).frozen:
                wires.resume(state.origin_ns + hello.virtual_ns)
            if conductor and (said := conductor.hello()).suspended:
                conductor.resume(state.origin_ns + said.virtual_ns)
            return
        origin_ns = wires.resume(at_ns).origin_ns if wires else at_ns - state.frozen_ns
        if conductor:
            conductor.resume(origin_ns + state.frozen_ns)
    write_whole(layout.clock, ClockState(origin_ns=origin_ns).model_dump_json().encode())


def _suspend_wires(layout: InstanceLayout, instant_ns: int) -> int | None:
    if not daemons.status(layout, "wires").alive:
        return None
    with WiresClient(layout) as wires:
        return wires.suspend(instant_ns).virtual_ns


def _suspend_conductor(layout: InstanceLayout, instant_ns: int) -> int | None:
    if not daemons.status(layout, "conductor").alive:
        return None
    with ConductorClient(layout) as conductor:
        return conductor.suspend(instant_ns)
