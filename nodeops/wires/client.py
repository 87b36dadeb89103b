"""The wires of an instance, as conductor, tasks and face see them: one typed method per operation."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from models.events import Arguments
from models.protocol.control import Nothing
from models.protocol.wires import (
    OPERATIONS,
    At,
    CaptureEnded,
    CaptureNumber,
    CaptureStart,
    Change,
    Directory,
    Frozen,
    Hello,
    Reloaded,
    Resumed,
    Saved,
    Show,
    Shown,
    ShownPipe,
    Target,
)
from nodeops.control import ControlClient
from nodeops.layout import InstanceLayout
from nodeops.wires.filter import compile_filter

WRITTEN_S = 20


class WiresClient:
    """One connection; raises NotFound if no wires answer. For the operations' contracts see `models.protocol.wires`."""

    def __init__(self, layout: InstanceLayout, *, timeout_s: float = 60):
        self.layout = layout
        self._control = ControlClient(layout.daemon("wires", "sock"), OPERATIONS, timeout_s=timeout_s)

    def hello(self) -> Hello:
        return self._control.call("hello", Nothing(), Hello)

    def show(self, lan: str | None = None, member: str | None = None) -> list[ShownPipe]:
        """Every pipe of a LAN, or of all."""
        pipes: list[ShownPipe] = []
        while True:
            page = self._control.call("show", Show(lan=lan, member=member, skip=len(pipes)), Shown)
            pipes += page.pipes
            if not page.pipes or len(pipes) >= page.total:
                return pipes

    def measure(self) -> None:
        """Lateness and achieved rates count from now on."""
        self._control.call("measure", Nothing(), Nothing)

    def change(self, lan: str, values: Arguments) -> None:
        self._control.call("change", Change(lan=lan, values=values), Nothing)

    def up(self, lan: str, member: str | None = None) -> None:
        self._control.call("up", Target(lan=lan, member=member), Nothing)

    def down(self, lan: str, member: str | None = None) -> None:
        """Frames that enter are dropped from now on; those under way arrive."""
        self._control.call("down", Target(lan=lan, member=member), Nothing)

    def reset(self, lan: str, member: str | None = None) -> None:
        """Up, and shaped as the spec says."""
        self._control.call("reset", Target(lan=lan, member=member), Nothing)

    def reload(self) -> Reloaded:
        """Take over the instance's spec.json as it is now; attach to devices that are new or were missing."""
        return self._control.call("reload", Nothing(), Reloaded)

    def suspend(self, monotonic_ns: int | None = None) -> Frozen:
        """Answers when the instant has come: nothing is delivered after it. The caller writes clock.json."""
        return self._control.call("suspend", At(monotonic_ns=monotonic_ns), Frozen)

    def resume(self, monotonic_ns: int | None = None) -> Resumed:
        """Answers at once; time goes on from that instant. The caller writes clock.json."""
        return self._control.call("resume", At(monotonic_ns=monotonic_ns), Resumed)

    def save(self, directory: Path) -> Saved:
        return self._control.call("save", Directory(path=str(directory)), Saved)

    def restore(self, directory: Path) -> None:
        self._control.call("restore", Directory(path=str(directory)), Nothing)

    def capture_start(self, lan: str, path: Path, *, member: str | None = None, snap_bytes: int = 0, expression: str = "",
                      zero_ns: int = 0, sent_only: bool = False) -> int:
        """Returns the number to stop it by. path: absolute; a named pipe must have its reader already."""
        program = compile_filter(expression) if expression else ()
        start = CaptureStart(lan=lan, member=member, path=str(path), snap_bytes=snap_bytes, program=program, zero_ns=zero_ns,
                             sent_only=sent_only)
        return self._control.call("capture_start", start, CaptureNumber).number

    def capture_stop(self, number: int) -> CaptureEnded:
        """Answers when the file is complete, or the reader of a pipe keeps it waiting for too long."""
        deadline = time.monotonic() + WRITTEN_S
        while True:
            ended = self._control.call("capture_stop", CaptureNumber(number=number), CaptureEnded)
            if ended.written or time.monotonic() > deadline:
                return ended
            time.sleep(0.002)

    @contextmanager
    def capture(self, lan: str, path: Path, *, member: str | None = None, expression: str = "") -> Iterator[None]:
        number = self.capture_start(lan, path, member=member, expression=expression)
        try:
            yield
        finally:
            self.capture_stop(number)

    def stop(self) -> None:
        self._control.call("stop", Nothing(), Nothing)

    def close(self) -> None:
        self._control.close()

    def __enter__(self) -> WiresClient:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
