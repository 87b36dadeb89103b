"""How far a flow is, told to whoever launched it. A process runs one flow for somebody who watches, hence one listener."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from models.protocol.control import Progress

Listener = Callable[[Progress], None]
_listeners: list[Listener] = []


def report(text: str, done: int = 0, total: int = 0) -> None:
    """done of total units of work named by text; total 0 means unknown."""
    for listener in _listeners:
        listener(Progress(id=0, text=text, done=done, total=total))


@contextmanager
def listening(listener: Listener) -> Iterator[None]:
    _listeners.append(listener)
    try:
        yield
    finally:
        _listeners.remove(listener)
