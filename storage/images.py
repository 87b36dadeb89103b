"""Images in the store: RAM, disks, CRIU's pages. Cut at fixed, page-aligned places; zeros and holes cost nothing."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from models.errors import Conflict, HostProblem, InvalidInput, NotFound
from models.manifest import ManifestKind, ManifestRef, Stored
from storage.channel import ChunkSink, ChunkSource
from storage.compression import LEVEL
from storage.content import Batcher, ContentWriter
from storage.file_reading import read_image
from storage.image_restoring import restore_flat
from storage.ingest import Ingest, Progress
from storage.nodes import SEGMENT_BYTES, Kind, Record, decode_flat
from storage.reading import Reader

IMAGE_FLAGS = os.O_RDONLY | os.O_CLOEXEC


class Previous:
    """What a caller knows of an image from before: its manifest, and which extents, as (offset, length), may have changed since."""

    def __init__(self, source: ChunkSource, manifest: ManifestRef, changed: Sequence[tuple[int, int]]):
        with Reader(source) as reader:
            flat = decode_flat(reader.node(Kind.FLAT, bytes.fromhex(manifest.hash)))
        touched = {number for offset, length in changed
                   for number in range(offset // SEGMENT_BYTES, -(-(offset + length) // SEGMENT_BYTES))}
        self._segments = {number: record for number, record in enumerate(flat.records) if number not in touched} if flat.segmented else {}

    def segment(self, number: int, size: int) -> Record | None:
        """The segment of that number, if it is unchanged and has that size."""
        found = self._segments.get(number)
        return found if found is not None and found.size == size else None


def store_image(sink: ChunkSink, path: str | os.PathLike, *, level: int = LEVEL, previous: Previous | None = None,
                progress: Callable[[Progress], None] | None = None) -> Stored:
    """Store an image's bytes and commit its manifest. The image must not change meanwhile."""
    with Ingest(sink, level=level, progress=progress) as ingest:
        manifest = write_image(ingest, path, previous)
        counts = ingest.finish()
    sink.commit(manifest)
    return Stored(manifest=manifest, counts=counts)


def write_image(ingest: Ingest, path: str | os.PathLike, previous: Previous | None = None) -> ManifestRef:
    """The same within an ingest of the caller's, who finishes and commits it: for many images at once."""
    batcher = Batcher(ingest)
    writer = ContentWriter(batcher, image=True)
    reopen = partial(os.open, path, IMAGE_FLAGS)
    try:
        fd = reopen()
    except FileNotFoundError as error:
        raise NotFound("there is no such image", where=os.fsdecode(path)) from error
    try:
        size = os.lseek(fd, 0, os.SEEK_END)
        for start in range(0, size, SEGMENT_BYTES):
            end = min(start + SEGMENT_BYTES, size)
            known = previous.segment(start // SEGMENT_BYTES, end - start) if previous else None
            if known is not None:
                batcher.flush()
                writer.reuse(known)
            else:
                read_image(fd, start, end, writer, reopen)
    except OSError as error:
        raise HostProblem(f"the image cannot be read ({error.strerror})", where=os.fsdecode(path)) from error
    finally:
        os.close(fd)
    batcher.flush()
    content = writer.finish()
    if content.size != size:
        raise Conflict("the image became shorter while it was read", where=os.fsdecode(path))
    return ManifestRef(kind=ManifestKind.FLAT, hash=content.node.hex(), size_bytes=size)


def restore_image(source: ChunkSource, image: ManifestRef, path: str | os.PathLike, progress: Callable[[int], None] | None = None) -> None:
    """Make the image as a new, sparse file. Raises Conflict if there is one."""
    if image.kind != ManifestKind.FLAT:
        raise InvalidInput(f"this is a {image.kind} manifest, not an image", where=image.hash)
    try:
        with Path(path).open("xb") as file, Reader(source) as reader:
            restore_flat(reader, bytes.fromhex(image.hash), None, file.fileno(), progress)
    except FileExistsError as error:
        raise Conflict("there is a file in its place", where=os.fsdecode(path)) from error
    except OSError as error:
        raise HostProblem(f"the image cannot be restored ({error.strerror})", where=os.fsdecode(path)) from error
