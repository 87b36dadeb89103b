"""Progress of whatever takes over a second, on stderr: a moving line on a terminal, one line per finished step elsewhere.

A step is named by its text; `report` is given how much of it is done. The moving line appears after `PATIENCE_S`, and only steps that
took so long get a line of their own, so that what is quick stays quiet.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from swapbed.present.units import duration

PATIENCE_S = 1.0
Report = Callable[[str, int, int], None]


def quiet(text: str, done: int = 0, total: int = 0) -> None:
    """A Report that shows nothing: for `--format json` into pipes, and for the Python API."""


class _Lines:
    """One line per step, written when it is over."""

    def __init__(self) -> None:
        self.begun = time.monotonic()
        self.text: str | None = None
        self.last = (0, 0)

    def report(self, text: str, done: int = 0, total: int = 0) -> None:
        if text != self.text:
            self.finish()
            self.text, self.begun = text, time.monotonic()
        self.last = (done, total)

    def finish(self) -> None:
        now = time.monotonic()
        if self.text is not None and now - self.begun >= PATIENCE_S:
            done, total = self.last
            sys.stderr.write(f"{self.text}{f' {done}/{total}' if total else ''} ({duration(round(now - self.begun, 2))})\n")
            sys.stderr.flush()


class _Bar:
    """The same on a terminal, with rich, which is imported only when it comes to that."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

        self.begun = time.monotonic()
        self.started = False
        self.progress = Progress(SpinnerColumn(), TextColumn("{task.description}"), BarColumn(bar_width=30),
                                 TextColumn("{task.fields[amount]}"), TimeElapsedColumn(),
                                 console=Console(stderr=True), transient=True)
        self.task = self.progress.add_task("", total=None, amount="")

    def report(self, text: str, done: int = 0, total: int = 0) -> None:
        self.progress.update(self.task, description=text, completed=done, total=total or None,
                             amount=f"{done}/{total}" if total else "")
        if not self.started and time.monotonic() - self.begun >= PATIENCE_S:
            self.started = True
            self.progress.start()

    def finish(self) -> None:
        if self.started:
            self.progress.stop()


@contextmanager
def progress() -> Iterator[Report]:
    """Shows what is reported until the block ends, however it ends."""
    shown = _Bar() if sys.stderr.isatty() else _Lines()
    try:
        yield shown.report
    finally:
        shown.finish()
