"""Replies that wait for something to become true."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from pydantic import BaseModel

from models.errors import SwapbedError, TimedOut
from nodeops.conductor.service import Service
from nodeops.control import Deferred

Answer = TypeVar("Answer", bound=BaseModel)


@dataclass(frozen=True)
class Waiter:
    deferred: Deferred
    condition: Callable[[], bool]
    result: Callable[[], BaseModel]
    until_s: float | None
    on_timeout: Callable[[], BaseModel]


class Waiting:
    """Looked at after every round of the service's loop."""

    def __init__(self, service: Service):
        self._waiters: list[Waiter] = []
        service.checks.append(self._look)
        service.deadline_s = self._deadline_s

    def until(self, condition: Callable[[], bool], result: Callable[[], Answer], timeout_s: float | None = None, *,
              what: str = "", on_timeout: Callable[[], Answer] | None = None) -> Answer | Deferred:
        """The result as soon as the condition holds. After timeout_s of the wall clock: on_timeout's, or TimedOut about what."""
        if condition():
            return result()

        def timed_out() -> Answer:
            raise TimedOut(f"waited {timeout_s:g} s in vain for {what}")

        deferred = Deferred()
        until_s = None if timeout_s is None else time.monotonic() + timeout_s
        self._waiters.append(Waiter(deferred, condition, result, until_s, on_timeout or timed_out))
        return deferred

    def _look(self) -> None:
        for waiter in list(self._waiters):
            over = waiter.until_s is not None and time.monotonic() >= waiter.until_s
            try:
                if waiter.condition():
                    waiter.deferred.resolve(waiter.result())
                elif over:
                    waiter.deferred.resolve(waiter.on_timeout())
                else:
                    continue
            except SwapbedError as error:
                waiter.deferred.fail(error)
            self._waiters.remove(waiter)

    def _deadline_s(self) -> float | None:
        """Seconds until the next timeout."""
        ends = [waiter.until_s for waiter in self._waiters if waiter.until_s is not None]
        return min(ends) - time.monotonic() if ends else None
