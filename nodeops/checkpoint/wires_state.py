"""What was between the nodes at the cut.

A frozen node's kernel goes on by itself: what its TCP had queued still leaves, paced, and belongs to the state that CRIU finds. Once
CRIU has let go of the sockets, whatever they send was never sent by the node in the checkpoint, which will send it itself; nor was what
only its timers sent again meanwhile.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from models.protocol.wires import SavedPipe
from nodeops.checkpoint.sent_again import without_repeats
from nodeops.layout import InstanceLayout
from nodeops.wires.client import WiresClient


def save_wires(layout: InstanceLayout, directory: Path, dumped_after_ns: Mapping[str, int]) -> int:
    """dumped_after_ns: node → how long after the cut CRIU still held its sockets. Returns the number of frames saved."""
    directory.mkdir()
    with WiresClient(layout) as wires:
        saved = wires.save(directory)
    pipes = [SavedPipe.model_validate_json((directory / name).read_bytes()) for name in saved.files]
    kept = without_repeats([sent_before(pipe, dumped_after_ns[pipe.node]) for pipe in pipes])
    for name, pipe, less in zip(saved.files, pipes, kept, strict=True):
        if less is not pipe:
            (directory / name).write_text(less.model_dump_json())
    return saved.frames - sum(len(pipe.early) - len(less.early) for pipe, less in zip(pipes, kept, strict=True))


def sent_before(pipe: SavedPipe, limit_ns: int) -> SavedPipe:
    """The same pipe without what its node sent later than limit_ns after the cut; pure."""
    early = tuple(frame for frame in pipe.early if frame.due_in_ns <= limit_ns)
    return pipe if len(early) == len(pipe.early) else pipe.model_copy(update={"early": early})
