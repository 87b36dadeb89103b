"""CRIU finds what it has found out about the kernel, wherever /run is; nobody else sees another /run, or can put something into it."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator

import pytest

from models.settings import settings
from nodeops.checkpoint import kernel_facts
from nodeops.checkpoint.kernel_facts import KEPT, RUN, kept
from nodeops.linux import file_system_of, private_mounts


@pytest.fixture
def no_tmpfs() -> Iterator[None]:
    """As on a machine whose /run is on a disk."""
    with private_mounts():
        while file_system_of(RUN) == "tmpfs":
            subprocess.run(["umount", "-l", RUN], check=True)
        yield


def look() -> None:
    subprocess.run([settings().criu, "check"], capture_output=True)


@pytest.mark.usefixtures("no_tmpfs")
def test_it_is_kept_where_run_is_on_a_disk() -> None:
    before = set(RUN.iterdir())
    with kept():
        assert file_system_of(RUN) == "tmpfs"
        look()
        first = (RUN / "criu.kdat").stat()
    assert file_system_of(RUN) != "tmpfs" and set(RUN.iterdir()) == before
    with kept():
        look()
        assert (RUN / "criu.kdat").stat() == first, "not found out again"
    assert KEPT.stat().st_mode & 0o777 == 0o700


@pytest.mark.usefixtures("no_tmpfs")
def test_a_directory_that_anybody_can_write_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    other = KEPT.with_name("swapbed-open")
    other.mkdir()
    other.chmod(0o777)
    monkeypatch.setattr(kernel_facts, "KEPT", other)
    with kept():
        assert file_system_of(RUN) != "tmpfs"
    other.rmdir()
