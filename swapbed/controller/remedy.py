"""What the controller looks for from time to time, and the flow that mends it."""

from __future__ import annotations

import time
from collections.abc import Callable

from swapbed.controller.flow_process import FlowProcess

FIRST_RETRY_S, LAST_RETRY_S = 2.0, 60.0


class Remedy:
    """find: the ids of what needs it, most urgent first. subject: the name of the flow's parameter for such an id.

    What fails is tried again, ever more rarely.
    """

    def __init__(self, flow: str, subject: str, find: Callable[[], list[str]], *, period_s: float, at_once: int):
        self.flow, self.subject, self.find, self.period_s, self.at_once = flow, subject, find, period_s, at_once
        self.due_s = 0.0
        self.running: dict[str, FlowProcess] = {}
        self.next_try: dict[str, tuple[float, float]] = {}  # id → when, and how long to wait after that

    def step(self, start: Callable[..., FlowProcess]) -> None:
        """start: begins a flow."""
        if time.monotonic() < self.due_s:
            return
        self.due_s = time.monotonic() + self.period_s
        self.running = {one: flow for one, flow in self.running.items() if flow.process.is_alive()}
        found = self.find()
        self.next_try = {one: entry for one, entry in self.next_try.items() if one in found}
        for one in found:
            when, pause_s = self.next_try.get(one, (0.0, FIRST_RETRY_S))
            if one not in self.running and len(self.running) < self.at_once and time.monotonic() >= when:
                self.next_try[one] = time.monotonic() + pause_s, min(2 * pause_s, LAST_RETRY_S)
                self.running[one] = start(self.flow, **{self.subject: one})
