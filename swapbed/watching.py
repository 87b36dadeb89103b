"""Noticing what nobody is left to tell of: instances on this host whose conductor is dead, and perhaps all else with it.

Conductors tell of nodes and wires that die (`swapbed.messages`); after a crash of the host, or of the conductor itself, this finds them.
On other hosts it is found at the next run's beginning or end.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from sqlmodel import col, select

from models.database import reading
from models.settings import settings
from models.states import InstanceState
from models.tables import Host, Instance
from nodeops import daemons
from nodeops.layout import InstanceLayout
from swapbed.flow_process import FlowProcess

PERIOD_S = 2.0
FIRST_RETRY_S, LAST_RETRY_S = 2.0, 60.0


class Watching:
    """start: begins a flow. What cannot be mended is tried again, ever more rarely."""

    def __init__(self, start: Callable[..., FlowProcess]):
        self.start = start
        self.due_s = 0.0
        self.running: dict[str, FlowProcess] = {}
        self.next_try: dict[str, tuple[float, float]] = {}  # instance → when, and how long to wait after that

    def step(self) -> None:
        if time.monotonic() < self.due_s:
            return
        self.due_s = time.monotonic() + PERIOD_S
        self.running = {instance: flow for instance, flow in self.running.items() if flow.process.is_alive()}
        left = without_conductor()
        self.next_try = {instance: entry for instance, entry in self.next_try.items() if instance in left}
        for instance in left - set(self.running):
            when, pause_s = self.next_try.get(instance, (0.0, FIRST_RETRY_S))
            if time.monotonic() >= when:
                self.next_try[instance] = time.monotonic() + pause_s, min(2 * pause_s, LAST_RETRY_S)
                self.running[instance] = self.start("mend", instance_id=instance)


def without_conductor() -> set[str]:
    """Ids of instances that are up, of this host and state directory, and have none."""
    query = (select(Instance.id).join(Host, col(Instance.home_id) == Host.id)
             .where(Instance.state == InstanceState.UP, col(Host.address).is_(None)))
    with reading() as session:
        ids = list(session.exec(query))
    layouts = {instance: InstanceLayout(settings().instances_dir / instance) for instance in ids}
    return {instance for instance, layout in layouts.items()
            if layout.identity.exists() and not daemons.status(layout, "conductor").alive}
