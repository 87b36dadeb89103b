"""Between reading and writing data on a host, and knowing where chunks are: the two interfaces that both ends meet in.

`storage.direct` implements them beside the database, `storage.transfer` on a host that has only a token. Everything that cuts, packs,
restores or walks manifests (`storage.ingest`, `storage.reading`, `storage.trees`, `storage.images`) works with either.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import NamedTuple, Protocol

from models.manifest import ManifestRef
from storage.nodes import Kind
from storage.pack import Located, Pack

Node = tuple[Kind, bytes]
RUN_BYTES, RUN_RAW_BYTES = 4 << 20, 16 << 20  # stored and raw bytes after which a run ends: readers hold several


class Answer(NamedTuple):
    """unknown: send these. elsewhere: somebody is sending them just now; ask again before the end."""

    unknown: set[bytes]
    elsewhere: set[bytes]


class ChunkSink(Protocol):
    """Where chunks go. Safe to be used by many threads."""

    project: str

    def ask(self, hashes: Sequence[bytes], final: bool = False) -> Answer:
        """Which of these chunks must be sent. final: answer `unknown` for what would be elsewhere."""

    def send(self, pack: Pack) -> None:
        """Durable in the store and claimed in the catalog when it returns; tried again, with back-off, where that may help."""

    def commit(self, manifest: ManifestRef) -> None:
        """Everything is sent. Raises Corrupt, naming it, if anything that the manifest reaches is not there."""


class Run(NamedTuple):
    """Neighbouring chunks of one pack, to be read at once. url, headers: the permission to, where one is needed."""

    pack: str
    start: int
    end: int
    chunks: tuple[Located, ...]
    url: str = ""
    headers: tuple[tuple[str, str], ...] = ()


class ChunkSource(Protocol):
    """Where chunks come from. Safe to be used by many threads."""

    def open(self, parents: Sequence[Node], only: Collection[bytes] | None = None, avoid: Collection[str] = ()) -> list[Run]:
        """Where the children of these nodes lie (only: those of them). avoid: packs that turned out to be bad.

        A node may be a parent if it is one of the manifests this source was made for, or came as a child from it. Without
        parents: these manifests' own nodes. What is nowhere to be found is missing from the answer.
        """

    def fetch(self, run: Run) -> bytes:
        """Its bytes, as they lie in the pack: not verified. NotFound, StoreProblem, or Corrupt if they cannot be had."""


def plan_runs(places: Collection[tuple[str, Located]], gap_bytes: int = 0) -> list[Run]:
    """Runs that cover these places of chunks, in order of pack and offset. At most gap_bytes that nobody asked for lie between two
    chunks of one run; with none, a run may be shown to somebody who may read its chunks and nothing else."""
    runs: list[Run] = []
    pack, start, end, raw_bytes = "", 0, 0, 0
    chunks: list[Located] = []
    for name, chunk in sorted(places, key=lambda place: (place[0], place[1].offset)):
        if name != pack or not 0 <= chunk.offset - end <= gap_bytes or end - start >= RUN_BYTES or raw_bytes >= RUN_RAW_BYTES:
            if chunks:
                runs.append(Run(pack, start, end, tuple(chunks)))
            pack, start, raw_bytes, chunks = name, chunk.offset, 0, []
        chunks.append(chunk)
        end = chunk.offset + chunk.stored_bytes
        raw_bytes += chunk.raw_bytes
    if chunks:
        runs.append(Run(pack, start, end, tuple(chunks)))
    return runs
