"""Frames: a chunk as it lies in a pack, a codec byte and then its bytes, compressed with zstd where that helps."""

from __future__ import annotations

import threading

import zstandard

from models.errors import Corrupt

RAW, ZSTD = b"\0", b"\1"
LEVEL = 3
WORTH = 0.97  # a frame that is not at least this much smaller is stored as it is: it is read faster
CHUNK_LIMIT_BYTES = 16 << 20  # no chunk is longer (a node of a very long image's FLAT may be some MiB): guards against bombs

_own = threading.local()


def compress(chunk: bytes | memoryview, level: int = LEVEL) -> bytes:
    """The frame. level 0: not compressed."""
    if level:
        packed = _compressor(level).compress(chunk)
        if len(packed) < len(chunk) * WORTH:
            return ZSTD + packed
    return RAW + chunk


def decompress(frame: bytes | memoryview, raw_bytes: int, where: str) -> bytes:
    """The chunk, of exactly raw_bytes; not yet verified against its hash. Raises Corrupt for what is no frame."""
    codec = bytes(frame[:1])
    if raw_bytes > CHUNK_LIMIT_BYTES:
        raise Corrupt(f"a chunk claims to have {raw_bytes} bytes", where=where)
    if codec == RAW:
        data = bytes(frame[1:])
    elif codec == ZSTD:
        try:
            if zstandard.frame_content_size(frame[1:]) != raw_bytes:  # before anything is allocated
                raise Corrupt(f"a frame is not one of {raw_bytes} bytes", where=where)
            data = _decompressor().decompress(frame[1:])
        except zstandard.ZstdError as error:
            raise Corrupt(f"a frame cannot be decompressed ({error})", where=where) from error
    else:
        raise Corrupt(f"a frame has the unknown codec {codec!r}", where=where)
    if len(data) != raw_bytes:
        raise Corrupt(f"a chunk of {raw_bytes} bytes has {len(data)}", where=where)
    return data


def _compressor(level: int) -> zstandard.ZstdCompressor:
    """One per thread and level: they are costly to make and must not be shared."""
    made = _own.__dict__.setdefault("compressors", {})
    if level not in made:
        made[level] = zstandard.ZstdCompressor(level=level, write_checksum=False)
    return made[level]


def _decompressor() -> zstandard.ZstdDecompressor:
    if "decompressor" not in _own.__dict__:
        _own.decompressor = zstandard.ZstdDecompressor()
    return _own.decompressor
