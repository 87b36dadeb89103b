"""Files of a node's upper layer, copied from there only if they are what the node sees."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from nodeops.staging import copied_from_layer

SIZE_BYTES = 1 << 24


@pytest.fixture
def made() -> Iterator[int]:
    """A descriptor of an empty file."""
    with tempfile.TemporaryFile() as file:
        yield file.fileno()


@pytest.fixture
def layer(tmp_path: Path) -> Path:
    """With a file of holes but for its end, and links that lead out."""
    (tmp_path / "upper" / "data").mkdir(parents=True)
    with (tmp_path / "upper" / "data" / "file").open("wb") as file:
        file.truncate(SIZE_BYTES)
        file.seek(SIZE_BYTES - 4)
        file.write(b"last")
    (tmp_path / "secret").write_text("of the host")
    (tmp_path / "upper" / "data" / "link").symlink_to(tmp_path / "secret")
    (tmp_path / "upper" / "out").symlink_to(tmp_path)
    os.mkfifo(tmp_path / "upper" / "data" / "pipe")
    return tmp_path / "upper"


def seen(path: Path) -> tuple[int, int]:
    info = path.stat()
    return info.st_size, info.st_mtime_ns


def test_it_is_copied_with_its_holes(layer: Path, made: int) -> None:
    assert copied_from_layer(layer, "/data/file", *seen(layer / "data" / "file"), made)
    assert os.pread(made, 8, SIZE_BYTES - 8) == b"\0\0\0\0last" and os.fstat(made).st_size == SIZE_BYTES
    assert os.fstat(made).st_blocks * 512 < 1 << 20


def test_what_is_another_file_is_not(layer: Path, made: int) -> None:
    """Of another size or time, in a layer below, behind a link, or none."""
    size_bytes, mtime_ns = seen(layer / "data" / "file")
    for path, size, time in (("/data/file", size_bytes - 1, mtime_ns), ("/data/file", size_bytes, mtime_ns + 1), ("/data/none", 4, 0),
                             ("/data/link", *seen(layer.parent / "secret")), ("/out/secret", *seen(layer.parent / "secret")),
                             ("/data/pipe", *seen(layer / "data" / "pipe")), ("/data", *seen(layer / "data")),
                             ("/data/../../secret", *seen(layer.parent / "secret"))):
        assert not copied_from_layer(layer, path, size, time, made), path
    assert os.fstat(made).st_size == 0
