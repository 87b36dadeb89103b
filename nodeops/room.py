"""Directories that hold one directory for each instance, run or checkpoint: what is made in them lives for minutes, and a lot of it."""

from __future__ import annotations

import fcntl
import os
import struct
from contextlib import suppress
from pathlib import Path

FS_IOC_GETFLAGS, FS_IOC_SETFLAGS, FS_TOPDIR_FL = 0x80086601, 0x40086602, 0x00020000  # linux/fs.h, of 64-bit machines; `T` of chattr(1)


def make_room(directory: Path) -> None:
    """There when this returns, for its owner alone; what is made in it comes to lie far apart, where the file system heeds that.

    Else ext4 puts it beside what was removed a moment ago, and without a journal looks at every inode that was freed in the last minutes
    again for each new file: 80 µs instead of 17.
    """
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        with suppress(OSError):  # a file system without such flags
            flags: int = struct.unpack("=i4x", fcntl.ioctl(fd, FS_IOC_GETFLAGS, bytes(8)))[0]
            if not flags & FS_TOPDIR_FL:
                fcntl.ioctl(fd, FS_IOC_SETFLAGS, struct.pack("=i4x", flags | FS_TOPDIR_FL))
    finally:
        os.close(fd)
