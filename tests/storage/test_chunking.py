"""Cuts depend on content alone, and never change from one version of Swapbed or of the chunking library to the next."""

from __future__ import annotations

import random

from hypothesis import given, settings
from hypothesis import strategies as st

from storage.chunking import (
    BUFFER_BYTES,
    FILE_CHUNK_MAX,
    IMAGE_CHUNK_BYTES,
    ZERO_BLOCK_BYTES,
    Cut,
    FileCutter,
    Hole,
    cut_file,
    cut_image,
    name_of,
)

GOLDEN_NOISE = [33258, 78308, 80973, 39403, 28737, 67810, 159371, 71728, 40412]
GOLDEN_TEXT = [78661, 37998, 80997, 70874, 116259, 89727, 87177, 38307]
GOLDEN_NAME = "e6b8606cd3a7d7622e12f5268c9ffc45a670120dab77425e4088cf8305e56e5b"


def sizes(cuts: list[Cut]) -> list[int]:
    return [-cut.size if isinstance(cut, Hole) else cut.nbytes for cut in cuts]


def joined(cuts: list[Cut]) -> bytes:
    return b"".join(bytes(cut.size) if isinstance(cut, Hole) else bytes(cut) for cut in cuts)


def text(size: int, seed: int = 0) -> bytearray:
    noise = random.Random(seed)
    lines = b"".join(b"%d seq=%d rtt=%.3f ms\n" % (n, noise.randrange(1 << 16), noise.random()) for n in range(size // 20))
    return bytearray((lines * 2)[:size])


def test_golden_cuts_of_files() -> None:
    assert sizes(list(cut_file(bytearray(random.Random(1).randbytes(600_000))))) == GOLDEN_NOISE
    assert sizes(list(cut_file(text(600_000)))) == GOLDEN_TEXT
    assert name_of(b"swapbed").hex() == GOLDEN_NAME


def test_golden_cuts_of_images() -> None:
    image = text(40_000) + bytes(100_000) + text(9_000)
    assert sizes(list(cut_image(image))) == [16384, 16384, 16384, -81920, 16384, 1544]


PIECES = st.lists(st.tuples(st.sampled_from(["noise", "zeros", "text"]), st.integers(1, 700_000), st.integers(0, 5)), max_size=6)


def build(pieces: list[tuple[str, int, int]]) -> bytes:
    kinds = {"noise": lambda size, seed: random.Random(seed).randbytes(size), "zeros": lambda size, _: bytes(size), "text": text}
    return b"".join(bytes(kinds[kind](size, seed)) for kind, size, seed in pieces)


@given(PIECES, st.sampled_from([ZERO_BLOCK_BYTES, 4 * ZERO_BLOCK_BYTES, 7 * ZERO_BLOCK_BYTES]))
@settings(max_examples=40, deadline=None)
def test_cuts_of_a_file_do_not_depend_on_the_buffers_it_is_read_in(pieces: list[tuple[str, int, int]], buffer_bytes: int) -> None:
    content = build(pieces)
    cutter = FileCutter()
    streamed = [cut for at in range(0, len(content), buffer_bytes) for cut in cutter.feed(bytearray(content[at:at + buffer_bytes]))]
    streamed += cutter.finish()
    assert joined(streamed) == content
    assert sizes(streamed) == sizes(list(cut_file(bytearray(content))))


@given(PIECES)
@settings(max_examples=20, deadline=None)
def test_holes_on_the_disk_cut_as_zeros_do(pieces: list[tuple[str, int, int]]) -> None:
    content = build(pieces)
    cutter, streamed = FileCutter(), []
    for at in range(0, len(content), ZERO_BLOCK_BYTES):
        block = content[at:at + ZERO_BLOCK_BYTES]
        streamed += cutter.feed(bytearray(block)) if any(block) else cutter.skip(len(block))
    streamed += cutter.finish()
    assert sizes(streamed) == sizes(list(cut_file(bytearray(content))))


@given(PIECES)
@settings(max_examples=20, deadline=None)
def test_an_image_is_cut_at_fixed_places_and_its_zeros_are_holes(pieces: list[tuple[str, int, int]]) -> None:
    content = build(pieces)[:BUFFER_BYTES]
    cuts = list(cut_image(bytearray(content)))
    assert joined(cuts) == content
    at = 0
    for cut in cuts:
        assert at % IMAGE_CHUNK_BYTES == 0
        assert isinstance(cut, Hole) or any(cut)
        at += cut.size if isinstance(cut, Hole) else cut.nbytes


def test_an_insertion_near_the_start_changes_few_chunks() -> None:
    before = text(4_000_000)
    after = before[:1000] + b"inserted" + before[1000:]
    names = [{name_of(cut) for cut in cut_file(data) if not isinstance(cut, Hole)} for data in (before, after)]
    assert len(names[0] - names[1]) <= 3


def test_no_chunk_is_longer_than_the_maximum() -> None:
    assert max(sizes(list(cut_file(bytearray(b"a" * 3_000_000))))) == FILE_CHUNK_MAX
