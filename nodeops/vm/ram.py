"""A VM's RAM: a file in memory that only QEMU holds. It is there as long as that process, and read through it."""

from __future__ import annotations

import errno
import os
from pathlib import Path

from models.errors import Conflict, Corrupt, HostProblem
from nodeops.identity import ProcessIdentity


def make(size_bytes: int) -> int:
    """An fd of new RAM, all zeros, to be passed to QEMU. The caller closes it."""
    fd = os.memfd_create("swapbed-ram", os.MFD_CLOEXEC)
    os.ftruncate(fd, size_bytes)
    return fd


def fill(fd: int, saved: Path) -> None:
    """What was saved becomes the content. Raises Corrupt if it is of another size."""
    with saved.open("rb") as file:
        if os.fstat(file.fileno()).st_size != os.fstat(fd).st_size:
            raise Corrupt("the saved RAM is of another size than the machine's", where=str(saved))
        _copy_data(file.fileno(), fd)


def save(identity: ProcessIdentity, ram_fd: int, target: Path) -> None:
    """A sparse copy: what the guest never touched takes no room. The machine stands still. Raises Conflict if it has ended."""
    try:
        source = os.open(f"/proc/{identity.pid}/fd/{ram_fd}", os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise Conflict("the machine has ended, and its RAM with it", where=f"pid {identity.pid}") from error
    try:
        if not identity.alive():
            raise Conflict("the machine has ended, and its RAM with it", where=f"pid {identity.pid}")
        with target.open("xb") as file:
            os.ftruncate(file.fileno(), os.fstat(source).st_size)
            _copy_data(source, file.fileno())
    except OSError as error:
        raise HostProblem(f"the machine's RAM cannot be saved: {error.strerror}", where=str(target), next="Is the disk full?") from error
    finally:
        os.close(source)


def _copy_data(source: int, target: int) -> None:
    """Within the kernel (sendfile(2)), holes left out."""
    size, at = os.fstat(source).st_size, 0
    while at < size:
        try:
            at = os.lseek(source, at, os.SEEK_DATA)
        except OSError as error:
            if error.errno == errno.ENXIO:  # a hole up to the end
                return
            raise
        end = os.lseek(source, at, os.SEEK_HOLE)
        os.lseek(target, at, os.SEEK_SET)
        while at < end:
            at += os.sendfile(target, source, at, end - at)
