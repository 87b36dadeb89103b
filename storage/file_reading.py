"""Reading one open file in pieces for its ContentWriter: holes skipped, everything else read once, in buffers of BUFFER_BYTES."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from functools import partial

from models.errors import Conflict
from storage.chunking import BUFFER_BYTES, FileCutter, Hole, cut_file, cut_image
from storage.content import ContentWriter

Opener = Callable[[], int]
"""Opens the file again; the caller closes the descriptor."""


def read_file(fd: int, size: int, writer: ContentWriter, reopen: Opener) -> None:
    """Give the writer the first size bytes of the file: what it had when it was looked at. A file that shrank meanwhile ends earlier."""
    if size <= BUFFER_BYTES:
        buffer = read_at(fd, 0, size)
        offset = 0
        for piece in cut_image(buffer) if writer.image else cut_file(buffer):
            offset = _add(writer, piece, offset, reopen)
    elif writer.image:
        read_image(fd, 0, size, writer, reopen)
    else:
        _read_long(fd, size, writer, reopen)


def read_image(fd: int, start: int, end: int, writer: ContentWriter, reopen: Opener) -> None:
    """The part of an image from start, a multiple of BUFFER_BYTES, to end."""
    at, extents = start, _Extents(fd)
    while at < end:
        data = extents.next_data(at, end)
        while at < data:
            step = min(BUFFER_BYTES, end - at)
            writer.add(Hole(step))
            at += step
        if at < end:
            wanted = min(BUFFER_BYTES, end - at)
            buffer = read_at(fd, at, wanted)
            offset = at
            for piece in cut_image(buffer):
                offset = _add(writer, piece, offset, reopen)
            at += len(buffer)
            if len(buffer) < wanted:
                return


def _read_long(fd: int, size: int, writer: ContentWriter, reopen: Opener) -> None:
    cutter, extents = FileCutter(), _Extents(fd)
    at = offset = 0
    while at < size:
        data = extents.next_data(at, size)
        if data > at:
            for piece in cutter.skip(data - at):
                offset = _add(writer, piece, offset, reopen)
            at = data
        if at < size:
            wanted = min(BUFFER_BYTES, size - at)
            buffer = read_at(fd, at, wanted)
            for piece in cutter.feed(buffer):
                offset = _add(writer, piece, offset, reopen)
            at += len(buffer)
            if len(buffer) < wanted:
                break
    for piece in cutter.finish():
        offset = _add(writer, piece, offset, reopen)


def read_at(fd: int, offset: int, size: int) -> bytes:
    """Up to size bytes: fewer at the end of the file only."""
    data = os.pread(fd, size, offset)  # in one call nearly always, and into memory that nobody has filled with zeros before
    if len(data) in (0, size):
        return data
    pieces, got = [data], len(data)
    while got < size and (more := os.pread(fd, size - got, offset + got)):
        pieces.append(more)
        got += len(more)
    return b"".join(pieces)


def read_again(reopen: Opener, offset: int, size: int) -> bytes:
    """A piece that was read before. Raises Conflict if the file is gone."""
    try:
        fd = reopen()
    except OSError as error:
        raise Conflict(f"a file went away while it was being stored ({error.strerror})", where=str(error.filename)) from error
    try:
        return read_at(fd, offset, size)
    finally:
        os.close(fd)


def _add(writer: ContentWriter, piece: memoryview | Hole, offset: int, reopen: Opener) -> int:
    if isinstance(piece, Hole):
        writer.add(piece)
        return offset + piece.size
    writer.add(piece, partial(read_again, reopen, offset, piece.nbytes))
    return offset + piece.nbytes


class _Extents:
    """Where one file has data. Asked for once per extent: some file systems take a millisecond to answer."""

    def __init__(self, fd: int):
        self._fd, self._data_until = fd, 0

    def next_data(self, at: int, end: int) -> int:
        """Where the buffer begins that has the next byte which is in no hole: a multiple of BUFFER_BYTES, or the end if there is none."""
        if at < self._data_until:
            return at
        try:
            data = os.lseek(self._fd, at, os.SEEK_DATA)
            self._data_until = os.lseek(self._fd, data, os.SEEK_HOLE)
        except OSError as error:
            if error.errno == errno.ENXIO:  # a hole up to the file's end, which may have come nearer since
                return min(end, max(at, os.fstat(self._fd).st_size))
            self._data_until = end  # this file system cannot tell
            return at
        return min(end, data - data % BUFFER_BYTES) if data > at else at
