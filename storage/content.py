"""The content of one file or image on its way into the store: pieces in, records or a FLAT node out, in memory that does not grow."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future
from typing import NamedTuple

from storage.chunking import BUFFER_BYTES, Hole
from storage.ingest import Again, Ingest
from storage.nodes import (
    HOLE,
    INLINE_RECORDS,
    SEGMENT_BYTES,
    SEGMENT_MASK,
    SEGMENT_RECORDS_MAX,
    Kind,
    Record,
    encode_flat,
    encode_segment,
    pack_records,
)

BATCH_CHUNKS = 1024
PIECES_AT_ONCE = 64  # looked at together: asking after each whether it is done would cost more than hashing it


class Batch:
    """Chunks that go to a worker together; `names` are theirs once it is done."""

    def __init__(self, account: str) -> None:
        self.account = account
        self.chunks: list[memoryview] = []
        self.again: list[Again] = []
        self.size_bytes = 0
        self._work: Future[list[bytes]] | None = None

    @property
    def done(self) -> bool:
        return self._work is not None and self._work.done()

    def launch(self, ingest: Ingest) -> None:
        self._work = ingest.submit(self.chunks, self.again, account=self.account)
        self.chunks, self.again = [], []  # the worker has them; they are freed when it is done

    def names(self) -> list[bytes]:
        assert self._work is not None
        return self._work.result()


class Batcher:
    """Fills batches from one thread, so that many small files cost as few hand-overs as one big one."""

    def __init__(self, ingest: Ingest):
        self.ingest = ingest
        self._open = Batch("")

    def charge(self, account: str) -> None:
        """What is added from now on is counted on that account."""
        if account != self._open.account:
            self.flush()
            self._open.account = account

    def add(self, chunk: memoryview, again: Again) -> tuple[Batch, int]:
        batch = self._open
        batch.chunks.append(chunk)
        batch.again.append(again)
        batch.size_bytes += chunk.nbytes
        place = batch, len(batch.chunks) - 1
        if batch.size_bytes >= BUFFER_BYTES or len(batch.chunks) >= BATCH_CHUNKS:
            self.flush()
        return place

    def flush(self) -> None:
        if self._open.chunks:
            self._open.launch(self.ingest)
            self._open = Batch(self._open.account)


class Content(NamedTuple):
    """records: of a short file; else node: its FLAT."""

    size: int
    records: bytes
    node: bytes


class ContentWriter:
    """Takes the pieces of one file in order and groups their records into SEGMENT nodes, by a rule that knows nothing but the content.

    image: segments end at fixed places, there is always a FLAT node, and it is segmented if the image is longer than one. Else they end
    where a record's hash says so, and a file of few records has neither.
    """

    __slots__ = ("image", "size", "_batcher", "_pieces", "_segment", "_segment_bytes", "_waiting", "_count", "_segments")

    def __init__(self, batcher: Batcher, image: bool = False):
        self.image, self.size = image, 0
        self._batcher = batcher
        self._pieces: list[tuple[Batch, int, int] | Record] = []
        self._segment: list[Record] = []
        self._segment_bytes = 0
        self._waiting: list[list[Record]] = []  # closed segments, as long as the file may turn out to be short
        self._count = 0
        self._segments: list[Record] = []

    def add(self, piece: memoryview | Hole, again: Again | None = None) -> None:
        if isinstance(piece, Hole):
            self._pieces.append(Record(HOLE, piece.size))
            self.size += piece.size
        else:
            assert again is not None
            self._pieces.append((*self._batcher.add(piece, again), piece.nbytes))
            self.size += piece.nbytes
        if not len(self._pieces) % PIECES_AT_ONCE:
            self._advance()

    def reuse(self, segment: Record) -> None:
        """A whole segment as it is known from before; images only, at a segment's beginning."""
        self._advance(wait=True)
        self._flush_waiting()
        self._segments.append(segment)
        self.size += segment.size

    @property
    def batches(self) -> set[Batch]:
        """Those whose results are still needed."""
        return {piece[0] for piece in self._pieces if not isinstance(piece, Record)}

    def finish(self) -> Content:
        """Waits for all batches, which must have been launched."""
        self._advance(wait=True)
        self._close_segment()
        short = [record for segment in self._waiting for record in segment]
        if not self._segments and not self.image:
            return Content(self.size, pack_records(short), b"")
        if self._segments:
            self._flush_waiting()
        node = encode_flat(self.size, pack_records(self._segments or short), segmented=bool(self._segments))
        return Content(self.size, b"", self._batcher.ingest.node(Kind.FLAT, node))

    def _advance(self, wait: bool = False) -> None:
        known = 0
        for piece in self._pieces:
            if isinstance(piece, Record):
                self._record(piece)
            elif wait or piece[0].done:
                self._record(Record(piece[0].names()[piece[1]], piece[2]))
            else:
                break
            known += 1
        del self._pieces[:known]

    def _record(self, record: Record) -> None:
        last = self._segment[-1] if self._segment else None
        if record.hash == HOLE and last is not None and last.hash == HOLE:
            self._segment[-1] = Record(HOLE, last.size + record.size)
        else:
            self._segment.append(record)
            self._count += 1
        self._segment_bytes += record.size
        if self.image:
            ends = self._segment_bytes >= SEGMENT_BYTES
        else:
            ends = len(self._segment) >= SEGMENT_RECORDS_MAX or (record.hash != HOLE and not record.hash[0] & SEGMENT_MASK)
        if ends:
            self._close_segment()

    def _close_segment(self) -> None:
        if self._segment:
            self._waiting.append(self._segment)
            self._segment, self._segment_bytes = [], 0
        if self._segments or (len(self._waiting) > 1 if self.image else self._count > INLINE_RECORDS):
            self._flush_waiting()

    def _flush_waiting(self) -> None:
        for records in self._waiting:
            self._segments.append(self._store_segment(records))
        self._waiting = []

    def _store_segment(self, records: Sequence[Record]) -> Record:
        size = sum(record.size for record in records)
        if all(record.hash == HOLE for record in records):
            return Record(HOLE, size)
        return Record(self._batcher.ingest.node(Kind.SEGMENT, encode_segment(pack_records(records))), size)
