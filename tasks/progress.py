"""How far a flow is: told to whoever launched it, and shown in Prefect once it takes longer than a moment."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import monotonic
from typing import Any
from uuid import UUID

from models.protocol.control import Progress

Listener = Callable[[Progress], None]
Answered = Callable[[dict[str, Any]], None]
_listeners: list[Listener] = []  # of this process, which runs one flow for somebody who watches
_answered: list[Answered] = []
MOMENT_S = 1.0


def report(text: str, done: int = 0, total: int = 0) -> None:
    """done of total units of work named by text; total 0 means unknown."""
    for listener in _listeners:
        listener(Progress(id=0, text=text, done=done, total=total))


def answer(result: dict[str, Any]) -> bool:
    """What whoever launched the flow waits for is done; the flow has more to do, for which nobody waits. Returns whether somebody did."""
    for answered in _answered:
        answered(result)
    return bool(_answered)


@contextmanager
def listening(listener: Listener, answered: Answered) -> Iterator[None]:
    _listeners.append(listener)
    _answered.append(answered)
    try:
        yield
    finally:
        _listeners.remove(listener)
        _answered.remove(answered)


class Watch:
    """A listener for one step's progress, to be called within its task: passes it on, and keeps a progress bar in Prefect."""

    def __init__(self, what: str):
        self.what = what
        self.bar: UUID | None = None
        self.due_s = monotonic() + MOMENT_S

    def __call__(self, progress: Progress) -> None:
        report(progress.text, progress.done, progress.total)
        if progress.total and monotonic() >= self.due_s:
            self.due_s = monotonic() + MOMENT_S
            self._show(100 * progress.done / progress.total, progress.text)

    def done(self) -> None:
        if self.bar is not None:
            self._show(100, "done")

    def _show(self, percent: float, text: str) -> None:
        from prefect.artifacts import create_progress_artifact, update_progress_artifact  # the controller, too, imports this module

        if self.bar is None:
            created = create_progress_artifact(percent, description=f"{self.what}: {text}")
            assert isinstance(created, UUID)
            self.bar = created
        else:
            update_progress_artifact(self.bar, percent, description=f"{self.what}: {text}")
