"""Which names CRIU gave stands in its images; those of programs' own are none of them."""

from __future__ import annotations

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from nodeops.checkpoint.given_names import given_in
from nodeops.checkpoint.images import BYTES, LENGTH_BYTES, MAGIC_BYTES, VARINT, written


def regular(number: int, name: str) -> bytes:
    """An entry of files.img."""
    file = written(1, VARINT, number) + written(2, VARINT, 0) + written(6, BYTES, name.encode())
    return written(1, VARINT, 1) + written(2, VARINT, number) + written(3, BYTES, file)


def image(*entries: bytes) -> bytes:
    return bytes(MAGIC_BYTES) + b"".join(len(entry).to_bytes(LENGTH_BYTES, "little") + entry for entry in entries)


TIMER = written(1, VARINT, 20) + written(2, VARINT, 5) + written(12, BYTES, b"")
FILES = image(regular(3, "/root/link_remap.3"), TIMER, regular(4, "/root/link_remap.7"), regular(5, "/dev/shm/link_remap.5"),
              regular(6, "/etc/hosts"))


def test_only_those_that_are_called_by_their_number() -> None:
    assert list(given_in(FILES)) == [Path("/root/link_remap.3"), Path("/dev/shm/link_remap.5")]


@given(st.integers(0, len(FILES)))
def test_an_image_may_end_anywhere(size: int) -> None:
    assert {*given_in(FILES[:size])} <= {*given_in(FILES)}
