"""Where images and files are cut into chunks, and what a chunk is called.

A chunk is named by the BLAKE3 hash of its bytes. Where the cuts are is a function of the content alone (not of holes on the disk, buffer
sizes or what was stored before), so that equal content has equal chunks everywhere. It must never change: tests/storage/test_chunking.py
holds golden cuts. docs/storage.md has the measurements behind the sizes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

from blake3 import blake3
from pyfastcdc import FastCDC

HASH_BYTES = 32
PAGE_BYTES = 4096
IMAGE_CHUNK_BYTES = 4 * PAGE_BYTES
ZERO_BLOCK_BYTES = 64 << 10  # an aligned block of zeros this long is a hole in a file; cuts on both its sides
FILE_CHUNK_MIN, FILE_CHUNK_AVERAGE, FILE_CHUNK_MAX = 16 << 10, 64 << 10, 256 << 10
BUFFER_BYTES = 4 << 20  # what is read at once; a multiple of both block sizes

_CUTTER = FastCDC(FILE_CHUNK_AVERAGE, min_size=FILE_CHUNK_MIN, max_size=FILE_CHUNK_MAX, normalized_chunking=1, seed=0)


@dataclass(frozen=True, slots=True)
class Hole:
    """So many bytes of zeros, which need no chunk."""

    size: int


Cut = memoryview | Hole


def name_of(data: bytes | bytearray | memoryview) -> bytes:
    """A chunk's name, which says all about its content and nothing about its place."""
    return blake3(data).digest()


def cut_image(buffer: bytes) -> Iterator[Cut]:
    """Chunks of a piece of an image that begins on a multiple of BUFFER_BYTES: fixed, page-aligned; adjacent zero chunks are one hole."""
    view = memoryview(buffer)
    hole = 0
    for start in range(0, len(buffer), IMAGE_CHUNK_BYTES):
        size = min(IMAGE_CHUNK_BYTES, len(buffer) - start)
        if _is_zero(buffer, start, size):
            hole += size
            continue
        if hole:
            yield Hole(hole)
            hole = 0
        yield view[start:start + size]
    if hole:
        yield Hole(hole)


class FileCutter:
    """Cuts one file, given in pieces of BUFFER_BYTES (the last may be shorter) and holes of whole zero blocks, in order.

    What `feed` returns are views of its buffers, which must not be changed afterwards.
    """

    def __init__(self) -> None:
        self._rest = b""  # of the segment being cut: less than FILE_CHUNK_MAX, too little to know where its next cut is
        self._hole = 0

    def feed(self, buffer: bytes) -> Iterator[Cut]:
        start = 0
        for end, zero in _runs(buffer):
            if zero:
                yield from self.skip(end - start)
            else:
                if self._hole:
                    yield Hole(self._hole)
                    self._hole = 0
                yield from self._cut(memoryview(buffer)[start:end])
            start = end

    def skip(self, size: int) -> Iterator[Cut]:
        """So many zeros, not given as bytes."""
        yield from self._end_segment()
        self._hole += size

    def finish(self) -> Iterator[Cut]:
        yield from self._end_segment()
        if self._hole:
            yield Hole(self._hole)

    def _cut(self, data: memoryview) -> Iterator[Cut]:
        """All chunks but the last ones, whose end could yet change: a cut is sure where FILE_CHUNK_MAX follow the chunk's beginning."""
        rest = self._rest
        at = 0
        if rest:
            joint = memoryview(rest + data[:FILE_CHUNK_MAX])  # the few chunks that begin in the rest: no need to copy all data
            for chunk in _sure(joint):
                at += chunk.nbytes
                yield chunk
                if at >= len(rest):
                    break
            if at < len(rest):
                self._rest = rest[at:] + data
                return
            at -= len(rest)
        for chunk in _sure(data[at:]):
            at += chunk.nbytes
            yield chunk
        self._rest = bytes(data[at:])

    def _end_segment(self) -> Iterator[Cut]:
        if self._rest:
            for chunk in _CUTTER.cut_buf(memoryview(self._rest)):
                yield chunk.data
            self._rest = b""


def _sure(data: memoryview) -> Iterator[memoryview]:
    left = data.nbytes
    chunks = _CUTTER.cut_buf(data) if left else iter(())
    while left >= FILE_CHUNK_MAX:
        chunk = next(chunks).data
        left -= chunk.nbytes
        yield chunk


def cut_file(data: bytes) -> Iterator[Cut]:
    """All of a file that fits one buffer. The same cuts as `FileCutter` makes."""
    start = 0
    view = memoryview(data)
    for end, zero in _runs(data):
        if zero:
            yield Hole(end - start)
        elif end - start <= FILE_CHUNK_MIN:
            yield view[start:end]
        else:
            for chunk in _CUTTER.cut_buf(view[start:end]):
                yield chunk.data
        start = end


def _runs(buffer: bytes) -> Iterator[tuple[int, bool]]:
    """Maximal runs of zero blocks and of others, as (end, is zero)."""
    zero_before: bool | None = None
    for start in range(0, len(buffer), ZERO_BLOCK_BYTES):
        zero = _is_zero(buffer, start, min(ZERO_BLOCK_BYTES, len(buffer) - start))
        if zero_before is not None and zero != zero_before:
            yield start, zero_before
        zero_before = zero
    if zero_before is not None:
        yield len(buffer), zero_before


def _is_zero(buffer: bytes, start: int, size: int) -> bool:
    """Looks at one byte first: most chunks that are not zero show it there, and the comparison costs a call."""
    return not buffer[start] and buffer.startswith(_zeros(size), start)


@lru_cache(maxsize=16)
def _zeros(size: int) -> bytes:
    return bytes(size)
