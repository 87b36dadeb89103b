"""What a conductor that died had decided: its last saved state, and every happening since.

A happening is written before anything is done about it. A new conductor reads the state, tells the machine those happenings again,
and has exactly the old one's state; orders still outstanding then are given again, which inits and wires recognize. So the crash of a
conductor loses no decision. What happens while there is none is learnt late: ends of programs, which inits keep, with their true
times; timeline events when the new one is up, their planned times beside. What a crash of the host loses does not matter: the nodes
are gone, too.
"""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict

from models.errors import Corrupt
from models.spec import Spec
from nodeops.conductor.happenings import HAPPENING, Happening, Output
from nodeops.conductor.machine import Machine
from nodeops.conductor.state import State

LINES_BEFORE_SAVING = 2000


class Remembered(BaseModel):
    """running: a conductor has this in hand, and did not end in an orderly way if there is none. restarts: how often one had to take
    over from a dead one. captures: by the wires, name → number."""

    model_config = ConfigDict(extra="forbid")

    format: int = 1
    generation: int = 0
    running: bool = False
    restarts: int = 0
    state: State = State()
    captures: dict[str, int] = {}


class Memory:
    """`machine` is the machine as it was. Call `note` with every happening before feeding it, `save` now and then."""

    def __init__(self, directory: Path, spec: Spec):
        self._file = directory / "conductor.state"
        self._directory = directory
        self.kept = self._read()
        self.machine = Machine(spec, self.kept.state)
        self.was_interrupted = self.kept.running
        self.poison = ""
        self.replayed = self._replay()
        self._lines = 0
        self._happenings = self._path().open("ab", buffering=0)

    def note(self, happening: Happening) -> None:
        self._happenings.write(happening.model_dump_json().encode() + b"\n")
        self._lines += 1

    def save_if_due(self) -> None:
        if self._lines >= LINES_BEFORE_SAVING:
            self.save(running=True)

    def save(self, *, running: bool) -> None:
        """From here on happenings go to a new file: a crash between the two steps finds either pair complete."""
        old = self._path()
        self.kept.generation, self.kept.running, self.kept.state = self.kept.generation + 1, running, self.machine.state
        beside = self._file.with_suffix(".new")
        beside.write_text(self.kept.model_dump_json())
        self._path().unlink(missing_ok=True)
        beside.rename(self._file)
        self._happenings.close()
        self._happenings = self._path().open("ab", buffering=0)
        self._lines = 0
        old.unlink(missing_ok=True)

    def replace(self, other: Remembered, spec: Spec) -> None:
        """Another moment of this instance's life, or of the one that this was forked from."""
        self.machine = Machine(spec, other.state)
        self.kept.captures.clear()
        self.save(running=True)

    def close(self) -> None:
        self._happenings.close()

    def _path(self) -> Path:
        return self._directory / f"conductor.happenings.{self.kept.generation}"

    def _read(self) -> Remembered:
        try:
            return Remembered.model_validate_json(self._file.read_bytes())
        except FileNotFoundError:
            return Remembered()
        except ValueError as error:
            raise Corrupt(f"the conductor's saved state cannot be read: {error}", where=str(self._file)) from error

    def _replay(self) -> list[Output]:
        """Tells the machine what its predecessor was told since; returns all outputs. A line that a crash cut short was not acted upon.

        A happening that the predecessor died of must not kill this one, too: it is dropped, and named in `poison`.
        """
        if not self._path().exists():
            return []
        content = self._path().read_bytes()
        lines = content[:content.rfind(b"\n") + 1].splitlines(keepends=True)
        outputs: list[Output] = []
        for number, line in enumerate(lines):
            try:
                outputs += self.machine.feed(HAPPENING.validate_json(line))
            except Exception as error:
                if number < len(lines) - 1:
                    raise
                self.poison = f"{type(error).__name__}: {error}: {line[:200].decode(errors='replace')}"
                del lines[number:]
                self.kept = self._read()
                self.machine = Machine(self.machine.stage.spec, self.kept.state)
                outputs = [output for before in lines for output in self.machine.feed(HAPPENING.validate_json(before))]
        with self._path().open("r+b") as file:
            file.truncate(sum(map(len, lines)))
        return outputs
