"""Whether a file system can hold what nodes change: an overlay's upper layer wants trusted attributes, whiteouts, and more."""

from __future__ import annotations

import os
import shutil
import stat
import tempfile
from functools import lru_cache
from pathlib import Path

from models.errors import HostProblem
from nodeops.linux import mount, private_mounts


@lru_cache
def check(directory: Path) -> None:
    """Make a small overlay there and see. Raises HostProblem; asked once per directory and process."""
    trial = Path(tempfile.mkdtemp(prefix="trial-", dir=directory))
    try:
        for name in ("lower/gone", "upper", "work", "root"):
            (trial / name).mkdir(parents=True)
        with private_mounts():
            os.setxattr(trial / "upper", "trusted.overlay.origin", b"")
            os.removexattr(trial / "upper", "trusted.overlay.origin")
            mount("overlay", trial / "root", "overlay", options=f"lowerdir={trial}/lower,upperdir={trial}/upper,workdir={trial}/work")
            (trial / "root/gone").rmdir()
        if not stat.S_ISCHR((trial / "upper/gone").lstat().st_mode):
            raise OSError(0, "it keeps no whiteouts")
    except OSError as error:
        raise HostProblem(f"this file system cannot hold the nodes' changes: {error.strerror}", where=str(directory),
                          next="Set state_dir to a directory on ext4, XFS, btrfs or tmpfs") from error
    finally:
        shutil.rmtree(trial)
