"""A file that is replaced whole is never half there, whoever else writes it, and a failure leaves nothing beside it."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from nodeops.whole_file import write_whole


def test_several_that_write_the_same(tmp_path: Path) -> None:
    """As a daemon and whoever started it do, with its pid."""
    contents = [bytes([each]) * 1000 for each in range(8)]
    with ThreadPoolExecutor(len(contents)) as writers:
        list(writers.map(lambda content: write_whole(tmp_path / "pid", content), contents * 20))
    assert (tmp_path / "pid").read_bytes() in contents
    assert [path.name for path in tmp_path.iterdir()] == ["pid"]


def test_one_that_cannot(tmp_path: Path) -> None:
    (tmp_path / "pid" / "taken").mkdir(parents=True)
    with pytest.raises(IsADirectoryError):
        write_whole(tmp_path / "pid", b"")
    assert [path.name for path in tmp_path.iterdir()] == ["pid"]
