"""The cut itself: an instance stands still at one agreed instant, and goes on from it where it is."""

from __future__ import annotations

import errno
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from models.errors import NotFound, TimedOut
from models.protocol.host import DaemonName
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
AT_ONCE_NS = 8_000_000  # the same where nodes wait for it
DYING_S = 2.0  # from the end of its connections to its own


@dataclass(frozen=True)
class Cut:
    """instant_ns: of this host's CLOCK_MONOTONIC; virtual time stood at virtual_ns then. frozen_ns: node → when it did."""

    instant_ns: int
    virtual_ns: int
    frozen_ns: Mapping[str, int]


def stand_still(layout: InstanceLayout, nodes: Sequence[str], just_before: Callable[[], None]) -> Cut:
    """Nothing is delivered from the instant on, then every node stops. Raises SwapbedError; then `go_on` brings it back to life.

    just_before: done once everybody can be reached.
    """
    with ExitStack() as opened:
        machines = opened.enter_context(Monitors(layout, nodes))
        inits = [opened.enter_context(InitClient(opened.enter_context(init_socket(layout.node(node))))) for node in nodes]
        just_before()
        instant_ns = time.monotonic_ns() + AHEAD_NS
        origin_ns = _stop_time(layout, instant_ns)
        for init in inits:
            init.post("quiesce")
        for init in inits:
            init.await_quiesced()
        with ThreadPoolExecutor(1) as beside:
            stopping = beside.submit(machines.stop)
            frozen_ns = freeze(_containers(layout, nodes)) | stopping.result()
    return Cut(instant_ns, instant_ns - origin_ns, frozen_ns)


def _stop_time(layout: InstanceLayout, instant_ns: int) -> int:
    """Returns when virtual time began, in this host's CLOCK_MONOTONIC."""
    with ThreadPoolExecutor(2) as both:
        virtual = [each.result() for each in [both.submit(suspend, layout, instant_ns) for suspend in (_suspend_wires, _suspend_conductor)]]
    readings = {reading for reading in virtual if reading is not None}
    if len(readings) != 1:
        raise TimedOut("wires and conductor did not stand still at one instant", where=layout.root.name, next="Try again")
    state = ClockState.model_validate_json(layout.clock.read_bytes())
    write_whole(layout.clock, ClockState(origin_ns=state.origin_ns, frozen_ns=readings.pop()).model_dump_json().encode())
    return state.origin_ns


def stand_later(layout: InstanceLayout, cut: Cut, nodes: Sequence[str], after_s: float) -> Cut:
    """The same cut, but these nodes, which stand still at a moment at which they cannot be dumped, run on for after_s."""
    paths = _containers(layout, nodes)
    for path in paths.values():
        (path / "cgroup.freeze").write_text("0")
    time.sleep(after_s)
    return replace(cut, frozen_ns={**cut.frozen_ns, **freeze(paths)})


def go_on(layout: InstanceLayout, frozen_after_ns: Mapping[str, int], at_ns: int | None = None) -> int:
    """Time goes on from at_ns (default: in a moment), each node as much later as it had stood still later. Returns when it did: at_ns, and
    as much more as a node was late.

    Also for an instance that only partly stands still, after whoever stopped it has died: what runs is left as it is. Whatever wires or
    conductor refuse, the nodes go on when this raises; it may be done again.
    """
    with Monitors(layout, list(frozen_after_ns)) as machines:
        at_ns = time.monotonic_ns() + AT_ONCE_NS if at_ns is None else at_ns
        try:
            _start_time(layout, at_ns)
        finally:
            instants = {node: at_ns + after for node, after in frozen_after_ns.items()}
            late_ns = thaw({path: instants[node] for node, path in _containers(layout, list(instants)).items()},
                           machines.to_let_go(instants))
            machines.confirm()
        return at_ns + late_ns


def _containers(layout: InstanceLayout, nodes: Sequence[str]) -> dict[str, Path]:
    """With their cgroups."""
    vms = set(vms_of(layout, nodes))
    return {node: cgroups.node_cgroup(layout.root.name, node) for node in nodes if node not in vms}


def _start_time(layout: InstanceLayout, at_ns: int) -> None:
    """Wires and conductor get one clock again, whatever each of them had come to when whoever stopped them died."""
    state = ClockState.model_validate_json(layout.clock.read_bytes())
    frozen_ns, origin_ns = state.frozen_ns, state.origin_ns
    if frozen_ns is not None:
        origin_ns = at_ns - frozen_ns
    with _unless_dead(layout, "wires"), WiresClient(layout) as wires:
        if frozen_ns is not None:
            origin_ns = wires.resume(at_ns).origin_ns
        elif (hello := wires.hello()).frozen:  # never did both stand still: for the one that does it is as if it had not
            wires.resume(origin_ns + hello.virtual_ns)
    if frozen_ns is not None:
        _write_running(layout.clock, ClockState(origin_ns=origin_ns))
    with _unless_dead(layout, "conductor"), ConductorClient(layout) as conductor:
        if frozen_ns is not None:
            conductor.resume(origin_ns + frozen_ns)
        elif (said := conductor.hello()).suspended:
            conductor.resume(origin_ns + said.virtual_ns)


@contextmanager
def _unless_dead(layout: InstanceLayout, daemon: DaemonName) -> Iterator[None]:
    """Nothing is asked of one that has died, before or while it was asked: whoever starts it again gives it the clock."""
    try:
        yield
    except NotFound:
        deadline = time.monotonic() + DYING_S
        while daemons.status(layout, daemon).alive:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.01)


def _write_running(path: Path, state: ClockState) -> None:
    """On a full disk in place: a running clock takes no more room there than one that stands still."""
    content = state.model_dump_json().encode()
    try:
        write_whole(path, content)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        with path.open("r+b") as file:
            file.write(content.ljust(path.stat().st_size))


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
