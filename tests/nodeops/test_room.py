"""Directories of many directories are there, for their owner alone; what is made in them is spread over the disk where that is heeded."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from nodeops.linux import file_system_of
from nodeops.room import make_room


def test_it_may_be_there_already_and_keeps_what_is_in_it(tmp_path: Path) -> None:
    room = tmp_path / "spool" / "runs"
    for _ in range(2):
        make_room(room)
        (room / "one").mkdir(exist_ok=True)
    assert room.stat().st_mode & 0o777 == 0o700 and [one.name for one in room.iterdir()] == ["one"]


def test_ext4_is_told_and_what_is_below_is_a_directory_like_any_other(tmp_path: Path) -> None:
    if file_system_of(tmp_path) != "ext4":
        pytest.skip("of ext4")
    make_room(tmp_path / "room")
    (tmp_path / "room" / "one").mkdir()
    shown = subprocess.run(["lsattr", "-d", tmp_path / "room", tmp_path / "room" / "one"], capture_output=True, text=True, check=True)
    assert ["T" in line.split()[0] for line in shown.stdout.splitlines()] == [True, False]


def test_a_file_system_without_such_flags_will_do(tmp_path: Path) -> None:
    room = Path("/dev/shm") / tmp_path.name
    make_room(room)
    room.rmdir()
