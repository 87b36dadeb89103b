"""From a flat manifest to the bytes of an image or a long file: holes stay holes, segments are fetched a window at a time."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator

from storage.channel import Node
from storage.nodes import HOLE, Flat, Kind, Record, decode_flat, decode_segment
from storage.reading import Reader

WINDOW_SEGMENTS = 4


def restore_flat(reader: Reader, name: bytes, parent: Node | None, fd: int, progress: Callable[[int], None] | None = None) -> int:
    """Write its data into fd, an empty file; returns how many bytes that were. parent: the node that refers to it; None: it is a root."""
    flat = decode_flat(reader.node(Kind.FLAT, name, [parent] if parent else []))
    os.ftruncate(fd, flat.size)
    written = 0
    for parents, wanted in windows(reader, name, flat):
        writer = _Writer(fd, wanted)
        reader.deliver(parents, wanted.keys(), writer.write)
        written += sum(writer.sizes)
        if progress:
            progress(written)
    return written


class _Writer:
    """Chunks to their places in a file, from several threads at once."""

    def __init__(self, fd: int, offsets: dict[bytes, list[int]]):
        self.fd, self.offsets = fd, offsets
        self.sizes: list[int] = []

    def write(self, chunk: bytes, data: bytes) -> None:
        for offset in self.offsets[chunk]:
            os.pwrite(self.fd, data, offset)
            self.sizes.append(len(data))


def windows(reader: Reader, name: bytes, flat: Flat) -> Iterator[tuple[list[Node], dict[bytes, list[int]]]]:
    """The image in pieces: nodes, and which of their chunks belong at which offsets."""
    if not flat.segmented:
        yield [(Kind.FLAT, name)], _offsets(flat.records, 0)
        return
    segments = []
    offset = 0
    for record in flat.records:
        if record.hash != HOLE:
            segments.append((record.hash, offset))
        offset += record.size
    for at in range(0, len(segments), WINDOW_SEGMENTS):
        window = segments[at:at + WINDOW_SEGMENTS]
        nodes = dict(reader.chunks([(Kind.FLAT, name)], {segment for segment, _ in window}))
        wanted: dict[bytes, list[int]] = {}
        for segment, start in window:
            for chunk, offsets in _offsets(decode_segment(nodes[segment]), start).items():
                wanted.setdefault(chunk, []).extend(offsets)
        yield [(Kind.SEGMENT, segment) for segment in nodes], wanted


def _offsets(records: list[Record], start: int) -> dict[bytes, list[int]]:
    found: dict[bytes, list[int]] = {}
    for record in records:
        if record.hash != HOLE:
            found.setdefault(record.hash, []).append(start)
        start += record.size
    return found
